"""The storage of jobs, a directory and a database: opened as often as necessary, and reported to /health."""

import asyncio
import logging

from service.jobs.database import Database
from service.jobs.errors import DatabaseFault, DatabaseUnavailable
from service.jobs.uploads import JobUploads
from service.lifecycle import Lifecycle

_log = logging.getLogger(__name__)

_PART = "jobs"


class JobStorage:
    """Opens the directory and the database, and reports whether they work as the part `jobs` of the service."""

    def __init__(self, database: Database, uploads: JobUploads, lifecycle: Lifecycle) -> None:
        self._database = database
        self._uploads = uploads
        self._lifecycle = lifecycle
        self._opening = asyncio.Lock()
        self._is_directory_open = False
        self._unexpected: str | None = None
        # A failed request is reported at once; whether the database works again is seen by the next tick.
        database.on_fault = self.report

    async def open(self) -> None:
        """Open the directory and the database unless they are open. Raises DatabaseUnavailable."""
        async with self._opening:
            if not self._is_directory_open:
                try:
                    await asyncio.to_thread(self._uploads.open)
                except OSError as error:
                    raise DatabaseUnavailable(DatabaseFault.DIRECTORY) from error
                self._is_directory_open = True
            await self._database.open()

    def report_success(self) -> None:
        """Report that jobs work."""
        self._unexpected = None
        self._lifecycle.recover(_PART)

    def report_opening(self) -> None:
        """Report that the database is still being opened."""
        self._lifecycle.degrade(_PART, "opening", "The database is being opened. A migration may take minutes.")

    def report(self, error: Exception) -> None:
        """Report an error of the storage, or an unexpected one; the next call of `open` starts from the beginning."""
        self._is_directory_open = False
        if isinstance(error, DatabaseUnavailable):
            self._lifecycle.degrade(_PART, error.fault, error.fault.remedy)
            return
        if (seen := repr(error)) != self._unexpected:
            # It may be the same in each tick.
            self._unexpected = seen
            _log.error("polling jobs failed", exc_info=error)
        if isinstance(error, OSError):
            self._lifecycle.degrade(_PART, DatabaseFault.DIRECTORY, DatabaseFault.DIRECTORY.remedy)
        else:
            self._lifecycle.degrade(_PART, "internal", "Running jobs failed. The log of the service has the error.")
