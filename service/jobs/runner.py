"""Runs jobs: claims them, starts attempts, renews leases, settles ended attempts.

All access to the shared state happens in one poll tick. Ticks come at an interval, because processes cannot notify each
other, and immediately after this process changed a job.
"""

import asyncio
import contextlib
import logging
import time

from sqlalchemy import Connection

from service.jobs.attempts import Attempt, AttemptRunner
from service.jobs.changes import ChangeDetector
from service.jobs.completion import Completion
from service.jobs.delivery.webhooks import Webhooks
from service.jobs.errors import DatabaseUnavailable
from service.jobs.leases import Claim, claim_job, renew_leases
from service.jobs.listeners import Listeners
from service.jobs.persistence.database import Database, keep_time, require_write_access
from service.jobs.persistence.storage import JobStorage
from service.jobs.queries import JobStatistics, job_statistics
from service.jobs.settings import JobSettings
from service.jobs.sweep import Sweeper

_log = logging.getLogger(__name__)

# The tick in progress, and the requeuing of the held jobs; each may take a second more than its time limit.
_MAX_CLOSING_CALLS = 2


class Runner:
    """Holds at most as many jobs as it has workers, and requeues the jobs that it cannot finish."""

    def __init__(
        self,
        *,
        storage: JobStorage,
        database: Database,
        listeners: Listeners,
        webhooks: Webhooks,
        attempts: AttemptRunner,
        completion: Completion,
        changes: ChangeDetector,
        sweeper: Sweeper,
        settings: JobSettings,
    ) -> None:
        self._storage = storage
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
        self._statistics_read_at = time.monotonic()
        self.statistics = JobStatistics({}, 0, 0, has_due_callback=False)

    @property
    def queue_age_seconds(self) -> float:
        """Age of the oldest queued job; it grows also while the database cannot be read."""
        if not self.statistics.num_by_state.get("queued"):
            return 0
        return self.statistics.queue_age_seconds + time.monotonic() - self._statistics_read_at

    def start(self) -> None:
        """Start to claim jobs. An error is reported and tried again; it never ends the runner."""
        self._polling = asyncio.create_task(self._poll_until_drained())

    def wake(self) -> None:
        """Poll now instead of at the end of the interval."""
        self._wakeup.set()

    def drain(self) -> None:
        """Claim no more jobs, and requeue the held jobs."""
        self._is_draining = True
        self.wake()

    async def close(self) -> None:
        """Drain, and wait until all held jobs are requeued, but not for a database that does not respond."""
        self.drain()
        if self._polling is not None:
            seconds = _MAX_CLOSING_CALLS * (self._settings.database_timeout_seconds + 1)
            _, pending = await asyncio.wait({self._polling}, timeout=seconds)
            for polling in pending:
                # The leases of its jobs expire, and another process runs them.
                polling.cancel()

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
                await self._storage.open()
                await self._poll()
            except Exception as error:  # noqa: BLE001 - reported, and the next tick tries again
                self._storage.report(error)
            else:
                self._storage.report_success()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.job_beat_seconds):
                    await self._wakeup.wait()
        for attempt in self._held.values():
            attempt.task.cancel()
        if self._held:
            await asyncio.wait({attempt.task for attempt in self._held.values()})
        # Leases expire, and a process that reaches the database runs the jobs.
        try:
            await self._settle()
        except Exception as error:  # noqa: BLE001 - as in a tick
            self._storage.report(error)

    async def _poll(self) -> None:
        """Run each step of a tick. An unexpected error of one step is raised after the others."""
        errors = []
        for step in (
            self._settle,
            self._renew_leases,
            self._read_statistics,
            self._run_jobs,
            self._deliver_callbacks,
            self._changes.signal_changed,
            self._sweeper.sweep_if_due,
        ):
            try:
                await step()
            except DatabaseUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)
        if errors:
            raise errors[0]

    async def _read_statistics(self) -> None:
        self.statistics = await self._database.read(job_statistics)
        self._statistics_read_at = time.monotonic()

    async def _run_jobs(self) -> None:
        is_other_running = self.statistics.num_by_state.get("running", 0) > len(self._held)
        if is_other_running:
            await self._completion.fail_abandoned()
        if is_other_running or self.statistics.num_by_state.get("queued"):
            await self._claim()

    async def _deliver_callbacks(self) -> None:
        if self.statistics.has_due_callback:
            await self._webhooks.deliver_due()

    async def _settle(self) -> None:
        for attempt in [attempt for attempt in self._held.values() if attempt.task.done()]:
            await self._completion.settle(attempt)
            del self._held[attempt.claim.job_id]

    async def _renew_leases(self) -> None:
        """Renew the leases of the held jobs; without held jobs, only check that the database can be written to."""
        claims = [attempt.claim for attempt in self._held.values()]
        valid = await self._database.write(lambda connection: self._renew(connection, claims))
        for attempt in [attempt for attempt in self._held.values() if attempt.claim.job_id not in valid]:
            attempt.task.cancel()

    def _renew(self, connection: Connection, claims: list[Claim]) -> set[str]:
        require_write_access(connection)
        keep_time(connection)
        return renew_leases(connection, claims, self._settings.job_lease_seconds) if claims else set()

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
