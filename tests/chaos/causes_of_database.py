"""Faults of the jobs' database."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.chaos.plan import PlannedEvent
from tests.chaos.site import DATABASE_ROLE, Cause, Site

_REVOKED = ("SELECT", "INSERT", "UPDATE", "DELETE")


@contextmanager
def _stopped(site: Site, event: PlannedEvent) -> Iterator[None]:
    assert site.postgres is not None
    site.postgres.stop()
    try:
        threading.Event().wait(event.hold_seconds)
        yield
    finally:
        site.postgres.start()


@contextmanager
def _frozen(site: Site, event: PlannedEvent) -> Iterator[None]:
    assert site.postgres is not None
    with site.postgres.frozen():
        threading.Event().wait(event.hold_seconds)
        yield


@contextmanager
def _table_renamed(site: Site, event: PlannedEvent) -> Iterator[None]:
    site.execute("ALTER TABLE jobs RENAME TO jobs_before_restore")
    try:
        threading.Event().wait(event.hold_seconds)
        yield
    finally:
        site.execute("ALTER TABLE jobs_before_restore RENAME TO jobs")


@contextmanager
def _right_revoked(site: Site, event: PlannedEvent) -> Iterator[None]:
    right = _REVOKED[int(event.choice * len(_REVOKED))]
    site.execute(f"REVOKE {right} ON jobs FROM {DATABASE_ROLE}")
    try:
        threading.Event().wait(event.hold_seconds)
        yield
    finally:
        site.execute(f"GRANT {right} ON jobs TO {DATABASE_ROLE}")


@contextmanager
def _connections_killed(site: Site, _event: PlannedEvent) -> Iterator[None]:
    site.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{DATABASE_ROLE}'")  # noqa: S608
    yield


@contextmanager
def _locked(site: Site, event: PlannedEvent) -> Iterator[None]:
    with closing(sqlite3.connect(site.sqlite_path, timeout=60, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        threading.Event().wait(event.hold_seconds)
        yield
        database.execute("ROLLBACK")


def _needs_postgres(site: Site) -> str | None:
    return "SQLite has no server, roles or connections" if site.postgres is None else None


def _needs_sqlite(site: Site) -> str | None:
    return None if site.postgres is None else "PostgreSQL has no lock of the whole database"


CAUSES = (
    Cause("database stopped", _stopped, _needs_postgres),
    Cause("database frozen", _frozen, _needs_postgres),
    Cause("table renamed", _table_renamed),
    Cause("right revoked", _right_revoked, _needs_postgres),
    Cause("database connections killed", _connections_killed, _needs_postgres),
    Cause("database locked", _locked, _needs_sqlite),
)
