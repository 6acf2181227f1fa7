"""Submissions: idempotency keys, quotas, fair queueing."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from service.jobs.errors import IdempotencyConflict, JobStorageFull, TooManyJobs
from service.jobs.leases import cancel_job
from service.jobs.persistence.database import Database
from service.jobs.queries import remove_ended_job
from service.jobs.quotas import UploadsInProgress
from service.jobs.submissions import require_capacity
from tests.jobs.stored_jobs import (
    PROBLEM,
    RETENTION_SECONDS,
    claimed_job,
    finished,
    job_request,
    open_database,
    settings,
    submitted,
    video,
    with_database,
)


def test_the_same_key_video_and_query_give_the_same_job(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        first, is_new = await submitted(database, job_request("k"))
        assert is_new
        assert await submitted(database, job_request("k")) == (first, False)
        for other in (job_request("other"), job_request("k", owner="another"), job_request()):
            assert (await submitted(database, other))[1]
        with pytest.raises(IdempotencyConflict):
            await submitted(database, job_request("k"), video("b"))
        with pytest.raises(IdempotencyConflict):
            await submitted(database, job_request("k", top_k=1))
        with pytest.raises(IdempotencyConflict):
            await submitted(database, job_request("k", callback_url="https://example.org/"))
        # A removed job frees its key.
        await database.write(lambda connection: cancel_job(connection, first, RETENTION_SECONDS))
        await database.write(lambda connection: remove_ended_job(connection, first))
        assert (await submitted(database, job_request("k"), video("b")))[1]

    with_database(database_url, tmp_path, scenario)


def test_concurrent_submissions_with_the_same_key_make_one_job(database_url: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            databases = [await stack.enter_async_context(open_database(database_url, tmp_path)) for _ in range(4)]
            jobs = await asyncio.gather(*(submitted(database, job_request("k")) for database in databases * 3))
            assert len({job_id for job_id, _ in jobs}) == 1
            assert [is_new for _, is_new in jobs].count(True) == 1

    asyncio.run(scenario())


def test_queued_jobs_and_stored_bytes_are_limited(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        limits = settings(max_queued_jobs=2, max_job_bytes=100)
        first, _ = await submitted(database, job_request("k"), video(num_bytes=60), limits)
        with pytest.raises(JobStorageFull):
            await submitted(database, job_request(), video(num_bytes=41), limits)
        with pytest.raises(JobStorageFull):
            await database.read(lambda connection: require_capacity(connection, job_request(), 41, limits))
        await submitted(database, job_request(), video(num_bytes=40), limits)
        with pytest.raises(TooManyJobs):
            await submitted(database, job_request(), video(num_bytes=0), limits)
        # A repeated request gets its job although the limits are reached.
        await database.read(lambda connection: require_capacity(connection, job_request("k"), 41, limits))
        assert await submitted(database, job_request("k"), video(num_bytes=60), limits) == (first, False)
        # When a job ends, its upload is removed and its result is stored.
        claim = await claimed_job(database)
        assert claim.job_id == first
        assert await finished(database, claim)
        limits = settings(max_queued_jobs=9, max_job_bytes=50 + len(PROBLEM))
        await submitted(database, job_request(), video(num_bytes=10), limits)
        with pytest.raises(JobStorageFull):
            await submitted(database, job_request(), video(num_bytes=1), limits)

    with_database(database_url, tmp_path, scenario)


def test_the_number_of_stored_jobs_is_limited_including_ended_jobs(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        limits = settings(max_kept_jobs=2)
        first, _ = await submitted(database, limits=limits)
        await submitted(database, limits=limits)
        await database.write(lambda connection: cancel_job(connection, first, RETENTION_SECONDS))
        with pytest.raises(JobStorageFull):
            await submitted(database, limits=limits)
        await database.write(lambda connection: remove_ended_job(connection, first))
        await submitted(database, limits=limits)

    with_database(database_url, tmp_path, scenario)


def test_an_api_key_is_limited_to_its_fraction_of_the_quotas(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        limits = settings(max_queued_jobs=4, max_job_bytes=100, job_share_per_key=0.5)
        mine, _ = await submitted(database, job_request(owner="mine"), video(num_bytes=30), limits)
        with pytest.raises(JobStorageFull, match="this API key"):
            await submitted(database, job_request(owner="mine"), video(num_bytes=21), limits)
        await submitted(database, job_request(owner="mine"), video(num_bytes=20), limits)
        with pytest.raises(TooManyJobs, match="this API key"):
            await submitted(database, job_request(owner="mine"), video(num_bytes=0), limits)
        await submitted(database, job_request(owner="yours"), video(num_bytes=50), limits)
        limits = settings(max_kept_jobs=6, job_share_per_key=0.5)
        await submitted(database, job_request(owner="mine"), limits=limits)
        await database.write(lambda connection: cancel_job(connection, mine, RETENTION_SECONDS))
        with pytest.raises(JobStorageFull, match="this API key"):
            await submitted(database, job_request(owner="mine"), limits=limits)
        await submitted(database, job_request(owner="yours"), limits=limits)

    with_database(database_url, tmp_path, scenario)


def test_uploads_in_progress_count_against_the_share_of_their_own_key_and_against_the_total(
    database_url: str, tmp_path: Path
) -> None:
    """Regression: the uploads of one key refused the upload of another, whose share they were said to fill."""

    async def scenario(database: Database) -> None:
        limits = settings(max_job_bytes=100, job_share_per_key=0.5)
        await submitted(database, job_request(owner="mine"), video(num_bytes=10), limits)
        uploads = UploadsInProgress()

        async def require(owner: str, num_bytes: int) -> None:
            with uploads.counted(owner, num_bytes) as arriving:
                await database.read(
                    lambda connection: require_capacity(
                        connection, job_request(owner=owner), num_bytes, limits, arriving
                    )
                )

        with uploads.counted("mine", 30):
            await require("yours", 50)
            await require("mine", 10)
            with pytest.raises(
                JobStorageFull,
                match=r"of this API key is full: its jobs take 10 bytes, its uploads in progress may take 30, and this "
                r"one 11; the maximum per key is 50",
            ):
                await require("mine", 11)
            with uploads.counted("yours", 40):
                await require("other", 20)
                with pytest.raises(
                    JobStorageFull,
                    match=r"jobs take 10 bytes, uploads in progress may take 70, and this one 21; the maximum is 100",
                ):
                    await require("other", 21)
            # Of uploads that begin together, as many are received as fit.
            accepted = await asyncio.gather(*(require("yours", 20) for _ in range(4)), return_exceptions=True)
            assert [error is None for error in accepted] == [True, True, False, False]
        await require("mine", 40)

    with_database(database_url, tmp_path, scenario)


def test_without_api_keys_the_fraction_per_key_does_not_apply(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        limits = settings(max_queued_jobs=2, job_share_per_key=0.5)
        await submitted(database, limits=limits)
        await submitted(database, limits=limits)

    with_database(database_url, tmp_path, scenario)


def test_jobs_of_several_keys_run_in_fair_queue_order(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        owners: dict[str, str] = {}

        async def submit_for(owner: str, num_jobs: int) -> None:
            for _ in range(num_jobs):
                job_id, _ = await submitted(database, job_request(owner=owner))
                owners[job_id] = owner

        async def run_next() -> str:
            claim = await claimed_job(database)
            assert await finished(database, claim)
            return owners[claim.job_id]

        await submit_for("many", 6)
        assert [await run_next(), await run_next()] == ["many", "many"]
        # A late key gets neither an advantage nor a disadvantage for the time before.
        await submit_for("few", 2)
        await submit_for("one", 1)
        order = [await run_next() for _ in range(7)]
        assert order == ["many", "few", "one", "many", "few", "many", "many"]
        # An empty queue forgets the previous turns.
        await submit_for("many", 1)
        await submit_for("few", 1)
        await submit_for("many", 1)
        claim = await claimed_job(database)
        assert owners[claim.job_id] == "many"
        await submit_for("one", 2)
        assert [await run_next() for _ in range(4)] == ["few", "one", "many", "one"]

    with_database(database_url, tmp_path, scenario)
