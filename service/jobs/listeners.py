"""Who waits for news of a job: woken, not told; whoever is woken looks for themselves."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from service.jobs.errors import TooManyListeners


class Listeners:
    """A bounded number of them. Belongs to the event loop."""

    def __init__(self, max_listeners: int) -> None:
        self._max_listeners = max_listeners
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._is_closed = False
        self.num_listeners = 0

    @property
    def is_closed(self) -> bool:
        """Whether nobody is to wait any longer."""
        return self._is_closed

    @property
    def job_ids(self) -> set[str]:
        """The jobs that somebody listens to."""
        return set(self._waiting)

    @contextmanager
    def listen(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever there may be news of the job.

        Raises:
            TooManyListeners: as many listen as may.
        """
        if self.num_listeners >= self._max_listeners:
            raise TooManyListeners("As many clients listen to events as may; ask for the job itself instead.")
        news = asyncio.Event()
        self.num_listeners += 1
        self._waiting.setdefault(job_id, set()).add(news)
        try:
            yield news
        finally:
            self.num_listeners -= 1
            self._waiting[job_id].discard(news)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def wake(self, job_id: str) -> None:
        """There may be news of the job."""
        for news in self._waiting.get(job_id, ()):
            news.set()

    def close(self) -> None:
        """Wake everybody for the last time."""
        self._is_closed = True
        for job_id in self._waiting:
            self.wake(job_id)
