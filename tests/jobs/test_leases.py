"""Leases: each job runs in one process at a time, and writes without a valid lease are rejected."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from sqlalchemy import Connection

from service.jobs.leases import (
    Outcome,
    cancel_job,
    fail_abandoned_jobs,
    record_progress,
    renew_leases,
    requeue_job,
)
from service.jobs.persistence.database import Database
from service.jobs.queries import remove_ended_job
from tests.jobs.stored_jobs import (
    EXPIRED,
    LEASE_SECONDS,
    PROBLEM,
    RETENTION_SECONDS,
    claimed,
    claimed_job,
    finished,
    open_database,
    stored_job,
    submitted,
    with_database,
)


def test_several_processes_claim_each_job_once(database_url: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            databases = [await stack.enter_async_context(open_database(database_url, tmp_path)) for _ in range(4)]
            job_ids = {(await submitted(databases[0]))[0] for _ in range(12)}

            async def claim_all(database: Database) -> Sequence[str]:
                claimed_ids = []
                while (claim := await claimed(database)) is not None:
                    claimed_ids.append(claim.job_id)
                return claimed_ids

            claims = await asyncio.gather(*map(claim_all, databases))
            claimed_ids = [job_id for of_process in claims for job_id in of_process]
            assert len(claimed_ids) == len(job_ids)
            assert set(claimed_ids) == job_ids

    asyncio.run(scenario())


def test_a_job_with_an_expired_lease_runs_again_and_old_writes_are_rejected(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        job_id, _ = await submitted(database)
        old = await claimed_job(database, EXPIRED)
        new = await claimed_job(database)
        assert (old.job_id, old.attempt, new.job_id, new.attempt) == (job_id, 1, job_id, 2)
        assert not await database.write(lambda connection: record_progress(connection, old, 5, 5))
        assert not await database.write(lambda connection: requeue_job(connection, old, 0))
        assert not await finished(database, old)
        assert await database.write(lambda connection: renew_leases(connection, [old, new], LEASE_SECONDS)) == {job_id}
        assert await database.write(lambda connection: renew_leases(connection, [old], LEASE_SECONDS)) == set()
        assert await database.write(lambda connection: record_progress(connection, new, 5, 1))
        assert (await stored_job(database, job_id)).state == "running"
        assert await finished(database, new)
        assert (await stored_job(database, job_id)).state == "failed"
        # A job ends only once.
        assert not await finished(database, new)
        assert await claimed(database) is None

    with_database(database_url, tmp_path, scenario)


def test_a_renewed_lease_is_valid(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        job_id, _ = await submitted(database)
        claim = await claimed_job(database, EXPIRED)
        assert await database.write(lambda connection: renew_leases(connection, [claim], LEASE_SECONDS)) == {job_id}
        assert await claimed(database) is None

    with_database(database_url, tmp_path, scenario)


def test_a_requeued_job_can_be_claimed_and_its_attempt_does_not_count(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        job_id, _ = await submitted(database)
        for _ in range(5):
            claim = await claimed_job(database, max_attempts=1)
            assert claim.attempt == 1
            assert await database.write(lambda connection: requeue_job(connection, claim, 0))  # noqa: B023 - awaited
        assert (await stored_job(database, job_id)).attempt == 0
        claim = await claimed_job(database)
        assert await database.write(lambda connection: requeue_job(connection, claim, LEASE_SECONDS))
        assert await claimed(database) is None, "claimed before its delay"

    with_database(database_url, tmp_path, scenario)


def test_an_attempt_whose_decode_worker_was_killed_counts(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        job_id, _ = await submitted(database)
        for number in (1, 2):
            claim = await claimed_job(database)
            assert claim.attempt == number
            assert await database.write(
                lambda connection: requeue_job(connection, claim, 0, is_counted=True)  # noqa: B023 - awaited
            )
        job = await stored_job(database, job_id)
        assert (job.state, job.attempt) == ("queued", 2)

    with_database(database_url, tmp_path, scenario)


def test_a_job_that_kills_each_process_runs_after_others_and_is_abandoned(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        poison, _ = await submitted(database)
        await claimed(database, EXPIRED, 2)
        other, _ = await submitted(database)
        claim = await claimed_job(database, LEASE_SECONDS, 2)
        assert claim.job_id == other
        again = await claimed_job(database, EXPIRED, 2)
        assert (again.job_id, again.attempt) == (poison, 2)
        assert await claimed(database, EXPIRED, 2) is None

        def abandon(connection: Connection) -> list[str]:
            return fail_abandoned_jobs(connection, 2, lambda request_id: PROBLEM.replace('"r"', f'"{request_id}"'), 0)

        assert await database.write(abandon) == [poison]
        assert await database.write(abandon) == []
        failed = await stored_job(database, poison)
        assert failed.state == "failed"
        assert failed.problem is not None
        assert failed.problem.request_id == "request-1"
        assert not await finished(database, again, Outcome(result="{}", num_clips=1))

    with_database(database_url, tmp_path, scenario)


def test_a_cancelled_job_does_not_run_and_writes_of_its_runner_are_rejected(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        queued, _ = await submitted(database)
        assert await database.write(lambda connection: cancel_job(connection, queued, RETENTION_SECONDS))
        assert not await database.write(lambda connection: cancel_job(connection, queued, RETENTION_SECONDS))
        assert await claimed(database) is None
        running, _ = await submitted(database)
        claim = await claimed_job(database)
        assert not await database.write(lambda connection: remove_ended_job(connection, running))
        assert await database.write(lambda connection: cancel_job(connection, running, RETENTION_SECONDS))
        assert not await finished(database, claim)
        assert await database.write(lambda connection: renew_leases(connection, [claim], LEASE_SECONDS)) == set()
        assert (await stored_job(database, running)).state == "cancelled"

    with_database(database_url, tmp_path, scenario)
