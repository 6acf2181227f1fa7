"""The problems that a route may respond with, as OpenAPI documents them. Each route names its own set."""

from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError

from service import lifecycle
from service.api.problem_table import TABLE, ProblemKind
from service.connections import errors as connection_errors
from service.egress import errors as egress_errors
from service.inference import errors as model_errors
from service.jobs import errors as job_errors
from service.keys import errors as key_errors
from service.open_inference import errors as inference_errors
from service.prediction import errors as prediction_errors
from service.uploads import errors as upload_errors
from service.video import errors as video_errors

Errors = frozenset[type[Exception]]
Responses = dict[int | str, dict[str, Any]]

ANY: Errors = frozenset({Exception})
ACCEPTED: Errors = ANY | {connection_errors.Overloaded}
AUTHORIZED: Errors = ACCEPTED | {
    key_errors.Unauthorized,
    key_errors.Forbidden,
    key_errors.RateExceeded,
    RequestValidationError,
}
OF_MODELS: Errors = AUTHORIZED | {model_errors.UnknownModel}
ADMITTED: Errors = OF_MODELS | {
    lifecycle.NotReady,
    prediction_errors.Draining,
    prediction_errors.Busy,
    upload_errors.UnsupportedEncoding,
    upload_errors.UploadTooLarge,
    upload_errors.UploadTooSlow,
}
RECEIVED: Errors = ADMITTED | {
    upload_errors.MalformedRequest,
    upload_errors.UnknownField,
    upload_errors.StorageFull,
    upload_errors.StorageUnavailable,
    egress_errors.UrlNotAllowed,
    upload_errors.UrlUnreachable,
    upload_errors.UrlTooSlow,
}
DECODED: Errors = RECEIVED | {
    video_errors.UnsupportedVideo,
    video_errors.UnreadableVideo,
    video_errors.VideoUnavailable,
    video_errors.VideoTooLarge,
    video_errors.DecodeDeadlineExceeded,
    prediction_errors.DeadlineExceeded,
    video_errors.DecoderFailed,
    ChildProcessError,
}
CLASSIFIED: Errors = frozenset({model_errors.QueueFull, model_errors.BatcherClosed, model_errors.ModelFailed})
INFERRED: Errors = ADMITTED | CLASSIFIED | {inference_errors.MalformedInference, prediction_errors.DeadlineExceeded}
OF_JOBS: Errors = AUTHORIZED | {job_errors.JobsDisabled, lifecycle.NotReady, job_errors.DatabaseUnavailable}

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PROTOCOL_ERROR = {
    "application/json": {
        "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    }
}


def problems_of(errors: Errors) -> Responses:
    """Return the OpenAPI responses of `errors`, by status."""
    return _responses(errors, _PROBLEM)


def protocol_errors_of(errors: Errors) -> Responses:
    """Return the OpenAPI responses of `errors` in the form of the Open Inference Protocol, by status."""
    return _responses(errors, _PROTOCOL_ERROR)


def _responses(errors: Errors, content: dict[str, Any]) -> Responses:
    kinds = [kind for error, kind in TABLE.items() if error in errors]
    statuses = sorted({kind.status for kind in kinds})
    return {status: _response([kind for kind in kinds if kind.status == status], content) for status in statuses}


def _response(kinds: list[ProblemKind], content: dict[str, Any]) -> dict[str, Any]:
    meanings = dict.fromkeys(f"`{kind.code}`: {kind.meaning}" for kind in kinds)
    response: dict[str, Any] = {"description": " ".join(meanings), "content": content}
    if kinds[0].status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        response["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return response
