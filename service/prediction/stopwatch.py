"""Measures the stages of a request."""

import time

from framewise.schemas.prediction import Timings, ValidationTimings
from service.prediction.pipeline import ClassifiedVideo, DecodedVideo


class Stopwatch:
    """Measures the stages of a request from its start."""

    def __init__(self) -> None:
        self._started_at = time.perf_counter()
        self._received_at = self._started_at

    def mark_received(self) -> None:
        """Record that the body was received."""
        self._received_at = time.perf_counter()

    def timings(self, video: ClassifiedVideo) -> Timings:
        """Return the time of every stage, in milliseconds."""
        return Timings(
            receive=_milliseconds(self._received_at - self._started_at),
            decode=_milliseconds(video.decoded.decode_seconds),
            queue=_milliseconds(max(output.queue_seconds for output in video.outputs)),
            model=_milliseconds(max(output.model_seconds for output in video.outputs)),
            total=_milliseconds(time.perf_counter() - self._started_at),
        )

    def timings_before_model(self, video: DecodedVideo) -> ValidationTimings:
        """Return the times of the stages before the model, in milliseconds."""
        return ValidationTimings(
            receive=_milliseconds(self._received_at - self._started_at),
            decode=_milliseconds(video.decode_seconds),
            total=_milliseconds(time.perf_counter() - self._started_at),
        )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
