"""Removes expired jobs, and the uploads that a crash left: of jobs that have ended, and without a job."""

import asyncio
import time

from service.jobs.persistence.database import Database
from service.jobs.queries import has_ended_by_id, remove_expired_jobs
from service.jobs.uploads import JobUploads

_SWEEP_SECONDS = 60.0
# Without its row an upload looks like that of a crash. The row may come back: the operator named a wrong database, or
# restores it.
_MIN_ORPHAN_AGE_SECONDS = 86400.0


class Sweeper:
    """Sweeps at most once a minute."""

    def __init__(self, database: Database, uploads: JobUploads, max_upload_seconds: float) -> None:
        self._database = database
        self._uploads = uploads
        # Twice as long as an upload takes to reach the database.
        self._min_orphan_age_seconds = max(2 * max_upload_seconds, _MIN_ORPHAN_AGE_SECONDS)
        self._swept_at = -_SWEEP_SECONDS

    async def sweep_if_due(self) -> None:
        """Sweep unless the last sweep was less than a minute ago. Raises DatabaseUnavailable or OSError."""
        if time.monotonic() <= self._swept_at + _SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        await self._database.write(remove_expired_jobs)
        ages_seconds = await asyncio.to_thread(self._uploads.ages_seconds)
        if not ages_seconds:
            return
        has_ended = await self._database.read(lambda connection: has_ended_by_id(connection, ages_seconds.keys()))
        for job_id, age_seconds in ages_seconds.items():
            if has_ended.get(job_id, age_seconds > self._min_orphan_age_seconds):
                self._uploads.remove(job_id)
