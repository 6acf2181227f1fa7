"""Converts HTTP responses to schemas and errors."""

import time
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from framewise.client.errors import ProblemError
from framewise.schemas.jobs import Job
from framewise.schemas.models import Health
from framewise.schemas.problem import Problem

_Model = TypeVar("_Model", bound=BaseModel)
_NO_CONTENT = 204


class BodyReader:
    """Collects the body of a response for a limited time."""

    def __init__(self, response: httpx.Response, max_seconds: float) -> None:
        self._response = response
        self._ends_at = time.monotonic() + max_seconds
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        """Add bytes of the body, as they were sent; raises httpx.ReadTimeout when the time is over."""
        self._chunks.append(chunk)
        if time.monotonic() > self._ends_at:
            raise httpx.ReadTimeout("the response is not complete in time", request=self._response.request)

    def response(self) -> httpx.Response:
        """The response with its body."""
        return httpx.Response(
            self._response.status_code,
            headers=self._response.headers,
            content=b"".join(self._chunks),
            request=self._response.request,
        )


def parse_response(response: httpx.Response, schema: type[_Model]) -> _Model:
    """The response body as `schema`. Unknown fields, added by later versions of the service, are ignored.

    Raises:
        ProblemError: the response is an error, or its body does not match `schema`.
    """
    if not response.is_success:
        raise problem_error(response)
    try:
        return schema.model_validate_json(response.content, extra="ignore")
    except ValidationError as error:
        raise _unexpected_response(response) from error


def parse_cancelled_job(response: httpx.Response) -> Job | None:
    """The cancelled job; None if the job had already ended and the service removed it."""
    return None if response.status_code == _NO_CONTENT else parse_response(response, Job)


def parse_health(response: httpx.Response) -> Health:
    """The health report. The service sends it with status 503 while it is not ready."""
    try:
        return Health.model_validate_json(response.content, extra="ignore")
    except ValidationError:
        return parse_response(response, Health)


def problem_error(response: httpx.Response) -> ProblemError:
    """The error that an unsuccessful response describes."""
    try:
        problem = Problem.model_validate_json(response.content, extra="ignore")
    except ValidationError:
        return _unexpected_response(response)
    retry_after = response.headers.get("retry-after", "")
    return ProblemError(problem, float(retry_after) if retry_after.isdecimal() else None)


def _unexpected_response(response: httpx.Response) -> ProblemError:
    """The error for a response from a proxy or from a server that is not this service."""
    return ProblemError(
        Problem(
            title="Unexpected response",
            status=response.status_code,
            detail=f"{response.url.host} sent an unexpected response: {response.status_code} {response.reason_phrase}.",
            code=f"http_{response.status_code}",
            request_id=response.headers.get("x-request-id", ""),
        )
    )
