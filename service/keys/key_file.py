"""The file of API keys: read, and changed under a lock. It holds digests alone."""

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
    """A part of the key file: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ApiKey(KeyPart):
    """What is kept of a key: enough to know it again, not enough to use it."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    requests_per_minute: int | None = Field(default=None, ge=1)
    created_at: str
    sha256: str


class KeyFile(KeyPart):
    """The file of keys."""

    keys: tuple[ApiKey, ...] = ()


def new_key(name: str, scopes: tuple[Scope, ...], requests_per_minute: int | None) -> tuple[str, ApiKey]:
    """A fresh key, and what is to be kept of it."""
    identity = secrets.token_hex(4)
    token = f"fw_{identity}_{secrets.token_urlsafe(32)}"
    created_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return token, ApiKey(
        id=identity,
        name=name,
        scopes=scopes,
        requests_per_minute=requests_per_minute,
        created_at=created_at,
        sha256=key_digest(token),
    )


def read_keys(path: Path) -> KeyFile:
    """The keys in `path`; none where there is no such file.

    Raises:
        OSError, ValidationError: it cannot be read, or is not a file of keys.
    """
    try:
        return KeyFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return KeyFile()


@contextmanager
def changing_keys(path: Path) -> Iterator[list[ApiKey]]:
    """The keys in `path`, to be changed in place; written back whole at the end, one writer at a time."""
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = list(read_keys(path).keys)
        yield keys
        fresh = path.with_name(path.name + ".new")
        fresh.touch(mode=0o600)
        fresh.write_text(KeyFile(keys=tuple(keys)).model_dump_json(indent=2) + "\n", encoding="utf-8")
        fresh.replace(path)


def key_digest(token: str) -> str:
    """SHA-256 of a key, in hexadecimal digits; the only form in which a key is stored."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
