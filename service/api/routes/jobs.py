"""`/jobs`: predictions that run in the background."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event

from framewise.schemas.jobs import Job, JobList, JobListQuery, JobQuery
from service.api.access_log import note
from service.api.problem_sets import OF_JOBS, RECEIVED, Responses, problems_of
from service.api.upload_body import VIDEO_BODY, respond_to_upload
from service.jobs.errors import (
    CallbackNotAllowed,
    DatabaseUnavailable,
    IdempotencyConflict,
    JobsDisabled,
    JobStorageFull,
    TooManyJobs,
    TooManyListeners,
    UnknownJob,
)
from service.jobs.events import EVENT_ID
from service.jobs.jobs import Jobs
from service.jobs.queries import Viewer, require_job_id
from service.jobs.submissions import JobRequest
from service.state import AppState
from service.telemetry.spans import current_traceparent

router = APIRouter(prefix="/jobs", tags=["jobs"])

_OF_A_JOB = OF_JOBS | {UnknownJob}
# Errors in the video itself are part of the job, not of the response.
_SUBMISSION = RECEIVED | OF_JOBS | {CallbackNotAllowed, IdempotencyConflict, TooManyJobs, JobStorageFull}


def _checked_job_id(job_id: Annotated[str, Path(description="The `id` of the job, 32 hexadecimal digits.")]) -> str:
    return require_job_id(job_id)


_JobId = Annotated[str, Depends(_checked_job_id)]
_IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x20-\x7e]{1,128}$",
        description="Requests with the same key, video and query create only one job.",
    ),
]
_LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=f"^{EVENT_ID}$",
        description="The `id` of the last event received; the stream continues after it.",
    ),
]
_LOCATION = {"Location": {"description": "Path of the job.", "schema": {"type": "string"}}}
_SUBMITTED: Responses = {
    202: {"model": Job, "description": "The new job, stored on disk", "headers": _LOCATION},
    200: {"model": Job, "description": "The job created before with the same `Idempotency-Key`", "headers": _LOCATION},
    **problems_of(_SUBMISSION),
}
_FOUND = problems_of(_OF_A_JOB)
_ENDED: Responses = {
    200: {"model": Job, "description": "The job was cancelled"},
    204: {"description": "The job had ended; it was removed with its result"},
    **_FOUND,
}
_EVENTS: Responses = {
    200: {
        "description": "Events named `queued`, `running` and `progress`, each with a `JobEvent` as data; the last "
        "event is `done`, `failed` or `cancelled`, with the `Job` as data",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "There are no events after `Last-Event-ID`, and the job has ended"},
    **problems_of(_OF_A_JOB | {TooManyListeners}),
}


def _jobs(request: Request) -> Jobs:
    state = AppState.of(request)
    if state.jobs is None:
        raise JobsDisabled("This service accepts no jobs: SERVICE_JOBS_DIR is not set.")
    state.lifecycle.require_ready()
    return state.jobs


def _viewer(request: Request) -> Viewer:
    key = request.state.key
    return Viewer(owner="", sees_all=True) if key is None else Viewer(key.id, sees_all="admin" in key.scopes)


_Jobs = Annotated[Jobs, Depends(_jobs)]
_Viewer = Annotated[Viewer, Depends(_viewer)]


async def _news(request: Request, jobs: _Jobs, job_id: _JobId) -> AsyncIterator[asyncio.Event]:
    """Yield an event that is set when the job may have changed; released when the response ends."""
    with jobs.listen(job_id, request.state.caller) as news:
        yield news


# `curl -T` sends PUT.
@router.put(
    "", status_code=202, openapi_extra=VIDEO_BODY, responses=_SUBMITTED, summary="Submit a video as a job, sent by PUT"
)
@router.post("", status_code=202, openapi_extra=VIDEO_BODY, responses=_SUBMITTED, summary="Submit a video as a job")
async def submit(
    request: Request,
    jobs: _Jobs,
    viewer: _Viewer,
    query: Annotated[JobQuery, Query()],
    idempotency_key: _IdempotencyKey = None,
) -> Response:
    """Store a video and respond at once; the job survives a restart of the service."""
    job_request = JobRequest(viewer.owner, idempotency_key, query, request.state.request_id, current_traceparent())
    submitted = await respond_to_upload(request, lambda upload: jobs.submit(upload, job_request))
    note(request, job_id=submitted.job_id)
    return Response(
        submitted.json,
        status_code=202 if submitted.is_new else 200,
        media_type="application/json",
        headers={"Location": f"{request.scope['root_path']}/jobs/{submitted.job_id}"},
    )


@router.get("", responses=_FOUND, summary="The jobs, latest first")
async def list_jobs(jobs: _Jobs, viewer: _Viewer, query: Annotated[JobListQuery, Query()]) -> JobList:
    """The jobs of the request's API key without their results; all jobs for a key with the scope `admin`."""
    return await jobs.list_jobs(query, viewer)


@router.get("/{job_id}", response_model=Job, responses=_FOUND, summary="A job and its result")
async def get_job(request: Request, jobs: _Jobs, viewer: _Viewer, job_id: _JobId) -> Response:
    """The state and progress of a job; `result` if it is done, `problem` if it has failed."""
    note(request, job_id=job_id)
    return Response(await jobs.get(job_id, viewer), media_type="application/json")


@router.delete("/{job_id}", responses=_ENDED, summary="Cancel a job, or remove one that has ended", response_model=Job)
async def end_job(request: Request, jobs: _Jobs, viewer: _Viewer, job_id: _JobId) -> Response:
    """Cancel a queued or running job. Remove a job that has ended, with its result."""
    note(request, job_id=job_id)
    cancelled = await jobs.cancel_or_remove(job_id, viewer)
    return Response(status_code=204) if cancelled is None else Response(cancelled, media_type="application/json")


@router.get("/{job_id}/events", responses=_EVENTS, summary="Stream the events of a job", response_class=Response)
async def events(
    request: Request,
    jobs: _Jobs,
    viewer: _Viewer,
    job_id: _JobId,
    news: Annotated[asyncio.Event, Depends(_news)],
    *,
    last_event_id: _LastEventId = None,
) -> Response:
    """Server-sent events of the latest attempt, from its start or after `Last-Event-ID`."""
    note(request, job_id=job_id)
    missed, has_ended = await jobs.events_after(job_id, viewer, last_event_id)
    if has_ended and not missed:
        return Response(status_code=204)
    heartbeat_seconds = AppState.of(request).settings.job_heartbeat_seconds
    return EventSourceResponse(
        _stream(jobs, job_id, viewer, last_event_id, news=news, heartbeat_seconds=heartbeat_seconds),
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _stream(
    jobs: Jobs,
    job_id: str,
    viewer: Viewer,
    last_seen: str | None,
    *,
    news: asyncio.Event,
    heartbeat_seconds: float,
) -> AsyncIterator[bytes]:
    """Yield the events after `last_seen`; end early if the job is gone or its state cannot be read."""
    while True:
        news.clear()
        try:
            missed, has_ended = await jobs.events_after(job_id, viewer, last_seen)
        except (UnknownJob, DatabaseUnavailable):
            return
        for event, data in missed:
            yield format_sse_event(event=event.name, data_str=data, id=event.id)
            last_seen = event.id
        if has_ended or jobs.listeners.is_closed:
            return
        try:
            async with asyncio.timeout(heartbeat_seconds):
                await news.wait()
        except TimeoutError:
            yield format_sse_event(comment="heartbeat")
