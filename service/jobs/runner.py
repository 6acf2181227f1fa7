"""Runs jobs: claims them, starts attempts, renews leases, settles ended attempts.

All access to the shared state happens in one poll tick. Ticks come at an interval, because processes cannot notify each
other, and immediately after this process changed a job.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from service.jobs.attempts import Attempt, AttemptRunner
from service.jobs.changes import ChangeDetector
from service.jobs.completion import Completion
from service.jobs.database import Database
from service.jobs.errors import DatabaseUnavailable
from service.jobs.leases import claim_job, renew_leases
from service.jobs.listeners import Listeners
from service.jobs.queries import JobStatistics, job_statistics
from service.jobs.settings import JobSettings
from service.jobs.sweep import Sweeper
from service.jobs.webhooks import Webhooks

_log = logging.getLogger(__name__)


class Runner:
    """Holds at most as many jobs as it has workers, and requeues the jobs that it cannot finish."""

    def __init__(
        self,
        *,
        database: Database,
        listeners: Listeners,
        webhooks: Webhooks,
        attempts: AttemptRunner,
        completion: Completion,
        changes: ChangeDetector,
        sweeper: Sweeper,
        settings: JobSettings,
    ) -> None:
        self._database = database
        self._listeners = listeners
        self._webhooks = webhooks
        self._attempts = attempts
        self._completion = completion
        self._changes = changes
        self._sweeper = sweeper
        self._settings = settings
        self._held: dict[str, Attempt] = {}
        self._is_draining = False
        self._wakeup = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self.statistics = JobStatistics({}, 0, 0, has_due_callback=False)

    def start(self, on_failure: Callable[[], None]) -> None:
        """Start to claim jobs; `on_failure` is called if the runner stops with an unexpected error."""

        def ended(polling: asyncio.Task[None]) -> None:
            if not polling.cancelled() and (error := polling.exception()) is not None:
                _log.error("the job runner stopped", exc_info=error)
                on_failure()

        self._polling = asyncio.create_task(self._poll_until_drained())
        self._polling.add_done_callback(ended)

    def wake(self) -> None:
        """Poll now instead of at the end of the interval."""
        self._wakeup.set()

    def drain(self) -> None:
        """Claim no more jobs, and requeue the held jobs."""
        self._is_draining = True
        self.wake()

    async def close(self) -> None:
        """Drain, and wait until all held jobs are requeued."""
        self.drain()
        if self._polling is not None:
            await asyncio.wait({self._polling})

    async def stop_job(self, job_id: str) -> None:
        """Stop the attempt of a job if this process holds it, and wait until its decode worker and slots are free."""
        attempt = self._held.get(job_id)
        if attempt is not None:
            attempt.task.cancel()
            await asyncio.wait({attempt.task})
        self.wake()

    async def _poll_until_drained(self) -> None:
        while not self._is_draining:
            self._wakeup.clear()
            try:
                await self._poll()
            except DatabaseUnavailable:
                # `Database` logged the error. Leases expire, and a process that reaches the database runs the jobs.
                pass
            except OSError:
                # The jobs directory is unavailable, or no file descriptor is left. The next tick tries again.
                _log.exception("polling jobs failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.job_beat_seconds):
                    await self._wakeup.wait()
        for attempt in self._held.values():
            attempt.task.cancel()
        if self._held:
            await asyncio.wait({attempt.task for attempt in self._held.values()})
        with contextlib.suppress(DatabaseUnavailable):
            await self._settle()

    async def _poll(self) -> None:
        await self._settle()
        await self._renew_leases()
        self.statistics = await self._database.read(job_statistics)
        is_other_running = self.statistics.num_by_state.get("running", 0) > len(self._held)
        if is_other_running:
            await self._completion.fail_abandoned()
        if is_other_running or self.statistics.num_by_state.get("queued"):
            await self._claim()
        if self.statistics.has_due_callback:
            await self._webhooks.deliver_due()
        await self._changes.signal_changed()
        await self._sweeper.sweep_if_due()

    async def _settle(self) -> None:
        for attempt in [attempt for attempt in self._held.values() if attempt.task.done()]:
            await self._completion.settle(attempt)
            del self._held[attempt.claim.job_id]

    async def _renew_leases(self) -> None:
        claims = [attempt.claim for attempt in self._held.values()]
        if not claims:
            return
        valid = await self._database.write(
            lambda connection: renew_leases(connection, claims, self._settings.job_lease_seconds)
        )
        for attempt in [attempt for attempt in self._held.values() if attempt.claim.job_id not in valid]:
            attempt.task.cancel()

    async def _claim(self) -> None:
        while len(self._held) < self._settings.job_workers and not self._is_draining:
            claim = await self._database.write(
                lambda connection: claim_job(
                    connection, self._settings.job_lease_seconds, self._settings.job_max_attempts
                )
            )
            if claim is None:
                return
            attempt = self._attempts.start(claim)
            self._held[claim.job_id] = attempt
            attempt.task.add_done_callback(lambda _: self.wake())
            self._listeners.signal(claim.job_id)
