"""Messages between the service and a decode worker: JSON lines, and raw pixels after the line of a clip.

The service validates every message against a schema and never unpickles, because a malicious video may control the
worker.
"""

import json
from dataclasses import asdict
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from framewise.schemas.isolation import Isolation
from service.video.clip import ClipSpec, ClipTimes, DecodeLimits, DecodeReport, VideoFacts
from service.video.errors import (
    DecodeDeadlineExceeded,
    UnreadableVideo,
    UnsupportedVideo,
    VideoError,
    VideoTooLarge,
    VideoUnavailable,
)
from service.video.quality import Appearance

MAX_LINE_BYTES = 1 << 20

OUT_OF_MEMORY_EXIT_STATUS = 77
"""Exit status of a worker that has too little memory left to send an error."""

_ERRORS: dict[str, type[VideoError]] = {
    kind.__name__: kind
    for kind in (UnsupportedVideo, UnreadableVideo, VideoUnavailable, VideoTooLarge, DecodeDeadlineExceeded)
}


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkerLimits(_Message):
    """Resource limits of a decode worker, set once at its start."""

    max_memory_bytes: int
    max_cpu_seconds: float


class DecodeRequest(_Message):
    """Request to decode one video."""

    path: str
    spec: ClipSpec
    limits: DecodeLimits
    num_threads: int
    cpu_factor: float = 1
    """Multiplies `WorkerLimits.max_cpu_seconds` for this video."""


class ReadyMessage(_Message):
    """First message of a worker: it accepts requests."""

    kind: Literal["ready"] = "ready"
    isolation: Isolation


class FactsMessage(_Message):
    """First response to a request."""

    kind: Literal["facts"] = "facts"
    facts: VideoFacts
    num_clips: int = Field(ge=1)


class ClipMessage(_Message):
    """One clip; its pixels follow the line."""

    kind: Literal["clip"] = "clip"
    frame_indices: list[int]
    times_seconds: list[float]
    start_seconds: float
    end_seconds: float
    luminance: float = Field(allow_inf_nan=False)
    sharpness: float = Field(allow_inf_nan=False)

    @property
    def appearance(self) -> Appearance:
        """Luminance and sharpness of the clip."""
        return Appearance(self.luminance, self.sharpness)

    def times(self, spec: ClipSpec) -> ClipTimes:
        """The frame times of the clip; raises ValueError if their number does not match `spec`."""
        if not len(self.frame_indices) == len(self.times_seconds) == spec.num_frames:
            raise ValueError("a clip of the wrong length")
        indices = np.array(self.frame_indices, dtype=np.int64)
        return ClipTimes(
            frame_indices=indices,
            times_seconds=np.array(self.times_seconds, dtype=np.float64),
            valid=indices >= 0,
            start_seconds=self.start_seconds,
            end_seconds=self.end_seconds,
        )


class ReportMessage(_Message):
    """Last response to a request that succeeded."""

    kind: Literal["report"] = "report"
    report: DecodeReport


class ErrorMessage(_Message):
    """Last response to a request that failed."""

    kind: Literal["error"] = "error"
    error: str
    message: str

    def to_error(self) -> VideoError:
        """The error that the worker raised; raises KeyError for an unknown error name."""
        return _ERRORS[self.error](self.message)


WorkerMessage = ReadyMessage | FactsMessage | ClipMessage | ReportMessage | ErrorMessage
WORKER_MESSAGE: TypeAdapter[WorkerMessage] = TypeAdapter(Annotated[WorkerMessage, Field(discriminator="kind")])


def _line(kind: str, **content: object) -> bytes:
    return json.dumps({"kind": kind, **content}).encode() + b"\n"


def encode_ready(isolation: Isolation) -> bytes:
    """Encode the line of a `ReadyMessage`."""
    return _line("ready", isolation=asdict(isolation))


def encode_facts(facts: VideoFacts, num_clips: int) -> bytes:
    """Encode the line of a `FactsMessage`."""
    return _line("facts", facts=asdict(facts), num_clips=num_clips)


def encode_clip(times: ClipTimes, appearance: Appearance) -> bytes:
    """Encode the line of a `ClipMessage`."""
    return _line(
        "clip",
        frame_indices=times.frame_indices.tolist(),
        times_seconds=times.times_seconds.tolist(),
        start_seconds=times.start_seconds,
        end_seconds=times.end_seconds,
        **asdict(appearance),
    )


def encode_report(report: DecodeReport) -> bytes:
    """Encode the line of a `ReportMessage`."""
    return _line("report", report=asdict(report))


def encode_error(error: VideoError) -> bytes:
    """The line of an `ErrorMessage`."""
    return _line("error", error=type(error).__name__, message=str(error))
