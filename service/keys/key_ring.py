"""Who may ask: API keys in a file, checked without ever keeping one.

A key is 256 random bits, so there is nothing to guess and nothing for a slow hash to slow down: unlike
for passwords, one SHA-256 of it is as good as scrypt, and costs a request microseconds instead of a
tenth of a second.
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


# A key that was silent may ask for this many seconds' worth at once.
_BURST_SECONDS = 10


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
        is_good = hmac.compare_digest(key_digest(token), key.sha256 if key is not None else "")
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
