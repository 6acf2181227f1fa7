"""What OpenAPI says beyond what FastAPI can know: the problems an operation may meet, and examples.

Every operation lists those of `service.api.problems.TABLE` that it may meet (`MAY_MEET`), and has an example of what is
asked and of what is answered, from `documentation/examples.json`; a test asks a running service just that.
"""

import json
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from framewise.schemas.problem import Problem
from service.api.problems import OPEN_INFERENCE, TABLE, ProblemKind
from service.api.routes.page import DOCUMENTATION_DIR
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
    JobsDisabled,
    JobStorageFull,
    TooManyJobs,
    TooManyListeners,
    UnknownJob,
)
from service.keys.errors import Forbidden, RateExceeded, Unauthorized
from service.lifecycle import NotReady
from service.open_inference.errors import MalformedInference
from service.open_inference.schemas import InferenceRequest
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

_Errors = frozenset[type[Exception]]

_ANY: _Errors = frozenset({Exception})
_ASKED: _Errors = _ANY | {Unauthorized, Forbidden, RateExceeded, RequestValidationError}
_OF_MODELS: _Errors = _ASKED | {UnknownModel}
_ADMITTED: _Errors = _OF_MODELS | {NotReady, Draining, Busy, UploadTooLarge, UploadTooSlow}
_RECEIVED: _Errors = _ADMITTED | {
    MalformedRequest,
    UnknownField,
    StorageFull,
    UrlNotAllowed,
    UrlUnreachable,
    UrlTooSlow,
}
_DECODED: _Errors = _RECEIVED | {
    UnsupportedVideo,
    UnreadableVideo,
    VideoTooLarge,
    DecodeDeadlineExceeded,
    DeadlineExceeded,
    DecoderFailed,
    ChildProcessError,
}
_OF_THE_MODEL: _Errors = frozenset({QueueFull, BatcherClosed, ModelFailed})
_INFERRED: _Errors = _ADMITTED | _OF_THE_MODEL | {MalformedInference, DeadlineExceeded}
_OF_JOBS: _Errors = _ASKED | {JobsDisabled, NotReady, DatabaseUnavailable}
_OF_A_JOB: _Errors = _OF_JOBS | {UnknownJob}

MAY_MEET: dict[str, _Errors] = {
    "POST /predict": _DECODED | _OF_THE_MODEL,
    "POST /validate": _DECODED,
    # What is wrong with the video itself, its job tells.
    "POST /jobs": _RECEIVED | _OF_JOBS | {CallbackNotAllowed, IdempotencyConflict, TooManyJobs, JobStorageFull},
    "GET /jobs": _OF_JOBS,
    "GET /jobs/{job_id}": _OF_A_JOB,
    "DELETE /jobs/{job_id}": _OF_A_JOB,
    "GET /jobs/{job_id}/events": _OF_A_JOB | {TooManyListeners},
    "GET /models": _ASKED,
    "GET /models/{name}": _OF_MODELS,
    "GET /models/{name}/versions/{version}": _OF_MODELS,
    "POST /models/{name}/versions/{version}/load": _OF_MODELS | {NotReady, InvalidModel, TooManyModels, DecoderFailed},
    "POST /models/{name}/versions/{version}/unload": _OF_MODELS | {NotReady, LastVersion},
    "GET /capabilities": _ASKED | {NotReady},
    "GET /metrics": _ASKED,
    "GET /health": _ANY,
    "GET /health/ready": _ANY,
    "GET /health/live": _ANY,
    "GET /v2": _ANY,
    "GET /v2/health/live": _ANY,
    "GET /v2/health/ready": _ANY,
    "GET /v2/models/{name}/ready": _ANY | {UnknownModel},
    "GET /v2/models/{name}/versions/{version}/ready": _ANY | {UnknownModel},
    "GET /v2/models/{name}": _OF_MODELS,
    "GET /v2/models/{name}/versions/{version}": _OF_MODELS,
    "POST /v2/models/{name}/infer": _INFERRED,
    "POST /v2/models/{name}/versions/{version}/infer": _INFERRED,
}
"""The errors that each operation may answer with. A job's own end is no answer: `JobAbandoned` is nowhere here."""

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PROTOCOL_ERROR = {
    "application/json": {
        "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    }
}


def complete_openapi(app: FastAPI) -> None:
    """Have the OpenAPI of `app` tell problems and examples; made once, when it is first asked for."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            _add_schemas(document)
            _add_problems(document)
            _add_examples(document)
        return plain()

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way to change it


def examples() -> dict[str, dict[str, Any]]:
    """By operation, as `POST /predict`: `parameters` to ask with, `status` and `response` that come back."""
    loaded: dict[str, dict[str, Any]] = json.loads((DOCUMENTATION_DIR / "examples.json").read_text(encoding="utf-8"))
    return loaded


def _add_schemas(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (Problem, InferenceRequest):
        schemas.update(_with_parts(model))
    # FastAPI's idea of a 422, which is not ours.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)


def _with_parts(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), model.__name__: schema}


def _add_problems(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        content = _PROTOCOL_ERROR if f"{path}/".startswith(OPEN_INFERENCE) else _PROBLEM
        for method, operation in operations.items():
            responses = operation["responses"]
            responses.pop("422", None)
            kinds = [kind for error, kind in TABLE.items() if error in MAY_MEET[f"{method.upper()} {path}"]]
            for status in sorted({kind.status for kind in kinds}):
                of_status = [kind for kind in kinds if kind.status == status]
                responses.setdefault(str(status), _response(of_status, content))


def _response(kinds: list[ProblemKind], content: dict[str, Any]) -> dict[str, Any]:
    meanings = dict.fromkeys(f"`{kind.code}`: {kind.meaning}" for kind in kinds)
    response: dict[str, Any] = {"description": " ".join(meanings), "content": content}
    if kinds[0].status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        response["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return response


def _add_examples(document: dict[str, Any]) -> None:
    for name, example in examples().items():
        method, path = name.split(" ")
        operation = document["paths"][path][method.lower()]
        for parameter in operation.get("parameters", ()):
            if parameter["name"] in example["parameters"]:
                parameter["example"] = example["parameters"][parameter["name"]]
        if "body" in example:
            operation["requestBody"]["content"]["application/json"]["example"] = example["body"]
        content = operation["responses"][str(example["status"])].get("content", {})
        if "response" in example:
            next(iter(content.values()))["example"] = example["response"]
