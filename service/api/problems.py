"""The one table from errors to HTTP: error type -> status, code, title. RFC 9457 on the wire.

raised below the routes ──> TABLE ──> application/problem+json (code, public message)
                               └────> log (everything else)
"""

import logging
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from framewise.schemas.problem import Problem
from service.api.access_log import note
from service.api.upload_body import ClientDisconnected
from service.egress import UrlNotAllowed
from service.inference.errors import (
    BatcherClosed,
    InvalidModel,
    LastVersion,
    ModelFailed,
    QueueFull,
    TooManyModels,
    UnknownModel,
)
from service.jobs.errors import (
    CallbackNotAllowed,
    DatabaseUnavailable,
    IdempotencyConflict,
    JobAbandoned,
    JobsDisabled,
    JobStorageFull,
    TooManyJobs,
    TooManyListeners,
    UnknownJob,
)
from service.keys.errors import Forbidden, RateExceeded, Unauthorized
from service.lifecycle import NotReady
from service.open_inference.errors import MalformedInference
from service.prediction.errors import Busy, DeadlineExceeded, Draining
from service.uploads.errors import (
    MalformedRequest,
    StorageFull,
    UnknownField,
    UploadTooLarge,
    UploadTooSlow,
    UrlTooSlow,
    UrlUnreachable,
)
from service.video.errors import DecodeDeadlineExceeded, DecoderFailed, UnreadableVideo, UnsupportedVideo, VideoTooLarge

_log = logging.getLogger(__name__)


_MAX_FAULTS = 8


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One row of the error table; `meaning` is what the documentation says of it."""

    status: int
    code: str
    title: str
    meaning: str
    is_detail_public: bool = True
    retry_after_seconds: int | None = None


TABLE: dict[type[Exception], ProblemKind] = {
    MalformedRequest: ProblemKind(
        400,
        "malformed_request",
        "Malformed request",
        "The body is not the multipart or JSON it claims to be, or not one `video`.",
    ),
    MalformedInference: ProblemKind(
        400, "malformed_request", "Malformed request", "The body is no inference request that this model can be asked."
    ),
    Unauthorized: ProblemKind(401, "unauthorized", "Unauthorized", "Keys are configured, and the request brings none."),
    Forbidden: ProblemKind(403, "forbidden", "Forbidden", "The request's key is not good for this."),
    UrlNotAllowed: ProblemKind(
        403, "url_not_allowed", "URL not allowed", "The URL, or one that it redirects to, is not one that may be asked."
    ),
    UnknownModel: ProblemKind(404, "unknown_model", "Unknown model", "No such model or version."),
    CallbackNotAllowed: ProblemKind(
        403, "callback_not_allowed", "Callback not allowed", "The job's callback is not one that may be called."
    ),
    UnknownJob: ProblemKind(404, "unknown_job", "Unknown job", "No such job, or another key's."),
    JobsDisabled: ProblemKind(404, "jobs_disabled", "Jobs disabled", "The service has no directory for jobs."),
    IdempotencyConflict: ProblemKind(
        409, "idempotency_conflict", "Idempotency conflict", "The idempotency key was used for another video or query."
    ),
    LastVersion: ProblemKind(409, "last_version", "Last version", "The default model would be left without a version."),
    TooManyModels: ProblemKind(409, "too_many_models", "Too many models", "As many models are loaded as may be."),
    UploadTooSlow: ProblemKind(408, "upload_too_slow", "Upload too slow", "The upload paused or lasted too long."),
    UploadTooLarge: ProblemKind(413, "upload_too_large", "Upload too large", "More bytes than allowed."),
    VideoTooLarge: ProblemKind(
        413, "video_too_large", "Video too large", "More pixels, seconds or packets than allowed."
    ),
    UnsupportedVideo: ProblemKind(
        415, "unsupported_media", "Unsupported media", "Not a video, or a container or codec that is not allowed."
    ),
    UnreadableVideo: ProblemKind(422, "unreadable_video", "Unreadable video", "Nothing in the video can be decoded."),
    InvalidModel: ProblemKind(
        422,
        "invalid_model",
        "Invalid model",
        "The model on disk is not what its manifest says, or answers otherwise than at its export.",
    ),
    UnknownField: ProblemKind(422, "invalid_parameter", "Invalid parameter", "An unknown field of the body."),
    RequestValidationError: ProblemKind(
        422, "invalid_parameter", "Invalid parameter", "An unknown or invalid query parameter."
    ),
    Busy: ProblemKind(429, "busy", "Busy", "No place is free; `Retry-After` says when to come back."),
    RateExceeded: ProblemKind(429, "busy", "Busy", "The request's key asks too often; `Retry-After` says until when."),
    QueueFull: ProblemKind(
        429, "busy", "Busy", "The model's queue is full.", is_detail_public=False, retry_after_seconds=1
    ),
    StorageFull: ProblemKind(
        503, "storage_full", "Storage full", "There is no room for the upload at the moment.", retry_after_seconds=5
    ),
    TooManyJobs: ProblemKind(
        429, "busy", "Busy", "As many jobs wait as may, or as one key's may.", retry_after_seconds=30
    ),
    TooManyListeners: ProblemKind(
        429, "busy", "Busy", "As many clients listen to events of jobs as may.", retry_after_seconds=5
    ),
    DatabaseUnavailable: ProblemKind(
        503,
        "database_unavailable",
        "Database unavailable",
        "The jobs' database cannot be reached.",
        retry_after_seconds=5,
    ),
    ChildProcessError: ProblemKind(
        503,
        "not_ready",
        "Not ready",
        "No decode process can be started.",
        is_detail_public=False,
        retry_after_seconds=5,
    ),
    NotReady: ProblemKind(
        503, "not_ready", "Not ready", "Models are still loading, or failed to.", retry_after_seconds=5
    ),
    Draining: ProblemKind(503, "draining", "Draining", "The service is shutting down.", retry_after_seconds=5),
    BatcherClosed: ProblemKind(
        503, "draining", "Draining", "The service is shutting down.", is_detail_public=False, retry_after_seconds=5
    ),
    UrlUnreachable: ProblemKind(
        502,
        "url_unreachable",
        "URL unreachable",
        "The URL's server was not reached, or did not answer with a whole file.",
    ),
    DeadlineExceeded: ProblemKind(504, "deadline_exceeded", "Deadline exceeded", "No answer within the deadline."),
    DecodeDeadlineExceeded: ProblemKind(
        504, "deadline_exceeded", "Deadline exceeded", "Decoding takes more processor time than allowed."
    ),
    UrlTooSlow: ProblemKind(
        504, "url_too_slow", "URL too slow", "The URL's server paused or lasted longer than an upload may."
    ),
    JobStorageFull: ProblemKind(
        507, "insufficient_storage", "Insufficient storage", "Jobs, or those of one key, take as much as they may."
    ),
    JobAbandoned: ProblemKind(
        500, "job_abandoned", "Job abandoned", "Each process that ran the job ended before the job did."
    ),
    DecoderFailed: ProblemKind(
        500,
        "decoder_failed",
        "Decoder failed",
        "The decode worker failed through a fault of the service. The video may be fine.",
    ),
    ModelFailed: ProblemKind(500, "internal", "Internal error", "Our fault.", is_detail_public=False),
    Exception: ProblemKind(500, "internal", "Internal error", "Our fault.", is_detail_public=False),
}
"""Every error a caller may meet. A type that is not listed is `internal`."""

# There an error is what that protocol says it is.
OPEN_INFERENCE = "/v2/"
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem from the table."""
    for kind in TABLE:
        app.add_exception_handler(kind, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(ClientDisconnected, _answer_nobody)


def problem_response(request: Request, kind: ProblemKind, detail: str, headers: dict[str, str]) -> JSONResponse:
    """The problem as a response."""
    note(request, code=kind.code)
    if f"{request.url.path}/".startswith(OPEN_INFERENCE):
        return JSONResponse({"error": detail}, status_code=kind.status, headers=headers)
    problem = _problem(kind, detail, request.state.request_id)
    return JSONResponse(
        problem.model_dump(), status_code=kind.status, headers=headers, media_type="application/problem+json"
    )


def explain(error: Exception, request_id: str) -> Problem:
    """The problem that a request of that id would be answered, had it met `error`."""
    kind = _kind(error)
    return _problem(kind, str(error) if kind.is_detail_public else kind.meaning, request_id)


def _kind(error: Exception) -> ProblemKind:
    return next(TABLE[ancestor] for ancestor in type(error).__mro__ if ancestor in TABLE)


def _problem(kind: ProblemKind, detail: str, request_id: str) -> Problem:
    return Problem(title=kind.title, status=kind.status, detail=detail, code=kind.code, request_id=request_id)


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    kind = _kind(error)
    if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # The server logs the traceback of what nobody expected; this line ties it to the request.
        _log.error("internal error", extra={"request_id": request.state.request_id, "error": repr(error)})
    retry_after_seconds = kind.retry_after_seconds
    if isinstance(error, Busy | RateExceeded):
        retry_after_seconds = error.retry_after_seconds
    headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RequestValidationError):
        detail = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'][1:])}: {fault['msg']}"
            for fault in error.errors()[:_MAX_FAULTS]
        )
    else:
        detail = str(error) if kind.is_detail_public else kind.meaning
    return problem_response(request, kind, detail, headers)


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, f"http_{error.status_code}")
    kind = ProblemKind(error.status_code, code, code.replace("_", " ").capitalize(), "")
    return problem_response(request, kind, str(error.detail), dict(error.headers or {}))


async def _answer_nobody(_request: Request, _error: Exception) -> Response:
    # The status that nginx coined for this; only the log sees it.
    return Response(status_code=499)
