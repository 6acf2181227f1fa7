"""Jobs in a database, without a service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection

from framewise.schemas.jobs import Job, JobQuery
from service.jobs.leases import Claim, Outcome, claim_job, finish_job
from service.jobs.persistence.database import Database
from service.jobs.queries import Viewer, find_job, job_json
from service.jobs.settings import JobSettings
from service.jobs.submissions import JobRequest, new_job_id, submit_job
from service.uploads.receive import ReceivedVideo

ALL_JOBS = Viewer("", sees_all=True)
LEASE_SECONDS = 1000.0
EXPIRED = -1.0
RETENTION_SECONDS = 1000.0
PROBLEM = '{"title":"t","status":415,"detail":"d","code":"c","request_id":"r"}'
FAILED = Outcome(problem=PROBLEM)


def settings(**changed: object) -> JobSettings:
    """Settings with high limits, but for `changed`."""
    limits = {"max_queued_jobs": 100, "max_kept_jobs": 100, "max_job_bytes": 1 << 30, "job_share_per_key": 1.0}
    return JobSettings.model_validate(limits | changed)


@asynccontextmanager
async def open_database(url: str, directory: Path) -> AsyncIterator[Database]:
    """An open database with current tables."""
    database = Database(url, directory)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def with_database(url: str, directory: Path, scenario: Callable[[Database], Awaitable[None]]) -> None:
    """Run `scenario` with an open database."""

    async def run() -> None:
        async with open_database(url, directory) as database:
            await scenario(database)

    asyncio.run(run())


def job_request(
    key: str | None = None, owner: str = "", top_k: int | None = None, callback_url: str | None = None
) -> JobRequest:
    """A request for a job, by default without an idempotency key."""
    return JobRequest(owner, key, JobQuery(top_k=top_k, callback_url=callback_url), "request-1")


def video(content: str = "a", num_bytes: int = 10) -> ReceivedVideo:
    """An upload; uploads with the same `content` have the same digest."""
    return ReceivedVideo(Path("nowhere"), num_bytes, content * 64)


async def submitted(
    database: Database,
    request: JobRequest | None = None,
    upload: ReceivedVideo | None = None,
    limits: JobSettings | None = None,
) -> tuple[str, bool]:
    """The id of the request's job, and whether the job is new."""

    def submit(connection: Connection) -> tuple[str, bool]:
        row, is_new = submit_job(
            connection, new_job_id(), request or job_request(), upload or video(), limits or settings()
        )
        return row.id, is_new

    return await database.write(submit)


async def claimed(database: Database, lease_seconds: float = LEASE_SECONDS, max_attempts: int = 3) -> Claim | None:
    """A claim on the next job, if any."""
    return await database.write(lambda connection: claim_job(connection, lease_seconds, max_attempts))


async def claimed_job(database: Database, lease_seconds: float = LEASE_SECONDS, max_attempts: int = 3) -> Claim:
    """A claim on the next job, which must exist."""
    claim = await claimed(database, lease_seconds, max_attempts)
    assert claim is not None
    return claim


async def stored_job(database: Database, job_id: str) -> Job:
    """The job as an administrator sees it."""
    text = await database.read(lambda connection: job_json(connection, find_job(connection, job_id, ALL_JOBS)))
    return Job.model_validate_json(text)


async def finished(database: Database, claim: Claim, outcome: Outcome = FAILED) -> bool:
    """Whether the database accepted the outcome."""
    return await database.write(
        lambda connection: finish_job(connection, claim.job_id, claim.fencing_token, outcome, RETENTION_SECONDS)
    )
