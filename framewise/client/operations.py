"""Requests to the service and the parsing of their responses. Opens no connection."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from framewise.client.connection import require_idempotency_key
from framewise.client.multipart import VideoForm
from framewise.client.options import JobOptions, PredictOptions, ValidateOptions
from framewise.client.responses import parse_cancelled_job, parse_health, parse_response
from framewise.schemas.capabilities import Capabilities
from framewise.schemas.jobs import Job, JobList, JobState
from framewise.schemas.models import Health, ModelList
from framewise.schemas.prediction import Prediction, Validation

_Result = TypeVar("_Result")
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Operation(Generic[_Result]):
    """One HTTP request and the parser of its response."""

    method: str
    path: str
    parse: Callable[[httpx.Response], _Result]
    params: Mapping[str, str | float] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: VideoForm | None = None
    is_idempotent: bool = False
    """Whether a second execution has no further effect, so that a dropped connection is retried."""

    def is_retryable_after(self, error: Exception) -> bool:
        """Whether a retry is safe and useful after `error`. A refused connection and a timeout are not retried."""
        return self.is_idempotent and not isinstance(error, httpx.ConnectError | httpx.TimeoutException)


def predict(form: VideoForm, options: PredictOptions) -> Operation[Prediction]:
    """`POST /predict`."""
    return _video_operation("/predict", Prediction, form, options)


def validate(form: VideoForm, options: ValidateOptions) -> Operation[Validation]:
    """`POST /validate`."""
    return _video_operation("/validate", Validation, form, options)


def submit_job(form: VideoForm, idempotency_key: str | None, options: JobOptions) -> Operation[Job]:
    """`POST /jobs`, with a random idempotency key by default."""
    key = secrets.token_hex(16) if idempotency_key is None else require_idempotency_key(idempotency_key)
    headers = {**form.headers, "Idempotency-Key": key}
    parse = partial(parse_response, schema=Job)
    return Operation("POST", "/jobs", parse, _params(options), headers, form, is_idempotent=True)


def job(job_id: str) -> Operation[Job]:
    """`GET /jobs/{job_id}`."""
    return Operation("GET", job_path(job_id), partial(parse_response, schema=Job))


def jobs(state: JobState | None, limit: int | None, after: str | None) -> Operation[JobList]:
    """`GET /jobs`."""
    params = _params({"state": state, "limit": limit, "after": after})
    return Operation("GET", "/jobs", partial(parse_response, schema=JobList), params)


def cancel_job(job_id: str) -> Operation[Job | None]:
    """`DELETE /jobs/{job_id}`."""
    return Operation("DELETE", job_path(job_id), parse_cancelled_job)


def models() -> Operation[ModelList]:
    """`GET /models`."""
    return Operation("GET", "/models", partial(parse_response, schema=ModelList))


def capabilities() -> Operation[Capabilities]:
    """`GET /capabilities`."""
    return Operation("GET", "/capabilities", partial(parse_response, schema=Capabilities))


def health() -> Operation[Health]:
    """`GET /health`."""
    return Operation("GET", "/health", parse_health)


def job_path(job_id: str) -> str:
    """URL path of a job; any character of the id is quoted, so the id stays one path segment."""
    return f"/jobs/{quote(job_id, safe='', errors='replace')}"


def _video_operation(path: str, schema: type[_Model], form: VideoForm, options: Mapping[str, Any]) -> Operation[_Model]:
    return Operation("POST", path, partial(parse_response, schema=schema), _params(options), form.headers, form)


def _params(options: Mapping[str, Any]) -> dict[str, str | float]:
    return {name: _encodable(value) for name, value in options.items() if value is not None}


def _encodable(value: Any) -> Any:
    # An argument of a command line may have bytes that are no UTF-8.
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
