"""The storage of jobs, a directory and a database: opened as often as necessary, and reported to /health."""

import asyncio
import logging
import time

from service.jobs.errors import DatabaseFault, DatabaseUnavailable
from service.jobs.persistence.database import Database
from service.jobs.uploads import JobUploads
from service.lifecycle import Lifecycle

_log = logging.getLogger(__name__)

_PART = "jobs"
# Each tick opens the storage, and some follow each other at once.
_DIRECTORY_CHECK_SECONDS = 1.0


class JobStorage:
    """Opens the directory and the database, and reports whether they work as the part `jobs` of the service."""

    def __init__(self, database: Database, uploads: JobUploads, lifecycle: Lifecycle) -> None:
        self._database = database
        self._uploads = uploads
        self._lifecycle = lifecycle
        self._opening = asyncio.Lock()
        self._directory_opened_at: float | None = None
        self._unexpected: str | None = None
        # A failed request is reported at once; whether the database works again is seen by the next tick.
        database.on_fault = self.report

    async def open(self) -> None:
        """Open the database unless it is open, and the directory again. Raises DatabaseUnavailable.

        A directory that was removed is created again, and one that cannot be written is noticed.
        """
        async with self._opening:
            opened_at = self._directory_opened_at
            if opened_at is None or time.monotonic() > opened_at + _DIRECTORY_CHECK_SECONDS:
                try:
                    await asyncio.to_thread(self._uploads.open)
                except OSError as error:
                    raise DatabaseUnavailable(DatabaseFault.DIRECTORY) from error
                self._directory_opened_at = time.monotonic()
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
        self._directory_opened_at = None
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
