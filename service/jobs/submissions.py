"""Inserts jobs into the database: once per idempotency key, within the quotas, and in fair-queue order."""

import hashlib
import json
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Connection, Row, func, insert, select

from framewise.schemas.jobs import JobQuery
from service.egress.urls import host_and_port
from service.jobs.errors import IdempotencyConflict
from service.jobs.persistence.database import current_time, lock_submissions
from service.jobs.persistence.tables import JOBS
from service.jobs.quotas import NOTHING_ARRIVING, ArrivingBytes, require_quota
from service.jobs.settings import JobSettings
from service.uploads.receive import ReceivedVideo


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A request for a job. `owner` is the id of the API key, empty without keys."""

    owner: str
    idempotency_key: str | None
    query: JobQuery
    request_id: str
    traceparent: str | None = None


def new_job_id() -> str:
    """A new id of 32 hexadecimal digits; ids increase with time."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def require_capacity(
    connection: Connection,
    request: JobRequest,
    num_bytes: int,
    settings: JobSettings,
    arriving: ArrivingBytes = NOTHING_ARRIVING,
) -> None:
    """Check the quotas before the upload of `num_bytes`, unless a job with the request's idempotency key exists.

    Raises:
        TooManyJobs: the queue is full.
        JobStorageFull: the storage is full.
    """
    if _find_by_idempotency_key(connection, request) is None:
        require_quota(connection, request.owner, num_bytes, settings, arriving)


def submit_job(
    connection: Connection, job_id: str, request: JobRequest, video: ReceivedVideo, settings: JobSettings
) -> tuple[Row[tuple[object, ...]], bool]:
    """Insert a job and return its row and True; return an existing job's row and False for a repeated request.

    Requests of one owner with the same idempotency key, video and query are repeated requests.

    Raises:
        IdempotencyConflict: the key was used for another video or query.
        TooManyJobs: the queue is full.
        JobStorageFull: the storage is full.
    """
    lock_submissions(connection)
    fingerprint = _fingerprint(request.query, video)
    existing = _find_by_idempotency_key(connection, request)
    if existing is not None:
        if existing.fingerprint != fingerprint:
            raise IdempotencyConflict("The idempotency key was used for another video or query. Use a new key.")
        return existing, False
    require_quota(connection, request.owner, video.num_bytes, settings)
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
            upload_file_name=video.file_name,
            num_upload_bytes=video.num_bytes,
            num_stored_bytes=video.num_bytes,
            state="queued",
            fence=0,
            num_attempts=0,
            turn=_fair_queue_turn(connection, request.owner),
            run_after=now,
            num_clips_done=0,
            created_at=now,
            callback_url=request.query.callback_url,
            callback_host="" if request.query.callback_url is None else host_and_port(request.query.callback_url),
            callback_state=None if request.query.callback_url is None else "waiting",
            num_callbacks=0,
        )
    )
    return connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one(), True


def _find_by_idempotency_key(connection: Connection, request: JobRequest) -> Row[tuple[object, ...]] | None:
    if request.idempotency_key is None:
        return None
    is_same_key = (JOBS.c.owner == request.owner) & (JOBS.c.idempotency_key == request.idempotency_key)
    return connection.execute(select(JOBS).where(is_same_key)).one_or_none()


def _fair_queue_turn(connection: Connection, owner: str) -> int:
    """The turn of a new job: one after the owner's last turn, but not before the current turn of the queue.

    Start-time fair queueing (Goyal, Vin and Cheng, 1996) with jobs of length 1: however many jobs one owner has
    queued, the next job of another owner waits only for the current turn.
    """
    own_turn = select(func.max(JOBS.c.turn) + 1).where(JOBS.c.owner == owner, JOBS.c.state.in_(("queued", "running")))
    running_turn = select(func.max(JOBS.c.turn)).where(JOBS.c.state == "running")
    queued_turn = select(func.min(JOBS.c.turn)).where(JOBS.c.state == "queued")
    own, running, queued = (
        connection.execute(statement).scalar_one() for statement in (own_turn, running_turn, queued_turn)
    )
    current = next((turn for turn in (running, queued) if turn is not None), 0)
    return max(current, own or 0)


def _fingerprint(query: JobQuery, video: ReceivedVideo) -> str:
    return hashlib.sha256(json.dumps([video.sha256, query.model_dump()], sort_keys=True).encode()).hexdigest()
