"""Leases on jobs: one process at a time runs a job, and only its writes are accepted.

      claim                 finish
    queued ───> running ─────────────────> done, failed
      ^  │         │ │                       ^
      │  │ cancel  │ └── lease expires ──────┤ no attempts left: abandoned
      │  └───────> │ ──> cancelled           │
      └────────────┘ requeued, or the lease expires and another process claims the job

Each claim increments the fencing token of the job. A process that lost its lease may continue to work, but its writes
carry an old fencing token and are rejected.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Update, and_, case, func, null, or_, select, update

from framewise.schemas.prediction import PredictQuery
from service.jobs.persistence.database import current_time
from service.jobs.persistence.tables import JOBS

ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed job and the fencing token of the claim. `owner` is the id of the API key, empty without keys."""

    job_id: str
    owner: str
    fencing_token: int
    attempt: int
    query_json: str
    request_id: str
    traceparent: str | None
    upload_sha256: str
    num_upload_bytes: int

    @property
    def query(self) -> PredictQuery:
        """The query of the job. Raises ValidationError if the stored one is invalid."""
        return PredictQuery.model_validate_json(self.query_json)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a job: the result and its number of clips, or the problem. Both are JSON."""

    result: str | None = None
    problem: str | None = None
    num_clips: int | None = None


def claim_job(connection: Connection, lease_seconds: float, max_attempts: int) -> Claim | None:
    """Claim the next job; None if there is none to run."""
    now = current_time(connection)
    is_claimable = or_(
        # Only an attempt puts a job off.
        and_(JOBS.c.state == "queued", or_(JOBS.c.fence == 0, JOBS.c.run_after <= now)),
        and_(JOBS.c.state == "running", JOBS.c.lease_ends_at < now, JOBS.c.num_attempts < max_attempts),
    )
    # A job that already killed a process comes after jobs that did not. Rows locked by other processes are skipped.
    order = (JOBS.c.num_attempts, JOBS.c.turn, JOBS.c.id)
    row = connection.execute(
        select(JOBS).where(is_claimable).order_by(*order).limit(1).with_for_update(skip_locked=True)
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
        owner=row.owner,
        fencing_token=row.fence + 1,
        attempt=row.num_attempts + 1,
        query_json=row.query,
        request_id=row.request_id,
        traceparent=row.traceparent,
        upload_sha256=row.upload_sha256,
        num_upload_bytes=row.num_upload_bytes,
    )


def fail_abandoned_jobs(
    connection: Connection, max_attempts: int, problem_of: Callable[[str], str], retention_seconds: float
) -> list[str]:
    """Fail the jobs whose lease expired in their last permitted attempt, and return their ids.

    `problem_of` returns the problem as JSON for a request id.
    """
    is_abandoned = and_(
        JOBS.c.state == "running",
        JOBS.c.lease_ends_at < current_time(connection),
        JOBS.c.num_attempts >= max_attempts,
    )
    rows = connection.execute(select(JOBS).where(is_abandoned).with_for_update(skip_locked=True)).all()
    for row in rows:
        finish_job(connection, row.id, row.fence, Outcome(problem=problem_of(row.request_id)), retention_seconds)
    return [row.id for row in rows]


def renew_leases(connection: Connection, claims: Collection[Claim], lease_seconds: float) -> set[str]:
    """Renew the leases of `claims`, and return the job ids of the claims that are still valid."""
    ends_at = current_time(connection) + lease_seconds
    return {
        claim.job_id
        for claim in claims
        if connection.execute(_update_claimed(claim.job_id, claim.fencing_token, lease_ends_at=ends_at)).rowcount
    }


def record_progress(connection: Connection, claim: Claim, num_clips: int | None, num_clips_done: int) -> bool:
    """Store the progress of the job; false if the claim is no longer valid."""
    statement = _update_claimed(claim.job_id, claim.fencing_token, num_clips=num_clips, num_clips_done=num_clips_done)
    return bool(connection.execute(statement).rowcount)


def requeue_job(connection: Connection, claim: Claim, after_seconds: float, *, is_counted: bool = False) -> bool:
    """Undo the claim; any process may claim the job after `after_seconds`. False if the claim is no longer valid.

    The attempt stays counted if `is_counted`.
    """
    now = current_time(connection)
    statement = _update_claimed(
        claim.job_id,
        claim.fencing_token,
        state="queued",
        num_attempts=JOBS.c.num_attempts - (0 if is_counted else 1),
        run_after=now + after_seconds,
        lease_ends_at=None,
        num_clips=None,
        num_clips_done=0,
    )
    return bool(connection.execute(statement).rowcount)


def finish_job(
    connection: Connection, job_id: str, fencing_token: int, outcome: Outcome, retention_seconds: float
) -> bool:
    """Store the outcome of the job; false, without a change, if the claim is no longer valid."""
    now = current_time(connection)
    text = outcome.result or outcome.problem or ""
    statement = _update_claimed(
        job_id,
        fencing_token,
        state="failed" if outcome.result is None else "done",
        result=outcome.result,
        problem=outcome.problem,
        num_clips=JOBS.c.num_clips if outcome.num_clips is None else outcome.num_clips,
        num_clips_done=JOBS.c.num_clips_done if outcome.num_clips is None else outcome.num_clips,
        num_stored_bytes=len(text.encode()),
        lease_ends_at=None,
        finished_at=now,
        expires_at=now + retention_seconds,
        callback_state=_if_callback("pending"),
        callback_due_at=_if_callback(now),
    )
    return bool(connection.execute(statement).rowcount)


def cancel_job(connection: Connection, job_id: str, retention_seconds: float) -> bool:
    """Cancel a job; false if the job has already ended."""
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
            callback_state=_if_callback("given_up"),
        )
    )
    return bool(connection.execute(statement).rowcount)


def _update_claimed(job_id: str, fencing_token: int, **values: object) -> Update:
    is_claimed = (JOBS.c.id == job_id) & (JOBS.c.fence == fencing_token) & (JOBS.c.state == "running")
    return update(JOBS).where(is_claimed).values(**values)


def _if_callback(value: object) -> ColumnElement[object]:
    return case((JOBS.c.callback_url.is_not(None), value), else_=null())
