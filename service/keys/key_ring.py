"""Authorizes requests by API keys, of which only digests are stored.

A key is 256 random bits and cannot be guessed. So one SHA-256 protects it as well as a slow password hash such as
scrypt, and takes microseconds per request instead of a tenth of a second.
"""

import hmac
import logging
import math
import time
from pathlib import Path

from pydantic import ValidationError

from service.keys.errors import Forbidden, RateExceeded, Unauthorized
from service.keys.key_file import ApiKey, Scope, key_digest, read_keys

_log = logging.getLogger(__name__)

# An idle key may send a burst of this many seconds' worth of requests.
_BURST_SECONDS = 10


class KeyRing:
    """The valid API keys. Without a key file every request is allowed; with one, a request needs a key of the file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read_from: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}
        self._buckets: dict[str, _TokenBucket] = {}

    def authorize(self, token: str | None, scope: Scope) -> ApiKey | None:
        """Check a request's key; returns its record, or None if the service needs no key.

        Raises:
            Unauthorized: `token` is not a valid key.
            Forbidden: the key lacks `scope`.
            RateExceeded: the key exceeds its rate limit.
        """
        if self._path is None:
            return None
        self._read_if_changed(self._path)
        key = self._find(token or "")
        if key is None:
            raise Unauthorized("This service requires a valid API key: send the header `Authorization: Bearer <key>`.")
        if scope not in key.scopes:
            raise Forbidden(
                f"This key lacks the scope {scope!r}; it has {', '.join(key.scopes)}. Use a key with this scope."
            )
        if key.requests_per_minute is not None:
            self._buckets.setdefault(key.id, _TokenBucket()).take(key.requests_per_minute / 60)
        return key

    def _find(self, token: str) -> ApiKey | None:
        parts = token.split("_", 2)
        key = self._keys.get(parts[1]) if len(parts) > 1 else None
        # The id is public. The digests are compared in constant time.
        is_valid = hmac.compare_digest(key_digest(token), key.sha256 if key is not None else "")
        return key if is_valid else None

    def _read_if_changed(self, path: Path) -> None:
        try:
            found = path.stat()
            signature = (found.st_mtime_ns, found.st_size, found.st_ino)
            if signature == self._read_from:
                return
            self._keys = {key.id: key for key in read_keys(path).keys}
            self._read_from = signature
        except (OSError, ValidationError) as error:
            # Without a readable key file, no key is valid.
            if self._keys or self._read_from is None:
                _log.error("no API key is valid: the key file cannot be read", extra={"error": type(error).__name__})
            self._keys, self._read_from = {}, (0, 0, 0)
        self._buckets = {key_id: bucket for key_id, bucket in self._buckets.items() if key_id in self._keys}


class _TokenBucket:
    """A token bucket: refills at the key's rate up to one burst; each request takes a token."""

    def __init__(self) -> None:
        self._num_tokens = math.inf
        self._refilled_at = time.monotonic()

    def take(self, per_second: float) -> None:
        """Take one token; raises RateExceeded if the bucket is empty."""
        now = time.monotonic()
        max_tokens = max(1.0, per_second * _BURST_SECONDS)
        self._num_tokens = min(max_tokens, self._num_tokens + per_second * (now - self._refilled_at))
        self._refilled_at = now
        if self._num_tokens < 1:
            raise RateExceeded(math.ceil((1 - self._num_tokens) / per_second))
        self._num_tokens -= 1
