"""The job database, SQLite or PostgreSQL: reads and writes in transactions, migrations.

Reads and writes have a connection each, so that reads go on while another program blocks the writes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, delete, insert, make_url, select, text, update

from service.jobs.errors import DatabaseFault, DatabaseUnavailable
from service.jobs.persistence.connection import SQLITE, DatabaseConnection
from service.jobs.persistence.job_clock import JobClock
from service.jobs.persistence.tables import JOBS
from service.jobs.persistence.tables_version import has_current_tables, migrate_tables

_Value = TypeVar("_Value")
# An arbitrary key, unique within the database: "frame" in ASCII.
_ADVISORY_LOCK = 0x6672616D65
_MIGRATION_SECONDS = 300.0
_CLOCK = "job_clock"
# After these faults the tables are still those that were checked.
_PASSING = (DatabaseFault.LOCKED, DatabaseFault.TOO_SLOW)


class Database:
    """Runs transactions, each within a time limit. Several processes can share the database."""

    def __init__(self, url: str, directory: Path, timeout_seconds: float = 5.0) -> None:
        """Configure the connections to `url`; `directory` is the jobs directory, which holds the migration lock."""
        parsed = make_url(url)
        clock = JobClock()
        lock_path = directory / "migrate.lock"
        self._reader, self._writer = (
            DatabaseConnection(
                parsed, lock_path, self._forget_tables, is_writing=is_writing, execution_options={_CLOCK: clock}
            )
            for is_writing in (False, True)
        )
        self._timeout_seconds = timeout_seconds
        self._is_current = False
        self.on_fault: Callable[[DatabaseUnavailable], None] = lambda _error: None
        """Called when a transaction fails, before the error is raised."""

    async def open(self) -> None:
        """Migrate the tables to the current version, one process at a time, unless they are known to be current.

        Raises DatabaseUnavailable; then it can be called again.
        """
        if self._is_current:
            return
        if not await self._reader.run(has_current_tables, self._timeout_seconds):
            await self._writer.run(_migrate, _MIGRATION_SECONDS)
        self._is_current = True

    async def close(self) -> None:
        """Close the connections after the running transactions."""
        for connection in (self._reader, self._writer):
            await connection.close(self._timeout_seconds)

    async def read(self, work: Callable[[Connection], _Value]) -> _Value:
        """Run `work` in a read transaction and return its result. Raises DatabaseUnavailable."""
        return await self._run(self._reader, work)

    async def write(self, work: Callable[[Connection], _Value]) -> _Value:
        """Run `work` in a write transaction, commit it durably, and return its result. Raises DatabaseUnavailable.

        A cancelled call returns after the transaction has ended.
        """
        return await self._run(self._writer, work)

    async def _run(self, connection: DatabaseConnection, work: Callable[[Connection], _Value]) -> _Value:
        def checked(transaction: Connection) -> _Value:
            if not self._is_current:
                if not has_current_tables(transaction):
                    raise DatabaseUnavailable(DatabaseFault.OTHER_TABLES)
                self._is_current = True
            return work(transaction)

        try:
            return await connection.run(checked, self._timeout_seconds)
        except DatabaseUnavailable as error:
            if error.fault not in _PASSING:
                self._is_current = False
            self.on_fault(error)
            raise

    def _forget_tables(self) -> None:
        """Check the tables again: behind a new connection there may be another database."""
        self._is_current = False


def lock_submissions(connection: Connection) -> None:
    """Serialise submissions; write transactions of SQLite are serialised anyway."""
    if connection.dialect.name != SQLITE:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


def require_write_access(connection: Connection) -> None:
    """Check that jobs can be inserted, updated and deleted, without a change. Raises the error of the database."""
    nothing = JOBS.c.id == ""
    connection.execute(insert(JOBS).from_select(JOBS.c.keys(), select(JOBS).where(nothing)))
    connection.execute(update(JOBS).where(nothing).values(fence=0))
    connection.execute(delete(JOBS).where(nothing))


def current_time(connection: Connection) -> float:
    """Job time, in seconds: Unix time of the database's clock, without its jumps."""
    return _clock(connection).now(connection)


def keep_time(connection: Connection) -> None:
    """Store a correction for a jump of the database's clock, in a write transaction of its own."""
    _clock(connection).keep(connection)


def shown_time(connection: Connection, job_time: float) -> float:
    """The moment `job_time` on the present clock of the database."""
    return _clock(connection).shown_time(job_time)


def _clock(connection: Connection) -> JobClock:
    clock = connection.get_execution_options()[_CLOCK]
    assert isinstance(clock, JobClock)
    return clock


def _migrate(connection: Connection) -> None:
    lock_submissions(connection)
    migrate_tables(connection)
