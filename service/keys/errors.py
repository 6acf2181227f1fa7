"""Errors of authentication and of rate limits."""


class Unauthorized(Exception):
    """Keys are configured, and the request brings none of them."""


class Forbidden(Exception):
    """The request's key is good, but not for this."""


class RateExceeded(Exception):
    """The request's key has asked more often than it may; `retry_after_seconds` says when it may again."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"This key asks too often; try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds
