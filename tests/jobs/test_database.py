"""The job database: migrations and unavailability."""

import asyncio
import socket
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.jobs.errors import DatabaseUnavailable
from service.jobs.persistence.database import Database
from service.jobs.persistence.tables import METADATA
from tests.jobs.stored_jobs import submitted, with_database

pytestmark = pytest.mark.slow


def test_the_migrations_create_the_tables_of_the_code(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        differences = await database.read(
            lambda connection: compare_metadata(
                MigrationContext.configure(connection, opts={"compare_type": True}), METADATA
            )
        )
        assert differences == []
        # The tables are current already: opening changes nothing.
        await database.open()

    with_database(database_url, tmp_path, scenario)


def test_processes_that_start_together_migrate_once(database_url: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        databases = [Database(database_url, tmp_path) for _ in range(4)]
        try:
            await asyncio.gather(*(database.open() for database in databases))
            assert await submitted(databases[0])
        finally:
            for database in databases:
                await database.close()

    asyncio.run(scenario())


def test_the_error_of_an_unreachable_database_hides_its_address(tmp_path: Path) -> None:
    async def scenario() -> None:
        url = f"postgresql+psycopg://user:secret@/nowhere?host={tmp_path}&connect_timeout=1"
        for database in (Database(url, tmp_path), Database(f"sqlite:///{tmp_path}/none/jobs.db", tmp_path)):
            with pytest.raises(DatabaseUnavailable) as error:
                await database.open()
            assert str(error.value) == "The job database is unavailable. Try again later."
            await database.close()

    asyncio.run(scenario())


def test_a_database_server_that_never_responds_times_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"postgresql+psycopg://user@127.0.0.1:{silent.getsockname()[1]}/jobs?connect_timeout=2"
            database = Database(url, tmp_path)
            with pytest.raises(DatabaseUnavailable):
                await database.open()
            await database.close()

    asyncio.run(scenario())
