"""Who runs a job: claimed by one process at a time, held by a lease, fenced by the number of the claim.

          claim                 finish
    queued ───> running ─────────────────> done, failed
      ^  │         │ │                       ^
      │  │ cancel  │ └── lease ends ─────────┤ as often as may be: abandoned
      │  └───────> │ ──> cancelled           │
      └────────────┘ give back, or the lease ends and somebody claims it anew

A process that lost its lease without noticing may go on working, but what it writes names its claim's
number, the fence, and no row has that one any more.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, case, func, null, or_, select, update

from framewise.schemas.prediction import PredictQuery
from service.jobs.database import current_time
from service.jobs.tables import JOBS

ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Claim:
    """A job to be run, and the fence by which its runner is known."""

    job_id: str
    fence: int
    attempt: int
    query: PredictQuery
    request_id: str
    traceparent: str | None
    upload_sha256: str
    num_upload_bytes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: with a result of so many clips, or with a problem, as JSON."""

    result: str | None = None
    problem: str | None = None
    num_clips: int | None = None


def claim(connection: Connection, lease_seconds: float, max_attempts: int) -> Claim | None:
    """The next job, claimed; None where there is none to be run."""
    now = current_time(connection)
    is_free = or_(
        and_(JOBS.c.state == "queued", JOBS.c.run_after <= now),
        and_(JOBS.c.state == "running", JOBS.c.lease_ends_at < now, JOBS.c.num_attempts < max_attempts),
    )
    # One that already took a process down comes after those that did not. Others' choices are passed over.
    order = (JOBS.c.num_attempts, JOBS.c.turn, JOBS.c.id)
    row = connection.execute(
        select(JOBS).where(is_free).order_by(*order).limit(1).with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    connection.execute(
        update(JOBS)
        .where(JOBS.c.id == row.id)
        .values(
            state="running",
            fence=row.fence + 1,
            num_attempts=row.num_attempts + 1,
            lease_ends_at=now + lease_seconds,
            started_at=func.coalesce(JOBS.c.started_at, now),
            num_clips=None,
            num_clips_done=0,
        )
    )
    return Claim(
        job_id=row.id,
        fence=row.fence + 1,
        attempt=row.num_attempts + 1,
        query=PredictQuery.model_validate_json(row.query),
        request_id=row.request_id,
        traceparent=row.traceparent,
        upload_sha256=row.upload_sha256,
        num_upload_bytes=row.num_upload_bytes,
    )


def fail_abandoned(
    connection: Connection, max_attempts: int, problem_of: Callable[[str], str], retention_seconds: float
) -> list[str]:
    """Fail the jobs whose last permitted attempt ended with its lease; returns their ids.

    `problem_of` makes the problem, as JSON, from the id of the request.
    """
    is_lost = and_(
        JOBS.c.state == "running",
        JOBS.c.lease_ends_at < current_time(connection),
        JOBS.c.num_attempts >= max_attempts,
    )
    rows = connection.execute(select(JOBS).where(is_lost).with_for_update(skip_locked=True)).all()
    for row in rows:
        finish(connection, row.id, row.fence, Outcome(problem=problem_of(row.request_id)), retention_seconds)
    return [row.id for row in rows]


def renew(connection: Connection, held: Collection[Claim], lease_seconds: float) -> set[str]:
    """The ids of those claims that still hold, their leases prolonged; the others' jobs are cancelled or another's."""
    ends_at = current_time(connection) + lease_seconds
    return {
        held_one.job_id
        for held_one in held
        if connection.execute(_of(held_one.job_id, held_one.fence, lease_ends_at=ends_at)).rowcount
    }


def report_progress(connection: Connection, held: Claim, num_clips: int | None, num_clips_done: int) -> bool:
    """Record how far the job has come; false where the claim holds no more."""
    statement = _of(held.job_id, held.fence, num_clips=num_clips, num_clips_done=num_clips_done)
    return bool(connection.execute(statement).rowcount)


def give_back(connection: Connection, held: Claim, after_seconds: float) -> bool:
    """Have the job run by anybody, not before `after_seconds`, as if it had not been claimed."""
    now = current_time(connection)
    statement = _of(
        held.job_id,
        held.fence,
        state="queued",
        num_attempts=JOBS.c.num_attempts - 1,
        run_after=now + after_seconds,
        lease_ends_at=None,
        num_clips=None,
        num_clips_done=0,
    )
    return bool(connection.execute(statement).rowcount)


def finish(connection: Connection, job_id: str, fence: int, outcome: Outcome, retention_seconds: float) -> bool:
    """Record the end of a job; false, and nothing is changed, where the claim holds no more."""
    now = current_time(connection)
    text = outcome.result or outcome.problem or ""
    statement = _of(
        job_id,
        fence,
        state="failed" if outcome.result is None else "done",
        result=outcome.result,
        problem=outcome.problem,
        num_clips=JOBS.c.num_clips if outcome.num_clips is None else outcome.num_clips,
        num_clips_done=JOBS.c.num_clips_done if outcome.num_clips is None else outcome.num_clips,
        num_stored_bytes=len(text.encode()),
        lease_ends_at=None,
        finished_at=now,
        expires_at=now + retention_seconds,
        callback_state=_if_called_back("pending"),
        callback_due_at=_if_called_back(now),
    )
    return bool(connection.execute(statement).rowcount)


def cancel(connection: Connection, job_id: str, retention_seconds: float) -> bool:
    """End a job that has not ended; false where it has."""
    now = current_time(connection)
    statement = (
        update(JOBS)
        .where(JOBS.c.id == job_id, JOBS.c.state.not_in(ENDED))
        .values(
            state="cancelled",
            num_stored_bytes=0,
            lease_ends_at=None,
            finished_at=now,
            expires_at=now + retention_seconds,
            callback_state=_if_called_back("given_up"),
        )
    )
    return bool(connection.execute(statement).rowcount)


def _of(job_id: str, fence: int, **values: object):  # type: ignore[no-untyped-def] # noqa: ANN202 - SQLAlchemy's own
    is_mine = (JOBS.c.id == job_id) & (JOBS.c.fence == fence) & (JOBS.c.state == "running")
    return update(JOBS).where(is_mine).values(**values)


def _if_called_back(value: object) -> ColumnElement[object]:
    return case((JOBS.c.callback_url.is_not(None), value), else_=null())
