"""Removes expired jobs, and the uploads that a crash left: of jobs that have ended, and without a job."""

import asyncio
import time

from service.jobs.persistence.database import Database
from service.jobs.queries import ended_job_ids, remove_expired_jobs, unfinished_job_ids
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
        stored = await asyncio.to_thread(self._uploads.older_than, 0)
        if stored:
            for job_id in await self._database.read(lambda connection: ended_job_ids(connection, stored)):
                self._uploads.remove(job_id)
        old = await asyncio.to_thread(self._uploads.older_than, self._min_orphan_age_seconds)
        if old:
            needed = await self._database.read(lambda connection: unfinished_job_ids(connection, old))
            for job_id in set(old) - needed:
                self._uploads.remove(job_id)
