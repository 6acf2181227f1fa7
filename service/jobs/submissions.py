"""How a job comes into the database: once, while there is room, and with a turn that is fair to every caller."""

import hashlib
import json
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Connection, Row, case, func, insert, select

from framewise.schemas.jobs import JobQuery
from service.jobs.database import current_time, lock_submissions
from service.jobs.errors import IdempotencyConflict, JobStorageFull, TooManyJobs
from service.jobs.settings import JobSettings
from service.jobs.tables import JOBS
from service.uploads.receive import ReceivedVideo


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for a job, and what for."""

    owner: str
    idempotency_key: str | None
    query: JobQuery
    request_id: str
    traceparent: str | None = None


def new_job_id() -> str:
    """A fresh id, 32 hexadecimal digits; later ones are greater."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def require_room(connection: Connection, request: Request, num_bytes: int, settings: JobSettings) -> None:
    """Pass where there is room for a job of `num_bytes`, or where there may be that very job already.

    Raises:
        TooManyJobs, JobStorageFull: there is none.
    """
    if _find(connection, request) is None:
        _require_room(connection, request.owner, num_bytes, settings)


def submit(
    connection: Connection, job_id: str, request: Request, video: ReceivedVideo, settings: JobSettings
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
    _require_room(connection, request.owner, video.num_bytes, settings)
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
            turn=_next_turn(connection, request.owner),
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


def _next_turn(connection: Connection, owner: str) -> int:
    """When the job runs: after the owner's others, and level with what runs now of everybody else.

    Start-time fair queueing (Goyal, Vin and Cheng, 1996), a job being of length 1: however many jobs one caller has
    waiting, each other caller's next one is run as soon as his would be who has none.
    """
    of_owner = select(func.max(JOBS.c.turn) + 1).where(JOBS.c.owner == owner, JOBS.c.state.in_(("queued", "running")))
    running = select(func.max(JOBS.c.turn)).where(JOBS.c.state == "running")
    waiting = select(func.min(JOBS.c.turn)).where(JOBS.c.state == "queued")
    own, *others = (connection.execute(chosen).scalar_one() for chosen in (of_owner, running, waiting))
    now = next((turn for turn in others if turn is not None), 0)
    return max(now, own or 0)


def _require_room(connection: Connection, owner: str, num_bytes: int, settings: JobSettings) -> None:
    whole = _Taken.by(connection)
    if whole.fills_queue(settings, 1):
        raise TooManyJobs("As many jobs are waiting as may; try again later.")
    if whole.fills_storage(num_bytes, settings, 1):
        raise JobStorageFull("Jobs take as much as they may; remove some that have ended, or wait.")
    # Where there are no keys, nobody can be told from another.
    if not owner:
        return
    own = _Taken.by(connection, owner)
    if own.fills_queue(settings, settings.job_share_per_key):
        raise TooManyJobs("As many of your jobs are waiting as one key's may; try again later.")
    if own.fills_storage(num_bytes, settings, settings.job_share_per_key):
        raise JobStorageFull("Your jobs take as much as one key's may; remove some that have ended, or wait.")


@dataclass(frozen=True, slots=True)
class _Taken:
    """What jobs take of what there is."""

    num_queued: int
    num_kept: int
    num_bytes: int

    @classmethod
    def by(cls, connection: Connection, owner: str | None = None) -> "_Taken":
        """What one owner's jobs take, or everybody's."""
        is_queued = case((JOBS.c.state == "queued", 1), else_=0)
        totals = (func.sum(is_queued), func.count(), func.sum(JOBS.c.num_stored_bytes))
        chosen = select(*(func.coalesce(total, 0) for total in totals))
        if owner is not None:
            chosen = chosen.where(JOBS.c.owner == owner)
        return cls(*map(int, connection.execute(chosen).one()))

    def fills_queue(self, settings: JobSettings, share: float) -> bool:
        """Whether no other job may wait where this `share` of the limits holds."""
        return self.num_queued >= max(1, int(share * settings.max_queued_jobs))

    def fills_storage(self, num_bytes: int, settings: JobSettings, share: float) -> bool:
        """Whether no other job, of so many bytes, may be there where this `share` of the limits holds."""
        is_full = self.num_kept >= max(1, int(share * settings.max_kept_jobs))
        return is_full or self.num_bytes + num_bytes > share * settings.max_job_bytes


def _fingerprint(query: JobQuery, video: ReceivedVideo) -> str:
    return hashlib.sha256(json.dumps([video.sha256, query.model_dump()], sort_keys=True).encode()).hexdigest()
