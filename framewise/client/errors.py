"""Exceptions raised by the client."""

from framewise.schemas.problem import Problem


class ProblemError(Exception):
    """The service refused a request (RFC 9457 problem).

    Attributes:
        status: HTTP status.
        code: Stable identifier of the error, such as `unsupported_media`.
        detail: Explanation for people.
        request_id: Id under which the service logged the request; empty if the response has none.
        retry_after_seconds: Value of the `Retry-After` header; None if the response has none.
    """

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{problem.detail} ({problem.status} {problem.code})")
        self.status = problem.status
        self.code = problem.code
        self.detail = problem.detail
        self.request_id = problem.request_id
        self.retry_after_seconds = retry_after_seconds


class ServiceUnreachable(Exception):
    """The service did not respond, or the connection broke before the response was complete."""


class InvalidArgument(ValueError):
    """The client cannot use an address, a key, a time limit or a proxy. The message shows no secret."""
