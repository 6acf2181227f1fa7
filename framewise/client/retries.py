"""Retry policy of the client: which failed requests are sent again, and after how long."""

import httpx

from framewise.client.connection import Address
from framewise.client.errors import ProblemError, ServiceUnreachable

_RETRYABLE_STATUSES = (429, 503)
_DEFAULT_RETRY_SECONDS = 1.0


class Retries:
    """Counts the failures of one request and decides on the next attempt."""

    def __init__(self, address: Address, max_attempts: int, max_wait_seconds: float) -> None:
        self._address = address
        self._max_attempts = max_attempts
        self._max_wait_seconds = max_wait_seconds
        self._num_failed = 0

    def reset(self) -> None:
        """Start counting failures from zero, after new data arrived."""
        self._num_failed = 0

    def delay_seconds(self, error: Exception, *, is_retryable: bool) -> float:
        """Seconds to wait before the next attempt.

        After a response 429 or 503 the delay is its `Retry-After`, by default 1 s. After a dropped connection, which
        is retried only if `is_retryable`, the delay starts at 1 s and doubles with each failure.

        Raises:
            ProblemError: the service refused the request and no retry is allowed.
            ServiceUnreachable: the connection failed and no retry is allowed.
        """
        self._num_failed += 1
        if isinstance(error, ProblemError):
            retry_after = error.retry_after_seconds
            seconds = _DEFAULT_RETRY_SECONDS if retry_after is None else retry_after
            is_retryable = error.status in _RETRYABLE_STATUSES and seconds <= self._max_wait_seconds
        else:
            seconds = min(_DEFAULT_RETRY_SECONDS * 2 ** (self._num_failed - 1), self._max_wait_seconds)
        if is_retryable and self._num_failed < self._max_attempts:
            return seconds
        if isinstance(error, ProblemError):
            raise error
        raise ServiceUnreachable(self._fact(error)) from error

    def _fact(self, error: Exception) -> str:
        if isinstance(error, httpx.LocalProtocolError):
            # Its message may quote a header, and so the key.
            reason = "the request cannot be sent"
        elif isinstance(error, httpx.ConnectTimeout):
            reason = "it accepts no connection in time"
        elif isinstance(error, httpx.TimeoutException):
            reason = "the time limit of the client is over; `timeout` or --timeout sets a longer one"
        else:
            reason = str(error) or type(error).__name__
        proxy = self._address.proxy_variable
        via = "" if proxy is None else f" through the proxy that {proxy} names"
        return f"No response from {self._address.shown}{via}: {reason}"
