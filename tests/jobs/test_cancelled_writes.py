"""A request that is cancelled during its database transaction."""

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from service.jobs.persistence.database import Database
from tests.jobs.stored_jobs import open_database


def test_a_write_that_fails_after_its_request_was_cancelled_is_no_error_of_the_event_loop(
    database_url: str, tmp_path: Path
) -> None:
    """Regression: asyncio logged "Future exception was never retrieved" at error level."""
    errors: list[dict[str, Any]] = []
    has_begun, is_cancelled = threading.Event(), threading.Event()

    def fail(connection: Connection) -> None:
        has_begun.set()
        is_cancelled.wait()
        connection.execute(text("SELECT * FROM no_such_table"))

    async def cancelled(database: Database) -> None:
        writing = asyncio.create_task(database.write(fail))
        await asyncio.to_thread(has_begun.wait)
        writing.cancel()
        await asyncio.sleep(0)
        is_cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await writing

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with open_database(database_url, tmp_path) as database:
            await cancelled(database)
            # The error is reported when the future is collected.
            gc.collect()
            await asyncio.sleep(0)

    asyncio.run(scenario())
    assert not errors
