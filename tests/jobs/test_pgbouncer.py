"""PgBouncer in transaction mode: processes share the connections of the pooler."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.jobs.stored_jobs import claimed_job, finished, open_database, stored_job, submitted
from tests.support.postgres import postgres_server, running_pgbouncer

# psycopg prepares a statement on the server when it is executed for the sixth time.
NUM_JOBS_PER_PROCESS = 12


@pytest.fixture(scope="module")
def pooled_url() -> Iterator[str]:
    """URL of PgBouncer, which has one connection to PostgreSQL."""
    with postgres_server() as server, running_pgbouncer(server) as url:
        yield url


def test_processes_that_share_a_pooled_connection_submit_and_run_jobs(pooled_url: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            databases = [await stack.enter_async_context(open_database(pooled_url, tmp_path)) for _ in range(3)]

            async def run_jobs(number: int) -> list[str]:
                database, other = databases[number], databases[(number + 1) % 3]
                ended: list[str] = []
                for _ in range(NUM_JOBS_PER_PROCESS):
                    await submitted(database)
                    claim = await claimed_job(database)
                    assert await finished(database, claim)
                    ended.append((await stored_job(other, claim.job_id)).state)
                return ended

            states = await asyncio.gather(*(run_jobs(number) for number in range(3)))
            assert states == [["failed"] * NUM_JOBS_PER_PROCESS] * 3

    asyncio.run(scenario())
