"""Expected times of model calls by batch size."""

_LONGEST_CALL = 1.5
"""A batch may take this many times as long as a single clip, even if that is more than the longest time."""

_FADING = 0.99
"""With each call, the expected times shrink by this factor, so that a size that was slow once is tried again."""


class CallTimes:
    """Decides which batch sizes keep calls short. Nothing interrupts a call, so other callers wait for its end."""

    def __init__(self, max_call_seconds: float) -> None:
        self._max_call_seconds = max_call_seconds
        self._seconds: dict[int, float] = {}

    def record(self, batch_size: int, call_seconds: float) -> None:
        """Take the seconds of a call into account."""
        for size, seconds in self._seconds.items():
            self._seconds[size] = seconds * _FADING
        self._seconds[batch_size] = max(call_seconds, self._seconds.get(batch_size, 0.0))

    def is_short_enough(self, batch_size: int) -> bool:
        """Whether calls of this size are expected to be short; an unknown size is."""
        longest = max(self._max_call_seconds, _LONGEST_CALL * self._seconds.get(1, 0.0))
        return batch_size == 1 or self._seconds.get(batch_size, 0.0) <= longest
