"""What the database promises of jobs: none lost, none run by two, none overwritten by a slow process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, select

from framewise.schemas.jobs import Job, JobListQuery, JobQuery
from service.jobs.database import Database
from service.jobs.errors import DatabaseUnavailable, IdempotencyConflict, JobStorageFull, TooManyJobs, UnknownJob
from service.jobs.leases import Claim, Outcome, cancel, claim, fail_abandoned, finish, give_back, renew, report_progress
from service.jobs.queries import Viewer, census, find_job, job_json, list_jobs, remove_ended, remove_expired
from service.jobs.settings import JobSettings
from service.jobs.submissions import Request, new_job_id, require_room, submit
from service.jobs.tables import JOBS, METADATA
from service.uploads.receive import ReceivedVideo

ROOMY = JobSettings(max_queued_jobs=100, max_kept_jobs=100, max_job_bytes=1 << 30, job_share_per_key=1.0)
EVERYBODY = Viewer("", sees_all=True)
LEASE_SECONDS = 1000.0
OVER = -1.0
KEPT_SECONDS = 1000.0


@asynccontextmanager
async def open_database(url: str, directory: Path) -> AsyncIterator[Database]:
    """The database, its tables up to date."""
    database = Database(url, directory)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def with_database(url: str, directory: Path, story: Callable[[Database], Awaitable[None]]) -> None:
    """Tell `story` of a database that is open meanwhile."""

    async def tell() -> None:
        async with open_database(url, directory) as database:
            await story(database)

    asyncio.run(tell())


def asked(
    key: str | None = None, owner: str = "", top_k: int | None = None, callback_url: str | None = None
) -> Request:
    """A request for a job."""
    return Request(owner, key, JobQuery(top_k=top_k, callback_url=callback_url), "request-1")


def video(content: str = "a", num_bytes: int = 10) -> ReceivedVideo:
    """An upload."""
    return ReceivedVideo(Path("nowhere"), num_bytes, content * 64)


async def submitted(
    database: Database,
    request: Request | None = None,
    upload: ReceivedVideo | None = None,
    settings: JobSettings = ROOMY,
) -> tuple[str, bool]:
    """The id of the request's job, and whether it is a new one."""

    def work(connection: Connection) -> tuple[str, bool]:
        row, is_new = submit(connection, new_job_id(), request or asked(), upload or video(), settings)
        return row.id, is_new

    return await database.write(work)


async def claimed(database: Database, lease_seconds: float = LEASE_SECONDS, max_attempts: int = 3) -> Claim | None:
    """The next job."""
    return await database.write(lambda connection: claim(connection, lease_seconds, max_attempts))


async def job(database: Database, job_id: str) -> Job:
    """The job as anybody sees it."""
    text = await database.read(lambda connection: job_json(connection, find_job(connection, job_id, EVERYBODY)))
    return Job.model_validate_json(text)


async def finished(database: Database, held: Claim, outcome: Outcome) -> bool:
    """Whether the end of the job was written down."""
    return await database.write(lambda connection: finish(connection, held.job_id, held.fence, outcome, KEPT_SECONDS))


PROBLEM = '{"title":"t","status":415,"detail":"d","code":"c","request_id":"r"}'
FAILED = Outcome(problem=PROBLEM)


def test_migrations_make_just_the_tables_that_the_code_knows(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        differences = await database.read(
            lambda connection: compare_metadata(
                MigrationContext.configure(connection, opts={"compare_type": True}), METADATA
            )
        )
        assert differences == []
        # Up to date already: nothing happens.
        await database.open()

    with_database(database_url, tmp_path, story)


def test_processes_that_start_together_migrate_once(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        databases = [Database(database_url, tmp_path) for _ in range(4)]
        try:
            await asyncio.gather(*(database.open() for database in databases))
            assert await submitted(databases[0])
        finally:
            for database in databases:
                await database.close()

    asyncio.run(story())


def test_a_database_that_is_not_there_is_said_without_its_address(tmp_path: Path) -> None:
    async def story() -> None:
        url = f"postgresql+psycopg://user:secret@/nowhere?host={tmp_path}&connect_timeout=1"
        for database in (Database(url, tmp_path), Database(f"sqlite:///{tmp_path}/none/jobs.db", tmp_path)):
            with pytest.raises(DatabaseUnavailable) as error:
                await database.open()
            assert str(error.value) == "The jobs' database cannot be reached at the moment."
            await database.close()

    asyncio.run(story())


def test_the_same_key_video_and_query_have_the_same_job(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        first, is_new = await submitted(database, asked("k"))
        assert is_new
        assert await submitted(database, asked("k")) == (first, False)
        for other in (asked("other"), asked("k", owner="another"), asked()):
            assert (await submitted(database, other))[1]
        with pytest.raises(IdempotencyConflict):
            await submitted(database, asked("k"), video("b"))
        with pytest.raises(IdempotencyConflict):
            await submitted(database, asked("k", top_k=1))
        with pytest.raises(IdempotencyConflict):
            await submitted(database, asked("k", callback_url="https://example.org/"))
        # The key goes with its job.
        await database.write(lambda connection: cancel(connection, first, KEPT_SECONDS))
        await database.write(lambda connection: remove_ended(connection, first))
        assert (await submitted(database, asked("k"), video("b")))[1]

    with_database(database_url, tmp_path, story)


def test_the_same_key_at_the_same_time_from_several_processes_makes_one_job(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            databases = [await stack.enter_async_context(open_database(database_url, tmp_path)) for _ in range(4)]
            answers = await asyncio.gather(*(submitted(database, asked("k")) for database in databases * 3))
            assert len({job_id for job_id, _ in answers}) == 1
            assert [is_new for _, is_new in answers].count(True) == 1

    asyncio.run(story())


def test_no_more_jobs_wait_and_no_more_bytes_are_kept_than_may(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        few = ROOMY.model_copy(update={"max_queued_jobs": 2, "max_job_bytes": 100})
        first, _ = await submitted(database, asked("k"), video(num_bytes=60), few)
        with pytest.raises(JobStorageFull):
            await submitted(database, asked(), video(num_bytes=41), few)
        with pytest.raises(JobStorageFull):
            await database.read(lambda connection: require_room(connection, asked(), 41, few))
        await submitted(database, asked(), video(num_bytes=40), few)
        with pytest.raises(TooManyJobs):
            await submitted(database, asked(), video(num_bytes=0), few)
        # Who asks again for what is there already is not sent away.
        await database.read(lambda connection: require_room(connection, asked("k"), 41, few))
        assert await submitted(database, asked("k"), video(num_bytes=60), few) == (first, False)
        # An upload is gone with its job's end; what is kept then is the result.
        held = await claimed(database)
        assert held is not None
        assert held.job_id == first
        assert await finished(database, held, FAILED)
        no_more = few.model_copy(update={"max_queued_jobs": 9, "max_job_bytes": 50 + len(PROBLEM)})
        await submitted(database, asked(), video(num_bytes=10), no_more)
        with pytest.raises(JobStorageFull):
            await submitted(database, asked(), video(num_bytes=1), no_more)

    with_database(database_url, tmp_path, story)


def test_no_more_jobs_are_kept_than_may_be_ended_ones_among_them(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        two = ROOMY.model_copy(update={"max_kept_jobs": 2})
        first, _ = await submitted(database, settings=two)
        await submitted(database, settings=two)
        await database.write(lambda connection: cancel(connection, first, KEPT_SECONDS))
        with pytest.raises(JobStorageFull):
            await submitted(database, settings=two)
        await database.write(lambda connection: remove_ended(connection, first))
        await submitted(database, settings=two)

    with_database(database_url, tmp_path, story)


def test_no_key_takes_more_than_its_share_so_that_others_find_room(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        halves = ROOMY.model_copy(update={"max_queued_jobs": 4, "max_job_bytes": 100, "job_share_per_key": 0.5})
        mine, _ = await submitted(database, asked(owner="mine"), video(num_bytes=30), halves)
        with pytest.raises(JobStorageFull, match="Your jobs"):
            await submitted(database, asked(owner="mine"), video(num_bytes=21), halves)
        await submitted(database, asked(owner="mine"), video(num_bytes=20), halves)
        with pytest.raises(TooManyJobs, match="your jobs"):
            await submitted(database, asked(owner="mine"), video(num_bytes=0), halves)
        await submitted(database, asked(owner="yours"), video(num_bytes=50), halves)
        kept = ROOMY.model_copy(update={"max_kept_jobs": 6, "job_share_per_key": 0.5})
        await submitted(database, asked(owner="mine"), settings=kept)
        await database.write(lambda connection: cancel(connection, mine, KEPT_SECONDS))
        with pytest.raises(JobStorageFull, match="Your jobs"):
            await submitted(database, asked(owner="mine"), settings=kept)
        await submitted(database, asked(owner="yours"), settings=kept)

    with_database(database_url, tmp_path, story)


def test_where_there_are_no_keys_one_caller_may_take_everything(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        halves = ROOMY.model_copy(update={"max_queued_jobs": 2, "job_share_per_key": 0.5})
        await submitted(database, settings=halves)
        await submitted(database, settings=halves)

    with_database(database_url, tmp_path, story)


def test_a_key_with_many_jobs_waiting_lets_another_keys_go_between(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        owners: dict[str, str] = {}

        async def submit_for(owner: str, num_jobs: int) -> None:
            for _ in range(num_jobs):
                job_id, _ = await submitted(database, asked(owner=owner))
                owners[job_id] = owner

        async def run() -> str:
            held = await claimed(database)
            assert held is not None
            assert await finished(database, held, FAILED)
            return owners[held.job_id]

        await submit_for("many", 6)
        assert [await run(), await run()] == ["many", "many"]
        # Whoever comes late is owed nothing for the time before, and owes nothing.
        await submit_for("few", 2)
        await submit_for("one", 1)
        assert [await run() for _ in range(7)] == ["many", "few", "one", "many", "few", "many", "many"]
        # Nor does an empty queue remember who was there.
        await submit_for("many", 1)
        await submit_for("few", 1)
        await submit_for("many", 1)
        held = await claimed(database)
        assert held is not None
        assert owners[held.job_id] == "many"
        await submit_for("one", 2)
        assert [await run() for _ in range(4)] == ["few", "one", "many", "one"]

    with_database(database_url, tmp_path, story)


def test_several_processes_claim_each_job_once(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            databases = [await stack.enter_async_context(open_database(database_url, tmp_path)) for _ in range(4)]
            job_ids = {(await submitted(databases[0]))[0] for _ in range(12)}

            async def take_all(database: Database) -> Sequence[str]:
                taken = []
                while (held := await claimed(database)) is not None:
                    taken.append(held.job_id)
                return taken

            taken = [job_id for share in await asyncio.gather(*map(take_all, databases)) for job_id in share]
            assert len(taken) == len(job_ids)
            assert set(taken) == job_ids

    asyncio.run(story())


def test_a_job_is_run_again_when_its_lease_is_over_and_its_old_process_is_not_heeded(
    database_url: str, tmp_path: Path
) -> None:
    async def story(database: Database) -> None:
        job_id, _ = await submitted(database)
        old = await claimed(database, OVER)
        new = await claimed(database)
        assert old is not None
        assert new is not None
        assert (old.job_id, old.attempt, new.job_id, new.attempt) == (job_id, 1, job_id, 2)
        assert not await database.write(lambda connection: report_progress(connection, old, 5, 5))
        assert not await database.write(lambda connection: give_back(connection, old, 0))
        assert not await finished(database, old, FAILED)
        assert await database.write(lambda connection: renew(connection, [old, new], LEASE_SECONDS)) == {job_id}
        assert await database.write(lambda connection: renew(connection, [old], LEASE_SECONDS)) == set()
        assert await database.write(lambda connection: report_progress(connection, new, 5, 1))
        assert (await job(database, job_id)).state == "running"
        assert await finished(database, new, FAILED)
        assert (await job(database, job_id)).state == "failed"
        # And nobody ends it a second time.
        assert not await finished(database, new, FAILED)
        assert await claimed(database) is None

    with_database(database_url, tmp_path, story)


def test_a_lease_that_is_renewed_in_time_holds(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        job_id, _ = await submitted(database)
        held = await claimed(database, OVER)
        assert held is not None
        assert await database.write(lambda connection: renew(connection, [held], LEASE_SECONDS)) == {job_id}
        assert await claimed(database) is None

    with_database(database_url, tmp_path, story)


def test_a_job_given_back_is_anybodys_and_that_attempt_does_not_count(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        job_id, _ = await submitted(database)
        for _ in range(5):
            held = await claimed(database, max_attempts=1)
            assert held is not None
            assert held.attempt == 1
            assert await database.write(partial(give_back, held=held, after_seconds=0))
        assert (await job(database, job_id)).attempt == 0
        held = await claimed(database)
        assert held is not None
        assert await database.write(lambda connection: give_back(connection, held, LEASE_SECONDS))
        assert await claimed(database) is None, "not before its time"

    with_database(database_url, tmp_path, story)


def test_a_job_whose_process_dies_each_time_is_abandoned_after_others_had_their_turn(
    database_url: str, tmp_path: Path
) -> None:
    async def story(database: Database) -> None:
        poison, _ = await submitted(database)
        await claimed(database, OVER, 2)
        other, _ = await submitted(database)
        held = await claimed(database, LEASE_SECONDS, 2)
        assert held is not None
        assert held.job_id == other
        again = await claimed(database, OVER, 2)
        assert again is not None
        assert (again.job_id, again.attempt) == (poison, 2)
        assert await claimed(database, OVER, 2) is None

        def abandon(connection: Connection) -> list[str]:
            return fail_abandoned(connection, 2, lambda request_id: PROBLEM.replace('"r"', f'"{request_id}"'), 0)

        assert await database.write(abandon) == [poison]
        assert await database.write(abandon) == []
        failed = await job(database, poison)
        assert failed.state == "failed"
        assert failed.problem is not None
        assert failed.problem.request_id == "request-1"
        assert not await finished(database, again, Outcome(result="{}", num_clips=1))

    with_database(database_url, tmp_path, story)


def test_a_cancelled_job_is_not_run_and_its_runner_not_heeded(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        queued, _ = await submitted(database)
        assert await database.write(lambda connection: cancel(connection, queued, KEPT_SECONDS))
        assert not await database.write(lambda connection: cancel(connection, queued, KEPT_SECONDS))
        assert await claimed(database) is None
        running, _ = await submitted(database)
        held = await claimed(database)
        assert held is not None
        assert not await database.write(lambda connection: remove_ended(connection, running))
        assert await database.write(lambda connection: cancel(connection, running, KEPT_SECONDS))
        assert not await finished(database, held, FAILED)
        assert await database.write(lambda connection: renew(connection, [held], LEASE_SECONDS)) == set()
        assert (await job(database, running)).state == "cancelled"

    with_database(database_url, tmp_path, story)


def test_jobs_are_listed_latest_first_page_by_page_each_owners_own(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        mine = [(await submitted(database, asked(owner="me")))[0] for _ in range(5)]
        theirs, _ = await submitted(database, asked(owner="them"))

        async def listed(viewer: Viewer, **query: object) -> tuple[list[str], str | None]:
            asked_for = JobListQuery.model_validate(query)
            page = await database.read(lambda connection: list_jobs(connection, asked_for, viewer))
            return [summary.id for summary in page.jobs], page.next

        me = Viewer("me", sees_all=False)
        found, after = await listed(me, limit=2)
        pages = [found]
        while after is not None:
            found, after = await listed(me, limit=2, after=after)
            pages.append(found)
        assert [len(page) for page in pages] == [2, 2, 1]
        assert [job_id for page in pages for job_id in page] == sorted(mine, reverse=True)
        assert (await listed(EVERYBODY))[0] == sorted([*mine, theirs], reverse=True)
        await database.write(lambda connection: cancel(connection, mine[2], KEPT_SECONDS))
        assert await listed(me, state="cancelled") == ([mine[2]], None)
        with pytest.raises(UnknownJob):
            await database.read(lambda connection: find_job(connection, theirs, me))

    with_database(database_url, tmp_path, story)


def test_what_has_ended_is_removed_when_its_time_is_over(database_url: str, tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        kept, _ = await submitted(database)
        await database.write(lambda connection: cancel(connection, kept, KEPT_SECONDS))
        gone, _ = await submitted(database)
        await database.write(lambda connection: cancel(connection, gone, OVER))
        waiting, _ = await submitted(database)
        assert await database.write(remove_expired) == 1
        left = await database.read(lambda connection: set(connection.execute(select(JOBS.c.id)).scalars()))
        assert left == {kept, waiting}
        counted = await database.read(census)
        assert counted.num_by_state == {"cancelled": 1, "queued": 1}
        assert counted.queue_age_seconds >= 0

    with_database(database_url, tmp_path, story)


def test_a_database_server_that_never_answers_is_given_up_soon(tmp_path: Path) -> None:
    async def told() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"postgresql+psycopg://user@127.0.0.1:{silent.getsockname()[1]}/jobs?connect_timeout=2"
            database = Database(url, tmp_path)
            with pytest.raises(DatabaseUnavailable):
                await database.open()
            await database.close()

    asyncio.run(told())
