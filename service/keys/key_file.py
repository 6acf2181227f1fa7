"""The file of API keys, edited under a lock. It stores digests, not keys."""

import fcntl
import hashlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Scope = Literal["predict", "admin"]


class KeyPart(BaseModel):
    """A part of the key file: immutable, unknown fields rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ApiKey(KeyPart):
    """The stored record of a key: enough to verify the key, not to use it."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    requests_per_minute: int | None = Field(default=None, ge=1)
    created_at: str
    sha256: str


class KeyFile(KeyPart):
    """The content of the key file."""

    keys: tuple[ApiKey, ...] = ()


def new_key(name: str, scopes: tuple[Scope, ...], requests_per_minute: int | None) -> tuple[str, ApiKey]:
    """Generate a key; returns the key itself and the record to store."""
    key_id = secrets.token_hex(4)
    token = f"fw_{key_id}_{secrets.token_urlsafe(32)}"
    created_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return token, ApiKey(
        id=key_id,
        name=name,
        scopes=scopes,
        requests_per_minute=requests_per_minute,
        created_at=created_at,
        sha256=key_digest(token),
    )


def read_keys(path: Path) -> KeyFile:
    """The keys in the file `path`; empty if the file does not exist.

    Raises:
        OSError: the file cannot be read.
        ValidationError: the file is not a valid key file.
    """
    try:
        return KeyFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return KeyFile()


@contextmanager
def edit_keys(path: Path) -> Iterator[list[ApiKey]]:
    """The keys in the file `path`, to edit in place: written atomically at the end of the block, under a file lock."""
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = list(read_keys(path).keys)
        yield keys
        new_file = path.with_name(path.name + ".new")
        new_file.touch(mode=0o600)
        new_file.write_text(KeyFile(keys=tuple(keys)).model_dump_json(indent=2) + "\n", encoding="utf-8")
        new_file.replace(path)


def key_digest(token: str) -> str:
    """SHA-256 of a key, in hexadecimal; the only form in which a key is stored."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
