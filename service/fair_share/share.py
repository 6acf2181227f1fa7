"""Decides which requests at work run and which pause, by the seconds that their callers have used.

A request runs undisturbed for a turn. After that it gives way to callers that used less: its decode worker is stopped
by a signal, and its clips stay in the queue of the model. A request of a caller that used more than twice as much as
another one gives way at once. Requests of one caller never give way to each other.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from service.fair_share.ledger import UsageLedger
from service.fair_share.settings import FairShareSettings

_TICK_SECONDS = 0.05
"""Interval at which use is measured and decisions are renewed while several callers are present."""

_LINGER_SECONDS = 0.04
"""Time for which others stay paused after a request: the next one of its caller may follow at once, and model calls
that began in between could not be interrupted."""

_THREADS_KEPT_FREE = 2
"""Processor threads that are kept free for a request to which others give way: for its decoding and for the model."""


class Pausable(Protocol):
    """A process whose processor time is measured and which can be stopped."""

    def processor_seconds(self) -> float:
        """Processor seconds used so far; does not fail when the process has ended."""
        ...

    def pause(self) -> None:
        """Stop the process until `resume`."""
        ...

    def resume(self) -> None:
        """Continue the process."""
        ...


class Work:
    """One request at work: the seconds it used, its decode worker, and whether it pauses."""

    def __init__(self, caller: str, ledger: UsageLedger) -> None:
        self.caller = caller
        self.seconds = 0.0
        """Seconds that this request used so far: processor time of its decoding and time of the model."""
        self.paused_at: float | None = None
        """Time of the clock since when it pauses; None while it runs."""
        self.protected_until_seconds = 0.0
        """It does not give way before `seconds` reaches this value."""
        self._ledger = ledger
        self._process: Pausable | None = None
        self._measured_seconds = 0.0
        self._on_resume: set[Callable[[], None]] = set()

    @property
    def is_paused(self) -> bool:
        """Whether the request gives way to another one now."""
        return self.paused_at is not None

    @property
    def used_by_caller(self) -> float:
        """Seconds that the caller used recently, with all its requests."""
        return self._ledger.used(self.caller)

    def charge(self, seconds: float) -> None:
        """Count seconds as used by this request and its caller."""
        self.seconds += seconds
        self._ledger.charge(self.caller, seconds)

    def attach(self, process: Pausable) -> None:
        """Measure and stop `process` with this request from now on."""
        self._process = process
        self._measured_seconds = process.processor_seconds()
        if self.is_paused:
            process.pause()

    def detach(self) -> None:
        """Charge the last seconds of the process, and let it run."""
        if self._process is None:
            return
        self.measure()
        process, self._process = self._process, None
        if self.is_paused:
            process.resume()

    def measure(self) -> None:
        """Charge the seconds that the process used since the last measurement."""
        if self._process is not None and not self.is_paused:
            seconds = self._process.processor_seconds()
            self.charge(seconds - self._measured_seconds)
            self._measured_seconds = seconds

    def pause(self, now: float) -> None:
        """Stop the process; `now` is a time of the clock."""
        if self.paused_at is None:
            self.paused_at = now
            if self._process is not None:
                self._process.pause()

    def resume(self) -> None:
        """Let the process run, and report that."""
        if self.paused_at is not None:
            self.paused_at = None
            if self._process is not None:
                # Where the system measures elapsed time only, a pause counts for nothing.
                self._measured_seconds = self._process.processor_seconds()
                self._process.resume()
            for callback in self._on_resume:
                callback()

    def on_resume(self, callback: Callable[[], None]) -> None:
        """Call `callback` at each end of a pause; adding it twice has no effect."""
        self._on_resume.add(callback)


class FairShare:
    """All requests at work, and what their callers used. Not thread-safe: use it in the event loop."""

    def __init__(
        self, settings: FairShareSettings, *, num_threads: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`num_threads` is the number of threads that may decode at the same time; `clock` returns seconds."""
        self.settings = settings
        self.ledger = UsageLedger(settings.fair_share_half_life_seconds, clock)
        self.num_pauses = 0
        """Pauses so far."""
        self._num_threads = num_threads
        self._clock = clock
        # In the order in which they began.
        self._works: dict[Work, None] = {}
        self._waiting: Counter[str] = Counter()
        # The callers whose last request ended a moment ago, with that time.
        self._left: dict[str, float] = {}
        self._grants: list[Callable[[], None]] = []
        self._tick: asyncio.TimerHandle | None = None

    @property
    def num_paused(self) -> int:
        """Number of requests that pause now."""
        return sum(work.is_paused for work in self._works)

    def on_change(self, grant: Callable[[], None]) -> None:
        """Call `grant` after each decision: it may let a waiting request begin."""
        self._grants.append(grant)

    @contextmanager
    def work(self, caller: str) -> Iterator[Work]:
        """A request of `caller` that is at work while the context lasts."""
        work = Work(caller, self.ledger)
        self._works[work] = None
        try:
            self.reconsider()
            yield work
        finally:
            work.detach()
            del self._works[work]
            self._left[caller] = self._clock()
            self.reconsider()

    @contextmanager
    def waiting(self, caller: str) -> Iterator[None]:
        """A request of `caller` waits while the context lasts."""
        self._waiting[caller] += 1
        try:
            self._schedule_tick()
            yield
        finally:
            self._waiting[caller] -= 1
            if not self._waiting[caller]:
                del self._waiting[caller]

    def measure(self) -> None:
        """Charge the seconds that every request used until now."""
        for work in self._works:
            work.measure()

    def lead(self, caller: str, other: str) -> float:
        """Return how many seconds more `caller` used than `other`; negative if it used less."""
        return self.ledger.used(caller) - self.ledger.used(other)

    def precedes(self, caller: str, work: Work) -> bool:
        """Whether `work` gives way to requests of `caller`."""
        turn, lead = self.settings.fair_share_turn_seconds, self.lead(work.caller, caller)
        if work.caller == caller or lead <= turn or work.seconds < work.protected_until_seconds:
            return False
        return work.seconds > turn or lead > self.ledger.used(caller) + turn

    def precedes_any(self, caller: str, holders: Counter[str]) -> bool:
        """Whether a request at work of one of `holders` gives way to requests of `caller`."""
        return any(work.caller in holders and self.precedes(caller, work) for work in self._works)

    def reconsider(self) -> None:
        """Measure, then decide again which requests pause and which may begin."""
        self.measure()
        self._update_pauses()
        for grant in self._grants:
            grant()
        self._schedule_tick()

    def _update_pauses(self) -> None:
        """Pause the requests that give way to others that need the threads; the one whose caller used least is first.

        A request that has paused for the longest time gets a turn.
        """
        at_work = {work.caller for work in self._works}
        oldest = self._clock() - _LINGER_SECONDS
        self._left = {caller: at for caller, at in self._left.items() if at > oldest and caller not in at_work}
        running: list[Work] = []
        for work in sorted(self._works, key=lambda work: work.used_by_caller):
            if work.paused_at is not None and self._clock() - work.paused_at >= self._max_pause_seconds:
                work.protected_until_seconds = work.seconds + self.settings.fair_share_turn_seconds
            preceding = [other for other in running if self.precedes(other.caller, work)]
            num_left = sum(self.precedes(caller, work) for caller in self._left)
            num_kept_free = _THREADS_KEPT_FREE * (len(preceding) + num_left)
            if num_kept_free and num_kept_free + len(running) - len(preceding) >= self._num_threads:
                self.num_pauses += not work.is_paused
                work.pause(self._clock())
            else:
                work.resume()
                running.append(work)

    @property
    def _max_pause_seconds(self) -> float:
        return self.settings.fair_share_max_pause_seconds

    def _schedule_tick(self) -> None:
        """Reconsider soon if several callers are present: what they use changes the decisions."""
        is_contended = len({*self._waiting, *self._left, *(work.caller for work in self._works)}) > 1
        if is_contended and self._tick is None:
            self._tick = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        self.reconsider()
