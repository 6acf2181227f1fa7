"""What passes between the service and its decode child: JSON lines, and raw pixels after a clip's line.

No pickle: what the child sends is read as data of known shape, because a hostile video may have
taken the child over.
"""

import json
from dataclasses import asdict
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from framewise.schemas.isolation import Isolation
from service.video.clip import ClipSpec, ClipTimes, DecodeLimits, DecodeReport, VideoFacts
from service.video.errors import DecodeDeadlineExceeded, UnreadableVideo, UnsupportedVideo, VideoError, VideoTooLarge
from service.video.quality import Appearance

MAX_LINE_BYTES = 1 << 20

OUT_OF_MEMORY_EXIT_STATUS = 77
"""With this status a worker exits that has no memory left even to send an error."""

_ERRORS: dict[str, type[VideoError]] = {
    kind.__name__: kind for kind in (UnsupportedVideo, UnreadableVideo, VideoTooLarge, DecodeDeadlineExceeded)
}


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChildLimits(_Message):
    """What a decode child may use; set once, when it starts."""

    max_memory_bytes: int
    max_cpu_seconds: float


class Job(_Message):
    """One video to decode."""

    path: str
    spec: ClipSpec
    limits: DecodeLimits
    num_threads: int
    cpu_factor: float = 1
    """How many times the usual processor time it may take."""


class ReadyMessage(_Message):
    """What a child says before its first job."""

    kind: Literal["ready"] = "ready"
    isolation: Isolation


class FactsMessage(_Message):
    """The first answer to a job."""

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
        """What its pictures look like."""
        return Appearance(self.luminance, self.sharpness)

    def times(self, spec: ClipSpec) -> ClipTimes:
        """The clip's moments; raises ValueError where they do not fit `spec`."""
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
    """The last answer to a job that went well."""

    kind: Literal["report"] = "report"
    report: DecodeReport


class ErrorMessage(_Message):
    """The last answer to a job that did not."""

    kind: Literal["error"] = "error"
    error: str
    message: str

    def to_error(self) -> VideoError:
        """The error as it was raised in the child; raises KeyError for one that is not known."""
        return _ERRORS[self.error](self.message)


Answer = ReadyMessage | FactsMessage | ClipMessage | ReportMessage | ErrorMessage
ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="kind")])


def _line(kind: str, **content: object) -> bytes:
    return json.dumps({"kind": kind, **content}).encode() + b"\n"


def encode_ready(isolation: Isolation) -> bytes:
    """The line of a `ReadyMessage`."""
    return _line("ready", isolation=asdict(isolation))


def encode_facts(facts: VideoFacts, num_clips: int) -> bytes:
    """The line of a `FactsMessage`."""
    return _line("facts", facts=asdict(facts), num_clips=num_clips)


def encode_clip(times: ClipTimes, appearance: Appearance) -> bytes:
    """The line of a `ClipMessage`."""
    return _line(
        "clip",
        frame_indices=times.frame_indices.tolist(),
        times_seconds=times.times_seconds.tolist(),
        start_seconds=times.start_seconds,
        end_seconds=times.end_seconds,
        **asdict(appearance),
    )


def encode_report(report: DecodeReport) -> bytes:
    """The line of a `ReportMessage`."""
    return _line("report", report=asdict(report))


def encode_error(error: VideoError) -> bytes:
    """The line of an `ErrorMessage`."""
    return _line("error", error=type(error).__name__, message=str(error))
