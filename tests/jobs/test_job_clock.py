"""Jumps of the database's clock, by days and in either direction: order, leases, retention and ages stay right."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from service.jobs.leases import Claim, renew_leases
from service.jobs.persistence.database import Database, current_time, keep_time
from service.jobs.queries import JobStatistics, job_statistics, remove_expired_jobs
from tests.jobs.conftest import fresh_postgres_database
from tests.jobs.stored_jobs import claimed, claimed_job, finished, open_database, stored_job, submitted

pytestmark = pytest.mark.slow

HOUR, DAY = 3600.0, 86400.0
JUMPS = pytest.mark.parametrize("jump_seconds", [2 * DAY, -2 * DAY, HOUR, -HOUR], ids=["2d", "-2d", "1h", "-1h"])
LEASE_SECONDS = 30.0
CLOCK_FUNCTION = """
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
'SELECT pg_catalog.clock_timestamp() + make_interval(secs => (SELECT seconds FROM clock.shift))'
"""


@dataclass
class Clock:
    """A database whose clock a test can set."""

    url: str
    engine: Engine

    def jump(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self._execute("UPDATE clock.shift SET seconds = seconds + :seconds", seconds=seconds)

    def now(self) -> float:
        """Unix time of the clock."""
        with self.engine.connect() as connection:
            return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    def _execute(self, statement: str, **values: float) -> None:
        with self.engine.connect() as connection:
            connection.execute(text(statement), values)


@pytest.fixture
def clock(postgres_url: str) -> Iterator[Clock]:
    """A PostgreSQL database with a function in the place of its clock."""
    url = fresh_postgres_database(postgres_url)
    name = make_url(url).database
    setup = create_engine(url, isolation_level="AUTOCOMMIT")
    with setup.connect() as connection:
        for statement in (
            "CREATE SCHEMA clock",
            "CREATE TABLE clock.shift AS SELECT 0.0::float8 AS seconds",
            CLOCK_FUNCTION,
            f"ALTER DATABASE {name} SET search_path = clock, pg_catalog, public",
        ):
            connection.execute(text(statement))
    setup.dispose()
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    yield Clock(url, engine)
    engine.dispose()


async def tick(database: Database) -> JobStatistics:
    """What each process does once a second."""
    await database.write(keep_time)
    return await database.read(job_statistics)


async def renewed(database: Database, claim: Claim) -> bool:
    """Whether the lease could be renewed."""
    return bool(await database.write(lambda connection: renew_leases(connection, [claim], LEASE_SECONDS)))


@JUMPS
def test_queued_jobs_keep_their_order_and_their_age(clock: Clock, tmp_path: Path, jump_seconds: float) -> None:
    async def scenario() -> None:
        async with open_database(clock.url, tmp_path) as one, open_database(clock.url, tmp_path) as two:
            job_ids = [(await submitted(one))[0] for _ in range(3)]
            await tick(one)
            await tick(two)
            clock.jump(jump_seconds)
            job_ids += [(await submitted(two))[0] for _ in range(2)]
            for database in (one, two, one):
                statistics = await tick(database)
                assert 0 <= statistics.queue_age_seconds < HOUR / 2
            assert [(await claimed_job(database)).job_id for database in (one, two, one, two, one)] == job_ids

    asyncio.run(scenario())


@JUMPS
def test_leases_and_results_survive(clock: Clock, tmp_path: Path, jump_seconds: float) -> None:
    async def scenario() -> None:
        async with open_database(clock.url, tmp_path) as one, open_database(clock.url, tmp_path) as two:
            for database in (one, two):
                await tick(database)
            done, _ = await submitted(one)
            assert await finished(one, await claimed_job(one))
            running, _ = await submitted(one)
            claim = await claimed_job(one, LEASE_SECONDS)
            clock.jump(jump_seconds)
            # Also before any process has noticed the jump.
            assert await claimed(two) is None
            assert await two.write(remove_expired_jobs) == 0
            await asyncio.gather(tick(one), tick(two))
            assert await claimed(two) is None
            assert await renewed(one, claim)
            assert await two.write(remove_expired_jobs) == 0
            assert (await stored_job(two, done)).state == "failed"
            assert (await stored_job(two, running)).attempt == 1

    asyncio.run(scenario())


@JUMPS
def test_the_lease_of_a_dead_process_ends(clock: Clock, tmp_path: Path, jump_seconds: float) -> None:
    async def scenario() -> None:
        async with open_database(clock.url, tmp_path) as dead, open_database(clock.url, tmp_path) as alive:
            await tick(alive)
            job_id, _ = await submitted(dead)
            await claimed_job(dead, 0.5)
            clock.jump(jump_seconds)
            async with asyncio.timeout(30):
                while (claim := await claimed(alive)) is None:
                    await tick(alive)
            assert (claim.job_id, claim.attempt) == (job_id, 2)

    asyncio.run(scenario())


@JUMPS
def test_times_are_shown_on_the_present_clock(clock: Clock, tmp_path: Path, jump_seconds: float) -> None:
    async def scenario() -> None:
        async with open_database(clock.url, tmp_path) as database:
            await tick(database)
            job_id, _ = await submitted(database)
            clock.jump(jump_seconds)
            await tick(database)
            created_at = dt.datetime.fromisoformat((await stored_job(database, job_id)).created_at).timestamp()
            assert abs(created_at - clock.now()) < HOUR / 2

    asyncio.run(scenario())


def test_processes_agree_after_many_jumps(clock: Clock, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_database(clock.url, tmp_path) as one, open_database(clock.url, tmp_path) as two:
            start = await one.read(current_time)
            await tick(two)
            for jump_seconds in (DAY, -3 * DAY, HOUR, 5 * DAY, -HOUR):
                clock.jump(jump_seconds)
                await asyncio.gather(tick(one), tick(two))
            async with open_database(clock.url, tmp_path) as new:
                times = [await database.read(current_time) for database in (one, two, new)]
            assert all(0 <= time - start < HOUR / 2 for time in times)

    asyncio.run(scenario())


def test_job_time_does_not_go_back_while_no_process_runs(clock: Clock, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_database(clock.url, tmp_path) as database:
            await submitted(database)
            await tick(database)
            before = await database.read(current_time)
        clock.jump(-DAY)
        async with open_database(clock.url, tmp_path) as database:
            statistics = await tick(database)
            assert abs(await database.read(current_time) - before) < HOUR / 2
            assert statistics.queue_age_seconds >= 0

    asyncio.run(scenario())
