"""What is known of jobs, as it travels on the wire."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, exists, func, select

from framewise.schemas.jobs import Callback, Delivery, Job, JobList, JobListQuery, JobProgress, JobSummary, JobUpload
from framewise.schemas.prediction import PredictQuery
from framewise.schemas.problem import Problem
from service.jobs.database import current_time
from service.jobs.errors import UnknownJob
from service.jobs.leases import ENDED
from service.jobs.tables import DELIVERIES, JOBS

AnyRow = Row[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose jobs may be seen: one owner's, or everybody's."""

    owner: str
    sees_all: bool


@dataclass(frozen=True, slots=True)
class Census:
    """How many jobs are in each state, how long the oldest has waited, what all take, and whether a webhook is due."""

    num_by_state: dict[str, int]
    queue_age_seconds: float
    num_stored_bytes: int
    has_due_callback: bool


def find_job(connection: Connection, job_id: str, viewer: Viewer) -> AnyRow:
    """The job's row; raises UnknownJob where there is none, or none that `viewer` may see."""
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
    if row is None or not (viewer.sees_all or row.owner == viewer.owner):
        raise UnknownJob("There is no such job.")
    return row


def job_json(connection: Connection, row: AnyRow) -> str:
    """The job of `row` as the JSON of a `Job`; the result in it is, to the byte, what was stored."""
    deliveries = connection.execute(
        select(DELIVERIES).where(DELIVERIES.c.job_id == row.id).order_by(DELIVERIES.c.number)
    ).all()
    job = Job(
        **summary(row).model_dump(),
        result=None,
        problem=None if row.problem is None else Problem.model_validate_json(row.problem),
        callback=None if row.callback_url is None else _callback(row, deliveries),
    )
    # Read and written again, a long video's result would hold up everybody else for a moment.
    return f'{job.model_dump_json(exclude={"result"})[:-1]},"result":{row.result or "null"}}}'


def list_jobs(connection: Connection, query: JobListQuery, viewer: Viewer) -> JobList:
    """The jobs that `viewer` may see, latest first."""
    # Not their results, of which each may be megabytes.
    chosen = (
        select(*(column for column in JOBS.c if column is not JOBS.c.result))
        .order_by(JOBS.c.id.desc())
        .limit(query.limit + 1)
    )
    if not viewer.sees_all:
        chosen = chosen.where(JOBS.c.owner == viewer.owner)
    if query.state is not None:
        chosen = chosen.where(JOBS.c.state == query.state)
    if query.after is not None:
        chosen = chosen.where(JOBS.c.id < query.after)
    rows = connection.execute(chosen).all()
    listed = rows[: query.limit]
    return JobList(jobs=[summary(row) for row in listed], next=listed[-1].id if len(rows) > len(listed) else None)


def remove_ended(connection: Connection, job_id: str) -> bool:
    """Remove a job that has ended, with all there is of it; false where it has not."""
    return bool(connection.execute(delete(JOBS).where(JOBS.c.id == job_id, JOBS.c.state.in_(ENDED))).rowcount)


def remove_expired(connection: Connection) -> int:
    """Remove the jobs whose time is over, and say how many."""
    return connection.execute(delete(JOBS).where(JOBS.c.expires_at < current_time(connection))).rowcount


def unfinished(connection: Connection, job_ids: Collection[str]) -> set[str]:
    """Those of `job_ids` whose jobs are there and have not ended."""
    chosen = select(JOBS.c.id).where(JOBS.c.id.in_(job_ids), JOBS.c.state.not_in(ENDED))
    return set(connection.execute(chosen).scalars())


def versions(connection: Connection, job_ids: Collection[str]) -> dict[str, object]:
    """Of each of these jobs something that changes whenever there is news of it."""
    columns = (JOBS.c.id, JOBS.c.state, JOBS.c.fence, JOBS.c.num_clips_done)
    rows = connection.execute(select(*columns).where(JOBS.c.id.in_(job_ids))).all()
    return {row.id: tuple(row) for row in rows}


def census(connection: Connection) -> Census:
    """All jobs, counted."""
    rows = connection.execute(
        select(JOBS.c.state, func.count(), func.sum(JOBS.c.num_stored_bytes), func.min(JOBS.c.created_at)).group_by(
            JOBS.c.state
        )
    ).all()
    now = current_time(connection)
    is_due = (JOBS.c.callback_due_at <= now) & (JOBS.c.callback_state == "pending")
    oldest = min((since for state, _, _, since in rows if state == "queued"), default=None)
    return Census(
        num_by_state={state: number for state, number, _, _ in rows},
        queue_age_seconds=0.0 if oldest is None else max(0.0, now - oldest),
        num_stored_bytes=int(sum(stored for _, _, stored, _ in rows)),
        has_due_callback=connection.execute(select(exists().where(is_due))).scalar_one(),
    )


def summary(row: AnyRow) -> JobSummary:
    """The job of `row` as it is listed."""
    return JobSummary(
        id=row.id,
        state=row.state,
        created_at=_utc(row.created_at),
        started_at=_utc_or_none(row.started_at),
        finished_at=_utc_or_none(row.finished_at),
        expires_at=_utc_or_none(row.expires_at),
        attempt=row.num_attempts,
        progress=progress(row.num_clips, row.num_clips_done),
        query=PredictQuery.model_validate_json(row.query),
        upload=JobUpload(num_bytes=row.num_upload_bytes, sha256=row.upload_sha256),
        request_id=row.request_id,
    )


def progress(num_clips: int | None, num_clips_done: int) -> JobProgress | None:
    """How far a job has come, once that can be said."""
    return None if num_clips is None else JobProgress(num_clips_done=num_clips_done, num_clips=num_clips)


def _callback(row: AnyRow, deliveries: Sequence[AnyRow]) -> Callback:
    return Callback(
        url=row.callback_url,
        state=row.callback_state,
        deliveries=[
            Delivery(
                number=delivery.number,
                at=_utc(delivery.at),
                status=delivery.status,
                error=delivery.error,
                milliseconds=delivery.milliseconds,
            )
            for delivery in deliveries
        ],
    )


def _utc(unix_seconds: float) -> str:
    moment = dt.datetime.fromtimestamp(unix_seconds, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _utc_or_none(unix_seconds: float | None) -> str | None:
    return None if unix_seconds is None else _utc(unix_seconds)
