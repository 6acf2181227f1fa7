"""The jobs' database: SQLite or PostgreSQL, from one thread, one transaction at a time.

Knows how to reach it and how to bring its tables up to date, and nothing of jobs.
"""

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
# Any number will do that nobody else in the database uses: "frame" in ASCII.
_ADVISORY_LOCK = 0x6672616D65
# As SQLite waits for a lock; longer than any transaction of ours takes.
_LOCK_TIMEOUT_SECONDS = 30
# Left alone, libpq waits minutes for a server that a network swallows, and with it every job that is asked for.
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_POSTGRESQL_GIVES_UP = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_WRITING = "is_writing"


class Database:
    """Runs transactions in a thread of its own; safe to share with other processes."""

    def __init__(self, url: str, directory: Path) -> None:
        """`directory` is the jobs' own, where processes that share it on one machine find each other."""
        parsed = make_url(url)
        self._is_sqlite = parsed.get_backend_name() == _SQLITE
        options: dict[str, Any] = (
            {"connect_args": {"timeout": _LOCK_TIMEOUT_SECONDS}}
            if self._is_sqlite
            else {
                "pool_pre_ping": True,
                # What the URL says itself stands.
                "connect_args": {
                    name: value for name, value in _POSTGRESQL_GIVES_UP.items() if name not in parsed.query
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
        """Bring the tables up to date, one process at a time; raises DatabaseUnavailable where there is no database."""
        await self._run(self._migrate)

    async def close(self) -> None:
        """Let go of the database once what was begun is done."""
        await self._run(self._engine.dispose)
        self._thread.shutdown()

    async def read(self, work: Callable[[Connection], _Value]) -> _Value:
        """What `work` reads in one transaction; raises DatabaseUnavailable."""
        return await self._run(lambda: self._transact(work, is_writing=False))

    async def write(self, work: Callable[[Connection], _Value]) -> _Value:
        """What `work` makes of one transaction, which is on disk then; raises DatabaseUnavailable.

        A caller that is cancelled learns of it when the transaction has ended.
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
            # Its words may tell where the database is, which is for operators only.
            _log.warning("the jobs' database failed", extra={"error": str(error)})
            raise DatabaseUnavailable("The jobs' database cannot be reached at the moment.") from error

    def _migrate(self) -> None:
        with ExitStack() as stack:
            if self._is_sqlite:
                # Before SQLite may wait for one another, the file's journal must be of the kind that allows it.
                lock = stack.enter_context((self._directory / "migrate.lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._transact(_upgrade, is_writing=True)


def lock_submissions(connection: Connection) -> None:
    """Have the transaction be the only one of its kind; every writing one of SQLite is."""
    if connection.dialect.name != _SQLITE:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


def current_time(connection: Connection) -> float:
    """Unix time by the database's clock."""
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
    # Transactions are begun by us, below: the driver would begin them later than they must be.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # What is committed survives even the machine's end.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # One that reads first and then writes may find that another has written in between, and fail.
    is_writing = connection.get_execution_options().get(_WRITING)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")
