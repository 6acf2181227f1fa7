"""Errors of a prediction that are not the fault of the video."""


class DeadlineExceeded(Exception):
    """The answer was not there in time."""


class Busy(Exception):
    """There is no place; `retry_after_seconds` says when one is likely to be free."""

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__(f"{detail}; try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds


class Draining(Exception):
    """The service is shutting down and takes no new work."""
