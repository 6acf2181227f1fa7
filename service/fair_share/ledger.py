"""Seconds that each caller has used recently."""

import time
from collections.abc import Callable

MAX_CALLERS = 10_000
"""Callers whose use is remembered; of more, those that used least are forgotten."""

_FORGOTTEN_SECONDS = 1e-3
"""Less use than this is not worth its memory."""


class UsageLedger:
    """Adds up the seconds that each caller uses, and forgets half of them in each half-life."""

    def __init__(self, half_life_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._half_life_seconds = half_life_seconds
        self._clock = clock
        # Seconds used, as of the second number: a time of the clock.
        self._used: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        """Number of callers that are remembered."""
        return len(self._used)

    def charge(self, caller: str, seconds: float) -> None:
        """Add seconds to what a caller used."""
        if seconds <= 0:
            return
        self._used[caller] = (self.used(caller) + seconds, self._clock())
        if len(self._used) > MAX_CALLERS:
            self._forget()

    def used(self, caller: str) -> float:
        """Return the remembered seconds of a caller; 0 for an unknown one."""
        seconds, at = self._used.get(caller, (0.0, 0.0))
        return seconds * 0.5 ** ((self._clock() - at) / self._half_life_seconds) if seconds else 0.0

    def _forget(self) -> None:
        """Forget the callers that used almost nothing, and at least a tenth of all."""
        by_use = sorted(self._used, key=self.used, reverse=True)
        most = MAX_CALLERS * 9 // 10
        for number, caller in enumerate(by_use):
            if number >= most or self.used(caller) < _FORGOTTEN_SECONDS:
                del self._used[caller]
