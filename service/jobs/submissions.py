"""How a job comes into the database: once, and only while there is room."""

import hashlib
import json
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Connection, Row, func, insert, select

from service.jobs.database import current_time, lock_submissions
from service.jobs.errors import IdempotencyConflict, JobStorageFull, TooManyJobs
from service.jobs.tables import JOBS
from service.schemas import JobQuery
from service.upload import ReceivedVideo


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for a job, and what for."""

    owner: str
    idempotency_key: str | None
    query: JobQuery
    request_id: str
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many jobs may wait, and how many bytes all of them may take."""

    max_queued: int
    max_bytes: int


def new_job_id() -> str:
    """A fresh id, 32 hexadecimal digits; later ones are greater."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def require_room(connection: Connection, request: Request, num_bytes: int, bounds: Bounds) -> None:
    """Pass where there is room for a job of `num_bytes`, or where there may be that very job already.

    Raises:
        TooManyJobs, JobStorageFull: there is none.
    """
    if _find(connection, request) is None:
        _require_room(connection, num_bytes, bounds)


def submit(
    connection: Connection, job_id: str, request: Request, video: ReceivedVideo, bounds: Bounds
) -> tuple[Row[tuple[object, ...]], bool]:
    """The job of `request`, and whether it is a new one: the same key, video and query have the same job.

    Raises:
        IdempotencyConflict: the key belongs to another video or query.
        TooManyJobs, JobStorageFull: there is no room.
    """
    lock_submissions(connection)
    fingerprint = _fingerprint(request.query, video)
    found = _find(connection, request)
    if found is not None:
        if found.fingerprint != fingerprint:
            raise IdempotencyConflict("This idempotency key was used for another video or query.")
        return found, False
    _require_room(connection, video.num_bytes, bounds)
    now = current_time(connection)
    connection.execute(
        insert(JOBS).values(
            id=job_id,
            owner=request.owner,
            idempotency_key=request.idempotency_key,
            fingerprint=fingerprint,
            request_id=request.request_id,
            traceparent=request.traceparent,
            query=request.query.model_dump_json(exclude={"callback_url"}),
            upload_sha256=video.sha256,
            num_upload_bytes=video.num_bytes,
            num_stored_bytes=video.num_bytes,
            state="queued",
            fence=0,
            num_attempts=0,
            run_after=now,
            num_clips_done=0,
            created_at=now,
            callback_url=request.query.callback_url,
            callback_state=None if request.query.callback_url is None else "waiting",
            num_callbacks=0,
        )
    )
    return connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one(), True


def _find(connection: Connection, request: Request) -> Row[tuple[object, ...]] | None:
    if request.idempotency_key is None:
        return None
    is_it = (JOBS.c.owner == request.owner) & (JOBS.c.idempotency_key == request.idempotency_key)
    return connection.execute(select(JOBS).where(is_it)).one_or_none()


def _require_room(connection: Connection, num_bytes: int, bounds: Bounds) -> None:
    num_queued = select(func.count()).where(JOBS.c.state == "queued")
    if connection.execute(num_queued).scalar_one() >= bounds.max_queued:
        raise TooManyJobs("As many jobs are waiting as may; try again later.")
    stored = select(func.coalesce(func.sum(JOBS.c.num_stored_bytes), 0))
    if connection.execute(stored).scalar_one() + num_bytes > bounds.max_bytes:
        raise JobStorageFull("Jobs take as many bytes as they may; remove some that have ended, or wait.")


def _fingerprint(query: JobQuery, video: ReceivedVideo) -> str:
    return hashlib.sha256(json.dumps([video.sha256, query.model_dump()], sort_keys=True).encode()).hexdigest()
