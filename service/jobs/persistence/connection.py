"""One connection to the job database with the thread that uses it; every call ends within its time limit."""

import asyncio
import fcntl
import logging
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from service.jobs.errors import DatabaseFault, DatabaseUnavailable
from service.jobs.persistence.faults import database_fault

_log = logging.getLogger(__name__)

_Value = TypeVar("_Value")

SQLITE = "sqlite"
# By default libpq waits minutes for an unreachable server, and each request for a job would wait as long.
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_POSTGRESQL_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_TIMEOUT = "timeout_seconds"
# The limits of the database itself end first, because their errors state the cause.
_GRACE_SECONDS = 0.5
_LOCK_TIMEOUT_FRACTION = 0.9
_FILE_LOCK_SECONDS = 5.0
_FILE_LOCK_POLL_SECONDS = 0.02


@dataclass(slots=True)
class _Call:
    """A call of the thread: its deadline on the monotonic clock, and how far it is."""

    deadline: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    has_begun: bool = False
    is_given_up: bool = False

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()


class DatabaseConnection:
    """Runs transactions one after the other."""

    def __init__(
        self,
        url: URL,
        lock_path: Path,
        on_connect: Callable[[], None],
        *,
        is_writing: bool,
        execution_options: dict[str, Any],
    ) -> None:
        """Configure the connection.

        `lock_path` is a file that processes lock while they connect to SQLite. `on_connect` is called by the thread
        before the first transaction of each connection to a file or server.
        """
        self._is_sqlite = url.get_backend_name() == SQLITE
        self._lock_path = lock_path
        self._on_connect = on_connect
        self._is_writing = is_writing
        options: dict[str, Any] = {}
        if not self._is_sqlite:
            # Parameters of the URL take precedence.
            connect_args = {name: value for name, value in _POSTGRESQL_OPTIONS.items() if name not in url.query}
            # A statement prepared on the server belongs to a connection; a pooler such as PgBouncer, which gives each
            # transaction another one, would not find it, or would find that of another client.
            connect_args["prepare_threshold"] = None
            options = {"connect_args": connect_args, "pool_pre_ping": True, "use_native_hstore": False}
        self._engine = create_engine(url, pool_size=1, max_overflow=0, **options).execution_options(**execution_options)
        self._path = Path(url.database) if self._is_sqlite and url.database else None
        self._opened_file: tuple[int, int] | None = None
        # The driver's connection, also while it is being set up.
        self._raw: Any = None
        # Of the previous call; None if it succeeded.
        self._last_fault: DatabaseFault | None = None
        name = f"jobs-database-{'writer' if is_writing else 'reader'}"
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        event.listen(self._engine, "do_connect", self._connect)
        event.listen(self._engine, "begin", self._begin)

    async def run(self, work: Callable[[Connection], _Value], timeout_seconds: float) -> _Value:
        """Run `work` in a transaction, commit it durably, and return its result.

        A cancelled call returns after the transaction has ended.

        Raises:
            DatabaseUnavailable: the database reported an error, or did not respond in time; the time in the queue
                counts. Nothing was written, unless the connection was lost during the commit.
        """
        call = _Call(time.monotonic() + timeout_seconds)
        job = self._thread.submit(self._execute, call, work)
        waiting = asyncio.wrap_future(job)
        # The error of a call that nobody awaits any more is not lost: `_execute` logs it.
        waiting.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        try:
            await self._end(call, job, waiting)
        except asyncio.CancelledError:
            if not job.cancel():
                await self._end(call, job, waiting)
            raise
        if not waiting.done() or waiting.cancelled():
            raise DatabaseUnavailable(self._last_fault or DatabaseFault.TOO_SLOW)
        return waiting.result()

    async def close(self, timeout_seconds: float) -> None:
        """Close the connection after the running transaction, which is interrupted after `timeout_seconds`."""
        closing_connection = asyncio.wrap_future(self._thread.submit(self._engine.dispose))
        self._thread.shutdown(wait=False)
        done, _ = await asyncio.wait({closing_connection}, timeout=timeout_seconds)
        if not done:
            self._interrupt()
            await asyncio.wait({closing_connection}, timeout=_GRACE_SECONDS)

    async def _end(self, call: _Call, job: Future[Any], waiting: "asyncio.Future[Any]") -> None:
        """Wait until the call ends. After its deadline it is given up, and a transaction that has begun interrupted."""
        await asyncio.wait({waiting}, timeout=max(0, call.seconds_left) + _GRACE_SECONDS)
        if waiting.done() or job.cancel():
            return
        with call.lock:
            call.is_given_up = True
            has_begun = call.has_begun
        self._interrupt()
        if has_begun:
            # Whether the transaction was committed is known when the thread returns.
            await asyncio.wait({waiting})

    def _interrupt(self) -> None:
        raw = self._raw
        if raw is None:
            return
        with suppress(Exception):
            if self._is_sqlite:
                raw.interrupt()
            else:
                # The server may be frozen, so it cannot be asked to cancel: the thread reads the end of the stream.
                with socket.socket(fileno=os.dup(raw.fileno())) as shared:
                    shared.shutdown(socket.SHUT_RDWR)

    def _execute(self, call: _Call, work: Callable[[Connection], _Value]) -> _Value:
        if call.seconds_left <= 0:
            raise DatabaseUnavailable(self._last_fault or DatabaseFault.TOO_SLOW)
        try:
            if self._is_sqlite and self._opened_file not in (None, self._file()):
                # The file was replaced or removed: the connection would go on with the old one, unseen.
                self._engine.dispose()
            options = {_TIMEOUT: max(0.001, call.seconds_left)}
            with self._engine.execution_options(**options).connect() as connection:
                with call.lock:
                    if call.is_given_up:
                        raise DatabaseUnavailable(DatabaseFault.TOO_SLOW)
                    call.has_begun = True
                with connection.begin():
                    value = work(connection)
                self._last_fault = None
                return value
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error) as error:
            fault = database_fault(error)
            if call.is_given_up and fault is DatabaseFault.UNREACHABLE:
                # `_interrupt` closed the connection.
                fault = DatabaseFault.TOO_SLOW
            # The driver's message may contain the address of the database: it is logged, but not shown to clients.
            level = logging.DEBUG if fault is self._last_fault else logging.WARNING
            _log.log(level, "job database failed", extra={"fault": fault, "error": str(error)})
            self._last_fault = fault
            if fault is not DatabaseFault.LOCKED:
                # The next call opens another connection: the cause may be the file or the server behind this one.
                self._engine.dispose()
            raise DatabaseUnavailable(fault) from error

    def _connect(self, dialect: Any, _record: object, arguments: Any, options: Any) -> Any:
        self._opened_file = self._raw = None
        self._on_connect()
        if not self._is_sqlite:
            self._raw = dialect.connect(*arguments, **options)
            return self._raw
        # SQLite processes can wait for each other only after the journal mode is WAL, hence the file lock.
        with _locked(self._lock_path):
            self._raw = dialect.connect(*arguments, **options)
            self._opened_file = self._file()
            _set_up_sqlite(self._raw)
        return self._raw

    def _begin(self, connection: Connection) -> None:
        milliseconds = max(1, int(connection.get_execution_options()[_TIMEOUT] * 1000))
        if self._is_sqlite:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {milliseconds}")
            # A transaction that reads before it writes would fail if another process wrote in between.
            connection.exec_driver_sql("BEGIN IMMEDIATE" if self._is_writing else "BEGIN")
        else:
            # For this transaction only, because the connection may be a pooler's. The server ends it even if it cannot
            # notice that this process gave up.
            lock_milliseconds = max(1, int(_LOCK_TIMEOUT_FRACTION * milliseconds))
            connection.exec_driver_sql(
                f"SELECT set_config('statement_timeout', '{milliseconds}', true), "
                f"set_config('lock_timeout', '{lock_milliseconds}', true)"
            )

    def _file(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return status.st_dev, status.st_ino


def _set_up_sqlite(connection: sqlite3.Connection) -> None:
    # `DatabaseConnection` begins transactions, because the driver would begin them too late.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # A committed transaction survives a power failure.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    deadline = time.monotonic() + _FILE_LOCK_SECONDS
    try:
        with path.open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    # The process that holds it may be suspended.
                    if time.monotonic() > deadline:
                        raise DatabaseUnavailable(DatabaseFault.LOCKED) from None
                    time.sleep(_FILE_LOCK_POLL_SECONDS)
            yield
    except DatabaseUnavailable:
        raise
    except OSError as error:
        raise DatabaseUnavailable(DatabaseFault.DIRECTORY) from error
