"""Signals the listeners of jobs that another process changed."""

from service.jobs.listeners import Listeners
from service.jobs.persistence.database import Database
from service.jobs.queries import job_versions


class ChangeDetector:
    """Compares the jobs that have listeners with their state at the previous poll."""

    def __init__(self, database: Database, listeners: Listeners) -> None:
        self._database = database
        self._listeners = listeners
        self._versions: dict[str, object] = {}

    async def signal_changed(self) -> None:
        """Signal the listeners of the jobs that changed since the previous call. Raises DatabaseUnavailable."""
        job_ids = self._listeners.job_ids
        if not job_ids:
            self._versions = {}
            return
        versions = await self._database.read(lambda connection: job_versions(connection, job_ids))
        for job_id in job_ids:
            if versions.get(job_id) != self._versions.get(job_id):
                self._listeners.signal(job_id)
        self._versions = versions
