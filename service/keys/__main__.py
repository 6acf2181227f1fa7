"""`python -m service.keys create|list|revoke`: manage the API keys in `SERVICE_API_KEYS_FILE`.

A running service applies every change without a restart.
"""

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.environment import INVALID_SETTINGS_STATUS, nearest_name, unknown_names, variable_names
from service.keys.key_file import edit_keys, new_key, read_keys
from service.keys.settings import KeySettings
from service.standard_streams import open_standard_streams


class _Environment(KeySettings, BaseSettings):
    """The settings of keys, from the environment; the settings of other packages are not read."""

    model_config = SettingsConfigDict(env_prefix="SERVICE_", env_ignore_empty=True, frozen=True)


def create(path: Path, name: str, scopes: list[str], requests_per_minute: int | None) -> int:
    """Create a key and print it; the key cannot be shown again."""
    token, key = new_key(name, tuple(dict.fromkeys(scopes)), requests_per_minute)  # type: ignore[arg-type]
    with edit_keys(path) as keys:
        keys.append(key)
    sys.stdout.write(f"{token}\n")
    return 0


def list_keys(path: Path) -> int:
    """Print one line per key: id, date, scopes, rate limit, name."""
    for key in read_keys(path).keys:
        rate = "no limit" if key.requests_per_minute is None else f"{key.requests_per_minute} a minute"
        sys.stdout.write(f"{key.id}  {key.created_at}  {','.join(key.scopes)}  {rate}  {key.name}\n")
    return 0


def revoke(path: Path, key_id: str) -> int:
    """Revoke a key; returns exit status 1 if no key has this id."""
    with edit_keys(path) as keys:
        kept = [key for key in keys if key.id != key_id]
        is_known = len(kept) < len(keys)
        keys[:] = kept
    if not is_known:
        sys.stderr.write(f"There is no key {key_id}. `python -m service.keys list` shows all keys.\n")
    return 0 if is_known else 1


def main() -> int:
    """Run the command line."""
    open_standard_streams()
    parser = argparse.ArgumentParser(prog="python -m service.keys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    creation = commands.add_parser("create", help="create a key and print it once")
    creation.add_argument("--name", required=True, type=_name, help="name of the key's owner")
    creation.add_argument("--scope", action="append", choices=["predict", "admin"], help="default: predict")
    creation.add_argument("--requests-per-minute", type=_rate, help="default: no limit")
    commands.add_parser("list", help="list all keys")
    commands.add_parser("revoke", help="revoke a key").add_argument("id")
    arguments = parser.parse_args()
    path = _Environment().api_keys_file
    if path is None:
        parser.error(f"SERVICE_API_KEYS_FILE is not set; set it to the path of the key file{_misspelled_variable()}")
    # A name may have characters that the encoding of the output lacks.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        if arguments.command == "create":
            return create(path, arguments.name, arguments.scope or ["predict"], arguments.requests_per_minute)
        return list_keys(path) if arguments.command == "list" else revoke(path, arguments.id)
    except ValidationError:
        sys.stderr.write(f"SERVICE_API_KEYS_FILE: {path} is not a key file. It is left as it is.\n")
    except OSError as error:
        sys.stderr.write(f"SERVICE_API_KEYS_FILE: {path}: {error.strerror or error}.\n")
    return INVALID_SETTINGS_STATUS


def _misspelled_variable() -> str:
    """A hint at a variable that looks like the one setting of keys; empty if there is none."""
    known = variable_names(KeySettings)
    near = [name for name in unknown_names(known) if nearest_name(name, known, min_likeness=0.85)]
    return f" ({near[0]} is no setting)" if near else ""


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("must have printable characters only, and at least one")
    return text


def _rate(text: str) -> int:
    rate = int(text)
    if rate < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return rate


if __name__ == "__main__":
    sys.exit(main())
