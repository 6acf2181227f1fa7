"""The job database, SQLite or PostgreSQL: connections, transactions on one thread, migrations."""

import asyncio
import fcntl
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event, make_url, text
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.jobs.errors import DatabaseUnavailable

_log = logging.getLogger(__name__)

_Value = TypeVar("_Value")
_SQLITE = "sqlite"
# An arbitrary key, unique within the database: "frame" in ASCII.
_ADVISORY_LOCK = 0x6672616D65
# How long SQLite waits for a lock; longer than any transaction of this module.
_LOCK_TIMEOUT_SECONDS = 30
# By default libpq waits minutes for an unreachable server, and each request for a job would wait as long.
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_POSTGRESQL_TIMEOUTS = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_WRITING = "is_writing"


class Database:
    """Runs transactions on its own thread. Several processes can share the database."""

    def __init__(self, url: str, directory: Path) -> None:
        """Configure the connection to `url`; `directory` is the jobs directory, which holds the migration lock."""
        parsed = make_url(url)
        self._is_sqlite = parsed.get_backend_name() == _SQLITE
        options: dict[str, Any] = (
            {"connect_args": {"timeout": _LOCK_TIMEOUT_SECONDS}}
            if self._is_sqlite
            else {
                "pool_pre_ping": True,
                # Parameters of the URL take precedence.
                "connect_args": {
                    name: value for name, value in _POSTGRESQL_TIMEOUTS.items() if name not in parsed.query
                },
            }
        )
        self._engine = create_engine(parsed, pool_size=1, max_overflow=0, **options)
        self._directory = directory
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jobs-database")
        if self._is_sqlite:
            event.listen(self._engine, "connect", _set_up_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)

    async def open(self) -> None:
        """Migrate the tables to the current version, one process at a time. Raises DatabaseUnavailable."""
        await self._run(self._migrate)

    async def close(self) -> None:
        """Close the connections after the running transaction."""
        await self._run(self._engine.dispose)
        self._thread.shutdown()

    async def read(self, work: Callable[[Connection], _Value]) -> _Value:
        """Run `work` in a read transaction and return its result. Raises DatabaseUnavailable."""
        return await self._run(lambda: self._transact(work, is_writing=False))

    async def write(self, work: Callable[[Connection], _Value]) -> _Value:
        """Run `work` in a write transaction, commit it durably, and return its result. Raises DatabaseUnavailable.

        A cancelled call returns after the transaction has ended.
        """
        return await self._run(lambda: self._transact(work, is_writing=True))

    async def _run(self, work: Callable[[], _Value]) -> _Value:
        thread = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            await asyncio.wait({thread})
            raise

    def _transact(self, work: Callable[[Connection], _Value], *, is_writing: bool) -> _Value:
        try:
            with self._engine.execution_options(**{_WRITING: is_writing}).begin() as connection:
                return work(connection)
        except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
            # The driver's message may contain the address of the database: it is logged, but not shown to clients.
            _log.warning("job database failed", extra={"error": str(error)})
            raise DatabaseUnavailable("The job database is unavailable. Try again later.") from error

    def _migrate(self) -> None:
        with ExitStack() as stack:
            if self._is_sqlite:
                # SQLite processes can wait for each other only after the journal mode is WAL, hence the file lock.
                lock = stack.enter_context((self._directory / "migrate.lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._transact(_upgrade, is_writing=True)


def lock_submissions(connection: Connection) -> None:
    """Serialise submissions; write transactions of SQLite are serialised anyway."""
    if connection.dialect.name != _SQLITE:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


def current_time(connection: Connection) -> float:
    """Unix time of the database's clock, in seconds."""
    clock = (
        "SELECT (julianday('now') - 2440587.5) * 86400.0"
        if connection.dialect.name == _SQLITE
        else "SELECT extract(epoch FROM clock_timestamp())"
    )
    return float(connection.execute(text(clock)).scalar_one())


def _upgrade(connection: Connection) -> None:
    lock_submissions(connection)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _set_up_sqlite(connection: SqliteConnection, _record: object) -> None:
    # `_begin_sqlite` begins transactions, because the driver would begin them too late.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # A committed transaction survives a power failure.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads before it writes would fail if another process wrote in between.
    is_writing = connection.get_execution_options().get(_WRITING)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")
