"""Which failed requests of the client are retried, and after how long."""

from framewise.client.operations import ProblemError

_PASSING = (429, 503)


_DEFAULT_RETRY_SECONDS = 1.0


class ServiceUnreachable(Exception):
    """Nobody answered, or the connection broke before the answer was whole."""


class Retries:
    """How often one question has been asked, and whether it may be asked again."""

    def __init__(self, url: str, max_attempts: int, max_wait_seconds: float) -> None:
        self._url = url
        self._max_attempts = max_attempts
        self._max_wait_seconds = max_wait_seconds
        self._num_failed = 0

    def heard(self) -> None:
        """Something new was heard: whatever failed before is made good."""
        self._num_failed = 0

    def wait_seconds(self, error: Exception, *, is_repeatable: bool) -> float:
        """How long to wait before asking again: as long as the service said, twice as long with each break.

        Raises:
            ProblemError, ServiceUnreachable: what `error` is to the caller, where asking again is not for us.
        """
        self._num_failed += 1
        if isinstance(error, ProblemError):
            told = error.retry_after_seconds
            seconds = _DEFAULT_RETRY_SECONDS if told is None else told
            may_pass = error.status in _PASSING and seconds <= self._max_wait_seconds
        else:
            seconds = min(_DEFAULT_RETRY_SECONDS * 2 ** (self._num_failed - 1), self._max_wait_seconds)
            may_pass = is_repeatable
        if may_pass and self._num_failed < self._max_attempts:
            return seconds
        if isinstance(error, ProblemError):
            raise error
        raise ServiceUnreachable(f"No answer from {self._url}: {error or type(error).__name__}") from error
