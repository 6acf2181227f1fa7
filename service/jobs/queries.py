"""Reads jobs from the database and converts them to schemas."""

import datetime as dt
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pydantic_core import to_json
from sqlalchemy import Connection, Row, delete, exists, func, select

from framewise.schemas.jobs import Callback, Delivery, Job, JobList, JobListQuery, JobProgress, JobSummary, JobUpload
from framewise.schemas.prediction import PredictQuery
from framewise.schemas.problem import Problem
from service.jobs.errors import UnknownJob
from service.jobs.leases import ENDED
from service.jobs.persistence.database import current_time, shown_time
from service.jobs.persistence.tables import DELIVERIES, JOBS

_JOB_ID = re.compile(r"[0-9a-f]{32}")
_UNKNOWN = "The job does not exist."

AnyRow = Row[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Viewer:
    """The API key that reads jobs: its own jobs, or all jobs with `sees_all`."""

    owner: str
    sees_all: bool


@dataclass(frozen=True, slots=True)
class JobStatistics:
    """Counts of all jobs, the age of the oldest queued job, and whether a callback is due."""

    num_by_state: dict[str, int]
    queue_age_seconds: float
    num_stored_bytes: int
    has_due_callback: bool


def require_job_id(job_id: str) -> str:
    """Return `job_id` if it has the form of an id, before it reaches a database.

    Raises:
        UnknownJob: it is not 32 hexadecimal digits, so there is no such job.
    """
    if _JOB_ID.fullmatch(job_id) is None:
        raise UnknownJob(_UNKNOWN)
    return job_id


def find_job(connection: Connection, job_id: str, viewer: Viewer) -> AnyRow:
    """The row of a job; raises UnknownJob if it does not exist or `viewer` must not see it."""
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
    if row is None or not (viewer.sees_all or row.owner == viewer.owner):
        raise UnknownJob(_UNKNOWN)
    return row


def job_json(connection: Connection, row: AnyRow) -> str:
    """The JSON of a `Job`. The stored result, which may have megabytes, is copied without parsing it."""
    deliveries = connection.execute(
        select(DELIVERIES).where(DELIVERIES.c.job_id == row.id).order_by(DELIVERIES.c.number)
    ).all()
    job = Job(
        **summary(connection, row).model_dump(),
        result=None,
        problem=None if row.problem is None else Problem.model_validate_json(row.problem),
        callback=None if row.callback_url is None else _callback(connection, row, deliveries),
    )
    fields = {name: to_json(value).decode() for name, value in job}
    return _json_object(fields | {"result": row.result or "null"})


def list_jobs(connection: Connection, query: JobListQuery, viewer: Viewer) -> JobList:
    """A page of the jobs that `viewer` may see, latest first. Results are not read."""
    statement = (
        select(*(column for column in JOBS.c if column is not JOBS.c.result))
        .order_by(JOBS.c.id.desc())
        .limit(query.limit + 1)
    )
    if not viewer.sees_all:
        statement = statement.where(JOBS.c.owner == viewer.owner)
    if query.state is not None:
        statement = statement.where(JOBS.c.state == query.state)
    if query.after is not None:
        statement = statement.where(JOBS.c.id < query.after)
    rows = connection.execute(statement).all()
    page = rows[: query.limit]
    return JobList(jobs=[summary(connection, row) for row in page], next=page[-1].id if len(rows) > len(page) else None)


def remove_ended_job(connection: Connection, job_id: str) -> bool:
    """Remove an ended job with its result and deliveries; false if the job has not ended."""
    return bool(connection.execute(delete(JOBS).where(JOBS.c.id == job_id, JOBS.c.state.in_(ENDED))).rowcount)


def remove_expired_jobs(connection: Connection) -> int:
    """Remove the jobs whose retention time is over, and return their number."""
    return connection.execute(delete(JOBS).where(JOBS.c.expires_at < current_time(connection))).rowcount


def has_ended_by_id(connection: Connection, job_ids: Collection[str]) -> dict[str, bool]:
    """Whether the job has ended, for each of `job_ids` that exists."""
    statement = select(JOBS.c.id, JOBS.c.state).where(JOBS.c.id.in_(job_ids))
    return {row.id: row.state in ENDED for row in connection.execute(statement)}


def job_versions(connection: Connection, job_ids: Collection[str]) -> dict[str, object]:
    """A value per job that differs after each change that has an event."""
    columns = (JOBS.c.id, JOBS.c.state, JOBS.c.fence, JOBS.c.num_clips_done)
    rows = connection.execute(select(*columns).where(JOBS.c.id.in_(job_ids))).all()
    return {row.id: tuple(row) for row in rows}


def job_statistics(connection: Connection) -> JobStatistics:
    """Statistics of all jobs."""
    rows = connection.execute(
        select(JOBS.c.state, func.count(), func.sum(JOBS.c.num_stored_bytes), func.min(JOBS.c.created_at)).group_by(
            JOBS.c.state
        )
    ).all()
    now = current_time(connection)
    is_due = (JOBS.c.callback_due_at <= now) & (JOBS.c.callback_state == "pending")
    oldest = min((since for state, _, _, since in rows if state == "queued"), default=None)
    return JobStatistics(
        num_by_state={state: number for state, number, _, _ in rows},
        queue_age_seconds=0.0 if oldest is None else max(0.0, now - oldest),
        num_stored_bytes=int(sum(stored for _, _, stored, _ in rows)),
        has_due_callback=connection.execute(select(exists().where(is_due))).scalar_one(),
    )


def summary(connection: Connection, row: AnyRow) -> JobSummary:
    """The job of `row` without its result."""
    return JobSummary(
        id=row.id,
        state=row.state,
        created_at=_utc(connection, row.created_at),
        started_at=_utc_or_none(connection, row.started_at),
        finished_at=_utc_or_none(connection, row.finished_at),
        expires_at=_utc_or_none(connection, row.expires_at),
        attempt=row.num_attempts,
        progress=progress(row.num_clips, row.num_clips_done),
        query=PredictQuery.model_validate_json(row.query),
        upload=JobUpload(num_bytes=row.num_upload_bytes, sha256=row.upload_sha256, file_name=row.upload_file_name),
        request_id=row.request_id,
    )


def progress(num_clips: int | None, num_clips_done: int) -> JobProgress | None:
    """The progress of a job; None until the number of clips is known."""
    return None if num_clips is None else JobProgress(num_clips_done=num_clips_done, num_clips=num_clips)


def _json_object(members: Mapping[str, str]) -> str:
    """A JSON object whose member values are already JSON. Copies each value once."""
    parts = []
    for name, value in members.items():
        parts += [",", to_json(name).decode(), ":", value]
    return "".join(["{", *parts[1:], "}"])


def _callback(connection: Connection, row: AnyRow, deliveries: Sequence[AnyRow]) -> Callback:
    return Callback(
        url=row.callback_url,
        state=row.callback_state,
        deliveries=[
            Delivery(
                number=delivery.number,
                at=_utc(connection, delivery.at),
                status=delivery.status,
                error=delivery.error,
                milliseconds=delivery.milliseconds,
            )
            for delivery in deliveries
        ],
    )


def _utc(connection: Connection, job_time: float) -> str:
    moment = dt.datetime.fromtimestamp(shown_time(connection, job_time), dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _utc_or_none(connection: Connection, job_time: float | None) -> str | None:
    return None if job_time is None else _utc(connection, job_time)
