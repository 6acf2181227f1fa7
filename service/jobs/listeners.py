"""Open event streams of jobs. A signal carries no data: the listener reads the job's row again."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.jobs.errors import TooManyListeners


class Listeners:
    """A bounded number of listeners, of which each caller has a share, for one event loop."""

    def __init__(self, max_listeners: int, share_per_caller: float = 1.0) -> None:
        """`share_per_caller` is the largest fraction of the listeners that one caller may be."""
        self._max_listeners = max_listeners
        self._max_per_caller = max(1, int(share_per_caller * max_listeners))
        self._by_caller: Counter[str] = Counter()
        self._signals: dict[str, set[asyncio.Event]] = {}
        self._is_closed = False

    @property
    def num_listeners(self) -> int:
        """Number of open listeners."""
        return self._by_caller.total()

    @property
    def is_closed(self) -> bool:
        """Whether listeners should stop listening."""
        return self._is_closed

    @property
    def job_ids(self) -> set[str]:
        """Ids of the jobs that have a listener."""
        return set(self._signals)

    @contextmanager
    def listen(self, job_id: str, caller: str = "") -> Iterator[asyncio.Event]:
        """An event that is set when the job may have changed.

        Raises:
            TooManyListeners: the maximum number of listeners is reached, in all or of this caller.
        """
        self._require_place(caller)
        signal = asyncio.Event()
        self._by_caller[caller] += 1
        self._signals.setdefault(job_id, set()).add(signal)
        try:
            yield signal
        finally:
            self._by_caller[caller] -= 1
            if not self._by_caller[caller]:
                del self._by_caller[caller]
            self._signals[job_id].discard(signal)
            if not self._signals[job_id]:
                del self._signals[job_id]

    def signal(self, job_id: str) -> None:
        """Signal the listeners of a job that may have changed."""
        for signal in self._signals.get(job_id, ()):
            signal.set()

    def close(self) -> None:
        """Signal every listener to stop."""
        self._is_closed = True
        for job_id in self._signals:
            self.signal(job_id)

    def _require_place(self, caller: str) -> None:
        if self.num_listeners >= self._max_listeners:
            raise TooManyListeners(
                f"{self._max_listeners} event streams are open, the maximum (SERVICE_MAX_JOB_LISTENERS). "
                "Poll GET /jobs/{job_id} instead."
            )
        if self._by_caller[caller] >= self._max_per_caller:
            raise TooManyListeners(
                f"{self._max_per_caller} event streams of this caller are open, the maximum for one API key or address "
                "(SERVICE_JOB_SHARE_PER_KEY of SERVICE_MAX_JOB_LISTENERS). Poll GET /jobs/{job_id} instead."
            )
