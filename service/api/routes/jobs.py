"""`POST /jobs` and what is below it: predictions that nobody holds a connection for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event

from framewise.schemas.jobs import Job, JobList, JobListQuery, JobQuery
from service.api.access_log import note
from service.api.upload_body import FORM, answer_upload
from service.jobs.errors import DatabaseUnavailable, JobsDisabled, UnknownJob
from service.jobs.events import EVENT_ID
from service.jobs.jobs import Jobs
from service.jobs.queries import Viewer
from service.jobs.submissions import Request as JobRequest
from service.state import AppState
from service.telemetry.spans import current_traceparent

router = APIRouter(prefix="/jobs", tags=["jobs"])

_JobId = Annotated[str, Path(max_length=64, description="The job's `id`.")]
_IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x20-\x7e]{1,128}$",
        description="Asked twice with the same key, video and query, there is one job.",
    ),
]
_LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", pattern=f"^{EVENT_ID}$", description="The `id` of the last event that was seen."),
]
_LOCATION = {"Location": {"description": "Where the job is.", "schema": {"type": "string"}}}
_SUBMITTED: dict[int | str, dict[str, Any]] = {
    202: {"model": Job, "description": "The job, safe on disk", "headers": _LOCATION},
    200: {"model": Job, "description": "The job that the same `Idempotency-Key` has made before", "headers": _LOCATION},
}
_ENDED: dict[int | str, dict[str, Any]] = {
    200: {"model": Job, "description": "The job, cancelled: nothing works on it any more"},
    204: {"description": "The job had ended; it is removed, with its result"},
}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events named `queued`, `running` and `progress`, whose data are a `JobEvent`, and as the last "
        "one `done`, `failed` or `cancelled`, whose data are the `Job`",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "The last event was seen"},
}


def _jobs(request: Request) -> Jobs:
    state = AppState.of(request)
    if state.jobs is None:
        raise JobsDisabled("This service takes no jobs: it has no directory to keep them in.")
    state.lifecycle.require_ready()
    return state.jobs


def _viewer(request: Request) -> Viewer:
    key = request.state.key
    return Viewer(owner="", sees_all=True) if key is None else Viewer(key.id, sees_all="admin" in key.scopes)


_Jobs = Annotated[Jobs, Depends(_jobs)]
_Viewer = Annotated[Viewer, Depends(_viewer)]


async def _news(jobs: _Jobs, job_id: _JobId) -> AsyncIterator[asyncio.Event]:
    """Set whenever there may be news of the job; the listener's place is free again when the response has ended."""
    with jobs.listen(job_id) as news:
        yield news


@router.post("", status_code=202, openapi_extra=FORM, responses=_SUBMITTED, summary="Have a video classified later")
async def submit(
    request: Request,
    jobs: _Jobs,
    viewer: _Viewer,
    query: Annotated[JobQuery, Query()],
    idempotency_key: _IdempotencyKey = None,
) -> Response:
    """Take a video as `/predict` does, and answer at once; the job survives the end of the service."""
    asked = JobRequest(viewer.owner, idempotency_key, query, request.state.request_id, current_traceparent())
    submitted = await answer_upload(request, lambda upload: jobs.submit(upload, asked))
    note(request, job_id=submitted.job_id)
    return Response(
        submitted.json,
        status_code=202 if submitted.is_new else 200,
        media_type="application/json",
        headers={"Location": f"/jobs/{submitted.job_id}"},
    )


@router.get("", summary="The jobs, latest first")
async def list_jobs(jobs: _Jobs, viewer: _Viewer, query: Annotated[JobListQuery, Query()]) -> JobList:
    """The jobs of whoever asks, without their results; everybody's for a key of the scope `admin`."""
    return await jobs.page(query, viewer)


@router.get("/{job_id}", response_model=Job, summary="A job, and its result once there is one")
async def get_job(request: Request, jobs: _Jobs, viewer: _Viewer, job_id: _JobId) -> Response:
    """How far the job is; with `result` when it is done, with `problem` when it has failed."""
    note(request, job_id=job_id)
    return Response(await jobs.get(job_id, viewer), media_type="application/json")


@router.delete("/{job_id}", responses=_ENDED, summary="Cancel a job, or remove one that has ended", response_model=Job)
async def end_job(request: Request, jobs: _Jobs, viewer: _Viewer, job_id: _JobId) -> Response:
    """Cancel at once what is queued or running; remove, with its result, what has ended."""
    note(request, job_id=job_id)
    cancelled = await jobs.end(job_id, viewer)
    return Response(status_code=204) if cancelled is None else Response(cancelled, media_type="application/json")


@router.get("/{job_id}/events", responses=_EVENTS, summary="A job's events as they happen", response_class=Response)
async def events(
    request: Request,
    jobs: _Jobs,
    viewer: _Viewer,
    job_id: _JobId,
    news: Annotated[asyncio.Event, Depends(_news)],
    *,
    last_event_id: _LastEventId = None,
) -> Response:
    """Server-sent events of the latest attempt; after `Last-Event-ID`, those that were missed."""
    note(request, job_id=job_id)
    missed, has_ended = await jobs.missed(job_id, viewer, last_event_id)
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
    """The events after `last_seen` until the last one; cut short where the client had better ask again."""
    while True:
        news.clear()
        try:
            missed, has_ended = await jobs.missed(job_id, viewer, last_seen)
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
