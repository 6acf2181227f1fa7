"""Open event streams of jobs. A signal carries no data: the listener reads the job's row again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from service.jobs.errors import TooManyListeners


class Listeners:
    """A bounded number of listeners, for one event loop."""

    def __init__(self, max_listeners: int) -> None:
        self._max_listeners = max_listeners
        self._signals: dict[str, set[asyncio.Event]] = {}
        self._is_closed = False
        self.num_listeners = 0

    @property
    def is_closed(self) -> bool:
        """Whether listeners should stop listening."""
        return self._is_closed

    @property
    def job_ids(self) -> set[str]:
        """Ids of the jobs that have a listener."""
        return set(self._signals)

    @contextmanager
    def listen(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when the job may have changed.

        Raises:
            TooManyListeners: the maximum number of listeners is reached.
        """
        if self.num_listeners >= self._max_listeners:
            raise TooManyListeners(
                f"{self._max_listeners} event streams are open, the maximum (SERVICE_MAX_JOB_LISTENERS). "
                "Poll GET /jobs/{job_id} instead."
            )
        signal = asyncio.Event()
        self.num_listeners += 1
        self._signals.setdefault(job_id, set()).add(signal)
        try:
            yield signal
        finally:
            self.num_listeners -= 1
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
