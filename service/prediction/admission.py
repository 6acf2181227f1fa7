"""Admission: upload slots, a short queue and few work slots. Other requests get 429 before their body is read.

                upload slots                 queue       work slots
    request ──> [.][.][.][.][.][.] ──body──> [.][.] ────> [.][.][.] ──> response
        └──> 429 if the upload slots in total or of the caller, or the queue and the work slots are full

An upload costs almost nothing and takes as long as the network does, so there are many upload slots. Work costs a
processor, so there are few work slots, and the queue before them is short. See `docs/decisions/0003-admission.md`.
Queue and work slots are shared between callers by the seconds that each used (`service.fair_share`).
"""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from service.cores import num_cores
from service.fair_share.settings import FairShareSettings
from service.fair_share.share import FairShare
from service.fair_share.slots import FairSlots
from service.prediction.errors import Busy, Draining
from service.prediction.settings import PredictionSettings
from service.telemetry.spans import span

RESERVATION_SECONDS = 1.0
"""A recently started upload reserves a position in the queue for this long.

A slower upload joins the queue when it ends. Slow uploads would otherwise reserve positions for which no work arrives.
"""


@dataclass(eq=False, slots=True)
class Ticket:
    """The admission ticket of one request."""

    caller: str
    started_at: float
    is_uploading: bool = True
    has_upload_slot: bool = True


class Admission:
    """Hands out the slots; each is released however its request ends. Not thread-safe: use it in the event loop."""

    # Weight of the newest request in the running means.
    _SMOOTHING = 0.1

    def __init__(
        self,
        settings: PredictionSettings,
        fair_share: FairShare | None = None,
        *,
        reservation_seconds: float = RESERVATION_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` returns seconds. Without `fair_share`, callers are equal whatever they use."""
        self.settings = settings
        self._fair_share = fair_share or FairShare(FairShareSettings(), num_threads=num_cores())
        self.num_working = 0
        self.num_waiting = 0
        self._reservation_seconds = reservation_seconds
        self._clock = clock
        self._uploads: Counter[str] = Counter()
        # Recently started uploads, oldest first; each reserves a position in the queue.
        self._recent: dict[Ticket, None] = {}
        self._work_slots = FairSlots(self._fair_share, settings.max_working_requests)
        self._mean_upload_seconds = 1.0
        self._mean_work_seconds = 1.0
        self._is_draining = False
        self._num_tickets = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def num_uploads(self) -> int:
        """Number of upload slots that are taken."""
        return self._uploads.total()

    @contextmanager
    def admit(self, caller: str, *, is_background: bool = False) -> Iterator[Ticket]:
        """Hold an upload slot for `caller`, until the work of the ticket begins or the context ends.

        An upload with `is_background` (of a job) needs no position in the queue.

        Raises:
            Busy: no upload slot is free, or none for this caller, or queue and work slots are full.
            Draining: the service is shutting down.
        """
        self._require_upload_slot(caller)
        if not is_background:
            self._require_queue_position(caller)
        ticket = Ticket(caller, self._clock())
        self._uploads[caller] += 1
        if not is_background:
            self._recent[ticket] = None
        self._num_tickets += 1
        self._is_idle.clear()
        try:
            yield ticket
        finally:
            self._end_upload(ticket)
            self._release_upload_slot(ticket)
            self._num_tickets -= 1
            if self._num_tickets == 0:
                self._is_idle.set()

    @asynccontextmanager
    async def work(self, ticket: Ticket) -> AsyncIterator[None]:
        """Wait in the queue, then hold a work slot while the context lasts. The upload of the ticket has ended.

        A request is never refused here: that would waste its whole upload.
        """
        self._end_upload(ticket)
        self.num_waiting += 1
        try:
            with span("wait"):
                await self._work_slots.acquire(ticket.caller)
        finally:
            self.num_waiting -= 1
        self._release_upload_slot(ticket)
        self.num_working += 1
        started_at = self._clock()
        try:
            yield
        finally:
            self.num_working -= 1
            self._work_slots.release(ticket.caller)
            self._mean_work_seconds += self._SMOOTHING * (self._clock() - started_at - self._mean_work_seconds)

    def drain(self) -> None:
        """Refuse new requests from now on; admitted requests go on."""
        self._is_draining = True

    async def wait_until_idle(self, timeout_seconds: float) -> None:
        """Wait until every admitted request has ended, at most `timeout_seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._is_idle.wait()

    def _require_upload_slot(self, caller: str) -> None:
        settings = self.settings
        if self._is_draining:
            raise Draining("The service is shutting down.")
        if self.num_uploads >= settings.max_concurrent_uploads:
            raise self._no_upload_slot(
                f"All {settings.max_concurrent_uploads} upload slots are taken", self.num_uploads
            )
        if self._uploads[caller] >= settings.max_uploads_per_caller:
            raise self._no_upload_slot(
                f"All {settings.max_uploads_per_caller} upload slots of this caller are taken", self._uploads[caller]
            )

    def _require_queue_position(self, caller: str) -> None:
        settings = self.settings
        num_ahead = self._num_ahead_of(caller)
        if num_ahead >= self._num_positions:
            seconds = seconds_until_served(num_ahead, self._mean_work_seconds, settings.max_working_requests)
            raise Busy("The queue of requests is full", seconds)

    def _no_upload_slot(self, detail: str, num_taken: int) -> Busy:
        # One of the uploads must end first.
        return Busy(detail, seconds_until_served(1, self._mean_upload_seconds, num_taken))

    def _num_ahead_of(self, caller: str) -> int:
        """Number of positions in queue and work slots that count against a new request of `caller`.

        Requests of a caller that used more do not count, because they give way. A caller that used about as much
        counts with its share of all positions at most, so that no flood fills the queue for other callers.
        """
        self._fair_share.measure()
        taken = self._reserved() + self._work_slots.waiting + self._work_slots.held
        turn = self._fair_share.settings.fair_share_turn_seconds
        share = max(1, self._num_positions // len({caller, *taken}))
        num_ahead = 0
        for other, number in taken.items():
            if other == caller or self._fair_share.ledger.used(other) <= turn:
                num_ahead += number
            elif self._fair_share.lead(other, caller) <= turn:
                num_ahead += min(number, share)
        return num_ahead

    @property
    def _num_positions(self) -> int:
        return self.settings.max_working_requests + self.settings.max_waiting_requests

    def _reserved(self) -> Counter[str]:
        expired_at = self._clock() - self._reservation_seconds
        while self._recent and (oldest := next(iter(self._recent))).started_at <= expired_at:
            del self._recent[oldest]
        # At most half of the positions for one caller, because starting many uploads costs a client almost nothing.
        most = max(1, self._num_positions // 2)
        numbers = Counter(ticket.caller for ticket in self._recent)
        return Counter({caller: min(number, most) for caller, number in numbers.items()})

    def _end_upload(self, ticket: Ticket) -> None:
        self._recent.pop(ticket, None)
        if ticket.is_uploading:
            ticket.is_uploading = False
            seconds = self._clock() - ticket.started_at
            self._mean_upload_seconds += self._SMOOTHING * (seconds - self._mean_upload_seconds)

    def _release_upload_slot(self, ticket: Ticket) -> None:
        if ticket.has_upload_slot:
            ticket.has_upload_slot = False
            self._uploads[ticket.caller] -= 1
            if not self._uploads[ticket.caller]:
                del self._uploads[ticket.caller]


def seconds_until_served(num_ahead: int, mean_seconds: float, num_slots: int) -> int:
    """Return in how many whole seconds, at least 1, `num_slots` serve `num_ahead` requests (Little's law)."""
    return max(1, math.ceil(num_ahead * mean_seconds / num_slots))
