"""Who may ask: API keys in a file, checked without ever keeping one.

A key is 256 random bits, so there is nothing to guess and nothing for a slow hash to slow down: unlike
for passwords, one SHA-256 of it is as good as scrypt, and costs a request microseconds instead of a
tenth of a second.
"""

import fcntl
import hashlib
import hmac
import logging
import math
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_log = logging.getLogger(__name__)

Scope = Literal["predict", "admin"]

# A key that was silent may ask for this many seconds' worth at once.
_BURST_SECONDS = 10


class Unauthorized(Exception):
    """Keys are configured, and the request brings none of them."""


class Forbidden(Exception):
    """The request's key is good, but not for this."""


class RateExceeded(Exception):
    """The request's key has asked more often than it may; `retry_after_seconds` says when it may again."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"This key asks too often; try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ApiKey(_Part):
    """What is kept of a key: enough to know it again, not enough to use it."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    requests_per_minute: int | None = Field(default=None, ge=1)
    created_at: str
    sha256: str


class KeyFile(_Part):
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
        sha256=_digest(token),
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


class KeyRing:
    """The keys in force. Without a file everybody may ask; with one, only who brings a key that is in it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read_from: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, token: str | None, scope: Scope) -> ApiKey | None:
        """The key that `token` is, or None where none is needed.

        Raises:
            Unauthorized: it is none.
            Forbidden: it is not good for `scope`.
            RateExceeded: it asks too often.
        """
        if self._path is None:
            return None
        self._read_if_changed(self._path)
        key = self._find(token or "")
        if key is None:
            raise Unauthorized("This service asks for a key: `Authorization: Bearer <key>`.")
        if scope not in key.scopes:
            raise Forbidden(f"This key is not good for what needs the scope {scope!r}.")
        if key.requests_per_minute is not None:
            self._buckets.setdefault(key.id, _Bucket()).take(key.requests_per_minute / 60)
        return key

    def _find(self, token: str) -> ApiKey | None:
        parts = token.split("_", 2)
        key = self._keys.get(parts[1]) if len(parts) > 1 else None
        # The id is no secret; what is compared with a secret takes as long wherever it differs.
        is_good = hmac.compare_digest(_digest(token), key.sha256 if key is not None else "")
        return key if is_good else None

    def _read_if_changed(self, path: Path) -> None:
        try:
            found = path.stat()
            signature = (found.st_mtime_ns, found.st_size, found.st_ino)
            if signature == self._read_from:
                return
            self._keys = {key.id: key for key in read_keys(path).keys}
            self._read_from = signature
        except (OSError, ValidationError) as error:
            # Whoever cannot be looked up is not let in.
            if self._keys or self._read_from is None:
                _log.error("no key is in force: the file of keys cannot be read", extra={"error": type(error).__name__})
            self._keys, self._read_from = {}, (0, 0, 0)
        self._buckets = {identity: bucket for identity, bucket in self._buckets.items() if identity in self._keys}


class _Bucket:
    """Fills with the right to ask, up to a burst's worth, and is emptied by asking."""

    def __init__(self) -> None:
        self._num_left = math.inf
        self._filled_at = time.monotonic()

    def take(self, per_second: float) -> None:
        """Take one; raises RateExceeded where there is none."""
        now = time.monotonic()
        most = max(1.0, per_second * _BURST_SECONDS)
        self._num_left = min(most, self._num_left + per_second * (now - self._filled_at))
        self._filled_at = now
        if self._num_left < 1:
            raise RateExceeded(math.ceil((1 - self._num_left) / per_second))
        self._num_left -= 1


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
