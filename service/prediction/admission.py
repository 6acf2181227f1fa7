"""Who may upload, who waits, and who is worked on; the rest are told, before their body, when to come back.

                upload places                 line        work places
    request ──> [.][.][.][.][.][.] ──body──> [.][.] ────> [.][.][.] ──> answer
        └──> 429, where the upload places, those of its caller, or line and work places are full

Uploading costs next to nothing and takes as long as a network does, so its places are many. Working
costs a processor, so its places are few, and the line before them is short: whoever is let in is
worked on soon. See `docs/decisions/0003-admission.md`.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from service.prediction.errors import Busy, Draining
from service.prediction.settings import PredictionSettings
from service.telemetry.spans import span

FRESH_SECONDS = 1.0
"""For so long a place in the line is kept for who began to upload. A slow upload finds its place when it has
ended; it could otherwise keep a place, for which nobody works, from all those that are quick."""


@dataclass(eq=False, slots=True)
class Visit:
    """One request that was let in."""

    caller: str
    started_at: float
    is_uploading: bool = True
    has_upload_place: bool = True


class Admission:
    """Places for requests, each freed however its request ends. Belongs to the event loop: not safe from threads."""

    # Weight of the newest request in a running mean.
    _SMOOTHING = 0.1

    def __init__(self, settings: PredictionSettings) -> None:
        self.settings = settings
        self.num_working = 0
        self.num_waiting = 0
        self._uploads: Counter[str] = Counter()
        # The uploads that a place in the line is still kept for, oldest first.
        self._fresh: dict[Visit, None] = {}
        self._work_places = asyncio.Semaphore(settings.max_working_requests)
        self._mean_upload_seconds = 1.0
        self._mean_work_seconds = 1.0
        self._is_draining = False
        self._num_visits = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def num_uploads(self) -> int:
        """How many upload places are taken."""
        return self._uploads.total()

    @contextmanager
    def visit(self, caller: str, *, is_for_later: bool = False) -> Iterator[Visit]:
        """Hold an upload place for `caller`, until the visit's work begins or the context is left.

        One `is_for_later` that is only received now: it needs no place in the line.

        Raises:
            Busy: every place is taken, or every one that this caller may have, or line and work places are full.
            Draining: the service is shutting down.
        """
        self._require_upload_place(caller)
        if not is_for_later:
            self._require_place_in_line()
        visit = Visit(caller, time.monotonic())
        self._uploads[caller] += 1
        if not is_for_later:
            self._fresh[visit] = None
        self._num_visits += 1
        self._is_idle.clear()
        try:
            yield visit
        finally:
            self._end_upload(visit)
            self._leave_upload_place(visit)
            self._num_visits -= 1
            if self._num_visits == 0:
                self._is_idle.set()

    @asynccontextmanager
    async def work(self, visit: Visit) -> AsyncIterator[None]:
        """Hold a work place for the length of the context, once the line has moved up; the upload is over.

        Whoever has uploaded is not sent away any more: that has cost them more than the wait will.
        """
        self._end_upload(visit)
        self.num_waiting += 1
        try:
            with span("wait"):
                await self._work_places.acquire()
        finally:
            self.num_waiting -= 1
        self._leave_upload_place(visit)
        self.num_working += 1
        started_at = time.monotonic()
        try:
            yield
        finally:
            self.num_working -= 1
            self._work_places.release()
            self._mean_work_seconds += self._SMOOTHING * (time.monotonic() - started_at - self._mean_work_seconds)

    def drain(self) -> None:
        """Refuse new visits from now on; those let in go on."""
        self._is_draining = True

    async def wait_until_idle(self, timeout_seconds: float) -> None:
        """Wait until every visit has ended, or for `timeout_seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._is_idle.wait()

    def _require_upload_place(self, caller: str) -> None:
        settings = self.settings
        if self._is_draining:
            raise Draining("The service is shutting down.")
        if self.num_uploads >= settings.max_concurrent_uploads:
            raise self._no_upload_place("Every upload place is taken", self.num_uploads)
        if self._uploads[caller] >= settings.max_uploads_per_caller:
            raise self._no_upload_place("Every upload place of one caller is taken", self._uploads[caller])

    def _require_place_in_line(self) -> None:
        settings = self.settings
        num_ahead = self._num_fresh() + self.num_waiting + self.num_working
        if num_ahead >= settings.max_working_requests + settings.max_waiting_requests:
            seconds = seconds_until_served(num_ahead, self._mean_work_seconds, settings.max_working_requests)
            raise Busy("Enough requests are waiting already", seconds)

    def _no_upload_place(self, detail: str, num_taken: int) -> Busy:
        # It takes one of them to end.
        return Busy(detail, seconds_until_served(1, self._mean_upload_seconds, num_taken))

    def _num_fresh(self) -> int:
        stale_before = time.monotonic() - FRESH_SECONDS
        while self._fresh and (oldest := next(iter(self._fresh))).started_at <= stale_before:
            del self._fresh[oldest]
        # Of one caller no more than half of the places: beginning to upload again and again costs next to nothing.
        most = max(1, (self.settings.max_working_requests + self.settings.max_waiting_requests) // 2)
        return sum(min(number, most) for number in Counter(visit.caller for visit in self._fresh).values())

    def _end_upload(self, visit: Visit) -> None:
        self._fresh.pop(visit, None)
        if visit.is_uploading:
            visit.is_uploading = False
            self._mean_upload_seconds += self._SMOOTHING * (
                time.monotonic() - visit.started_at - self._mean_upload_seconds
            )

    def _leave_upload_place(self, visit: Visit) -> None:
        if visit.has_upload_place:
            visit.has_upload_place = False
            self._uploads[visit.caller] -= 1
            if not self._uploads[visit.caller]:
                del self._uploads[visit.caller]


def seconds_until_served(num_ahead: int, mean_seconds: float, num_places: int) -> int:
    """In how many whole seconds, at least 1, `num_places` are through with `num_ahead`: Little's law."""
    return max(1, math.ceil(num_ahead * mean_seconds / num_places))
