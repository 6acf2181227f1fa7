"""What a cause acts on: the service, its directories, its database, and that database's clock."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.plan import PlannedEvent
from tests.chaos.supervised_service import SupervisedService
from tests.support.postgres import PostgresServer

DATABASE_ROLE = "framewise"
"""The PostgreSQL role of the service: no superuser, so that rights can be revoked."""


@dataclass(frozen=True)
class Site:
    """A running service and everything around it that can fail."""

    service: SupervisedService
    upload_dir: Path
    jobs_dir: Path
    postgres: PostgresServer | None
    """None with SQLite."""
    is_disk_bounded: bool
    """Whether both directories are on a small file system of their own, which can be filled."""
    clock_file: Path | None
    """The offset of the database's clock, read by libfaketime; None if that clock cannot be set."""

    @property
    def sqlite_path(self) -> Path:
        """The database file, with SQLite."""
        return self.jobs_dir / "jobs.db"

    def execute(self, statement: str) -> None:
        """Execute SQL as an operator would."""
        if self.postgres is not None:
            self.postgres.execute(statement)
        else:
            with closing(sqlite3.connect(self.sqlite_path, timeout=60)) as database:
                database.execute(statement)


@dataclass(frozen=True)
class Cause:
    """One kind of fault. `begun` lasts as long as the fault; a kill is over at once."""

    name: str
    begun: Callable[[Site, PlannedEvent], AbstractContextManager[None]]
    missing: Callable[[Site], str | None] = lambda _: None
    """Why this machine or this database cannot have the fault; None if it can."""
    ends_process: bool = False
    """Whether the process of the service is another one afterwards."""
