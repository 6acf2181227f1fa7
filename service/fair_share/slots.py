"""Slots that are given to the waiting caller that used least."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.fair_share.share import FairShare


@dataclass(eq=False, slots=True)
class _Waiter:
    """A request that waits for a slot; the future is done when it has one."""

    caller: str
    granted: asyncio.Future[None]


class FairSlots:
    """A fixed number of slots; the waiting caller that used least is next, in order of arrival for equal use.

    If all are taken, a caller that holds none gets one of `FairShareSettings.max_preempting_requests` extra slots, if
    a request that holds one gives way to it. So requests that take minutes do not delay other callers.
    """

    def __init__(self, share: FairShare, num_slots: int) -> None:
        self._share = share
        self._num_slots = num_slots
        self._waiters: dict[_Waiter, None] = {}
        self.held: Counter[str] = Counter()
        """Slots that each caller holds."""
        share.on_change(self._grant)

    @property
    def num_held(self) -> int:
        """Number of slots that are taken, extra ones included."""
        return self.held.total()

    @property
    def waiting(self) -> Counter[str]:
        """Requests of each caller that wait."""
        return Counter(waiter.caller for waiter in self._waiters)

    @asynccontextmanager
    async def hold(self, caller: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it while the context lasts."""
        await self.acquire(caller)
        try:
            yield
        finally:
            self.release(caller)

    async def acquire(self, caller: str) -> None:
        """Wait for a slot; `release` gives it back."""
        waiter = _Waiter(caller, asyncio.get_running_loop().create_future())
        self._waiters[waiter] = None
        self._share.reconsider()
        try:
            if not waiter.granted.done():
                with self._share.waiting(caller):
                    await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiters:
                del self._waiters[waiter]
            else:
                # It was granted in the same moment.
                self.release(caller)
            raise

    def release(self, caller: str) -> None:
        """Give a slot back."""
        self.held[caller] -= 1
        if not self.held[caller]:
            del self.held[caller]
        self._share.reconsider()

    def _grant(self) -> None:
        for waiter in sorted(self._waiters, key=lambda waiter: self._share.ledger.used(waiter.caller)):
            if waiter.granted.cancelled() or not self._is_free_for(waiter.caller):
                continue
            del self._waiters[waiter]
            self.held[waiter.caller] += 1
            waiter.granted.set_result(None)

    def _is_free_for(self, caller: str) -> bool:
        if self.num_held < self._num_slots:
            return True
        most = self._num_slots + self._share.settings.max_preempting_requests
        return self.num_held < most and caller not in self.held and self._share.precedes_any(caller, self.held)
