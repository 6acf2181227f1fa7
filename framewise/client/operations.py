"""What may be asked of a service, and how its answers are read: the half of the client that opens no connection.

Options are told once, as `ValidateOptions`, `PredictOptions` and `JobOptions`, for both clients and for every
question that takes them. One that is left out, or None, is the service's own choice.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from framewise.client.multipart import OnProgress, VideoForm
from framewise.schemas.jobs import Job, JobList, JobState
from framewise.schemas.models import Health, ModelList
from framewise.schemas.prediction import Prediction, Validation
from framewise.schemas.problem import Problem

_Answer = TypeVar("_Answer")
_Model = TypeVar("_Model", bound=BaseModel)
_NO_CONTENT = 204


class ValidateOptions(TypedDict, total=False):
    """What may be asked of a validation."""

    model: str | None
    version: str | None
    deadline_seconds: float | None


class PredictOptions(ValidateOptions, total=False):
    """What may be asked of a prediction."""

    top_k: int | None
    threshold: float | None
    frames: Literal["all", "top", "none"] | None


class JobOptions(PredictOptions, total=False):
    """What may be asked of a job."""

    callback_url: str | None


class ProblemError(Exception):
    """The service said no: `status`, stable `code`, `detail` for people, `request_id` for its operator."""

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{problem.detail} ({problem.status} {problem.code})")
        self.status = problem.status
        self.code = problem.code
        self.detail = problem.detail
        self.request_id = problem.request_id
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class Question(Generic[_Answer]):
    """One request, and how to read what comes back."""

    method: str
    path: str
    read: Callable[[httpx.Response], _Answer]
    params: Mapping[str, str | float] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: VideoForm | None = None
    is_repeatable: bool = False
    """Whether being heard twice does no harm."""

    def may_be_repeated_after(self, error: Exception) -> bool:
        """Whether to ask again after `error`; where nobody listens, that would be in vain."""
        return self.is_repeatable and not isinstance(error, httpx.ConnectError)


def predict(path: Path, on_progress: OnProgress, options: PredictOptions) -> Question[Prediction]:
    """Ask what the video shows; raises OSError where there is none."""
    return _about_video("/predict", Prediction, VideoForm(path, on_progress), options)


def validate(path: Path, on_progress: OnProgress, options: ValidateOptions) -> Question[Validation]:
    """Ask what would be looked at, and what that would cost."""
    return _about_video("/validate", Validation, VideoForm(path, on_progress), options)


def submit_job(path: Path, idempotency_key: str | None, on_progress: OnProgress, options: JobOptions) -> Question[Job]:
    """Ask for an answer later; by its key it is one job, however often it is sent."""
    form = VideoForm(path, on_progress)
    headers = {**form.headers, "Idempotency-Key": idempotency_key or secrets.token_hex(16)}
    read = partial(read_answer, schema=Job)
    return Question("POST", "/jobs", read, _params(options), headers, form, is_repeatable=True)


def job(job_id: str) -> Question[Job]:
    """Ask how far the job is."""
    return Question("GET", job_path(job_id), partial(read_answer, schema=Job))


def jobs(state: JobState | None, limit: int | None, after: str | None) -> Question[JobList]:
    """Ask which jobs there are."""
    params = _params({"state": state, "limit": limit, "after": after})
    return Question("GET", "/jobs", partial(read_answer, schema=JobList), params)


def cancel_job(job_id: str) -> Question[Job | None]:
    """Ask to cancel the job; the answer is None for one that had ended, and is removed."""
    return Question("DELETE", job_path(job_id), _read_cancelled)


def models() -> Question[ModelList]:
    """Ask which models there are."""
    return Question("GET", "/models", partial(read_answer, schema=ModelList))


def health() -> Question[Health]:
    """Ask whether the service is ready."""
    return Question("GET", "/health", _read_health)


def job_path(job_id: str) -> str:
    """Where a job is; whatever its id holds, it is one segment of the path."""
    return f"/jobs/{quote(job_id, safe='')}"


def _about_video(path: str, schema: type[_Model], form: VideoForm, options: Mapping[str, Any]) -> Question[_Model]:
    return Question("POST", path, partial(read_answer, schema=schema), _params(options), form.headers, form)


def _params(options: Mapping[str, Any]) -> dict[str, str | float]:
    return {name: value for name, value in options.items() if value is not None}


def read_answer(response: httpx.Response, schema: type[_Model]) -> _Model:
    """The typed answer, its fields of later versions left out.

    Raises:
        ProblemError: it is not an answer but a refusal, or not one of this service.
    """
    if not response.is_success:
        raise refusal(response)
    try:
        return schema.model_validate_json(response.content, extra="ignore")
    except ValidationError as error:
        raise _not_this_service(response) from error


def refusal(response: httpx.Response) -> ProblemError:
    """What a response that is no answer says."""
    try:
        problem = Problem.model_validate_json(response.content, extra="ignore")
    except ValidationError:
        return _not_this_service(response)
    retry_after = response.headers.get("retry-after", "")
    return ProblemError(problem, float(retry_after) if retry_after.isdecimal() else None)


def _read_cancelled(response: httpx.Response) -> Job | None:
    return None if response.status_code == _NO_CONTENT else read_answer(response, Job)


def _read_health(response: httpx.Response) -> Health:
    # A service that is not ready says so with a 503, which is an answer all the same.
    try:
        return Health.model_validate_json(response.content, extra="ignore")
    except ValidationError:
        return read_answer(response, Health)


def _not_this_service(response: httpx.Response) -> ProblemError:
    """What a proxy or some other server answered, in the words of a problem."""
    return ProblemError(
        Problem(
            title="Unexpected answer",
            status=response.status_code,
            detail=f"{response.url.host} answered {response.status_code} {response.reason_phrase} in no known form",
            code=f"http_{response.status_code}",
            request_id=response.headers.get("x-request-id", ""),
        )
    )
