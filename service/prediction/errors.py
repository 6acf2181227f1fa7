"""Errors of a prediction that the video does not cause."""


class DeadlineExceeded(Exception):
    """The prediction took longer than its deadline."""


class Busy(Exception):
    """All slots are taken; one is likely to be free after `retry_after_seconds`."""

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__(f"{detail}; try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds


class Draining(Exception):
    """The service is shutting down and accepts no new work."""
