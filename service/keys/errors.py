"""Errors of authentication and of rate limits."""


class Unauthorized(Exception):
    """The service requires an API key, and the request has no valid one."""


class Forbidden(Exception):
    """The request's key is valid but lacks the required scope."""


class RateExceeded(Exception):
    """The request's key exceeds its rate limit; it may send the next request after `retry_after_seconds`."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"This key exceeds its rate limit; retry after {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds
