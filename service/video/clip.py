"""The nouns of video: what a model wants to see, and what it is given. Pure data."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Fit = Literal["squash", "crop", "letterbox"]


class ClipSpec(BaseModel):
    """The clips a model looks at: part of its manifest, obeyed alike by training and serving.

    A clip is a window of `num_frames` moments, `1 / frames_per_second` apart. A video no longer
    than one window is one clip, its missing moments marked invalid; a longer one is covered by
    windows whose starts are at most `stride_seconds` apart, the last one ending with the video.

    `fit` brings a picture to `height` x `width`: `squash` scales each axis on its own, `crop`
    keeps the shape and cuts the longer side around the centre, `letterbox` keeps the shape and
    fills the rest with black.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_frames: int = Field(ge=1, le=512)
    height: int = Field(ge=8, le=1024)
    width: int = Field(ge=8, le=1024)
    frames_per_second: float = Field(gt=0, le=240)
    stride_seconds: float = Field(gt=0)
    fit: Fit = "squash"

    @property
    def window_seconds(self) -> float:
        """Length of one clip's window, in seconds."""
        return self.num_frames / self.frames_per_second


class DecodeLimits(BaseModel):
    """How much work one video may cause."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_pixels_per_frame: int = Field(default=3840 * 2160, ge=64)
    max_duration_seconds: float = Field(default=600.0, gt=0)
    max_packets: int = Field(default=200_000, ge=1)

    def times(self, factor: float) -> "DecodeLimits":
        """The limits of a video that may be `factor` times as long."""
        return DecodeLimits(
            max_pixels_per_frame=self.max_pixels_per_frame,
            max_duration_seconds=self.max_duration_seconds * factor,
            max_packets=max(1, int(self.max_packets * factor)),
        )


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What the file turned out to hold; `*_from_header` is a claim, the rest was counted."""

    container: str
    codec: str
    width: int
    height: int
    duration_seconds: float
    frame_rate: float | None
    is_variable_frame_rate: bool
    num_frames: int
    num_frames_from_header: int | None
    has_audio: bool


@dataclass(frozen=True, slots=True)
class VideoWarning:
    """Something a caller should know about an answer that was given all the same."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ClipTimes:
    """The moments of one clip, chosen before a frame is decoded.

    `frame_indices` int64 [T] count frames in presentation order, -1 where invalid;
    `times_seconds` float64 [T] are those frames' own times from the start of the video, never
    decreasing; `valid` bool [T]. Invalid places come last and repeat the last valid time.
    `start_seconds` and `end_seconds` bound the half-open window `[start, end)`.
    """

    frame_indices: NDArray[np.int64]
    times_seconds: NDArray[np.float64]
    valid: NDArray[np.bool_]
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Clip:
    """One window of a video as a model sees it.

    `frames` uint8 [T, H, W, 3], RGB, C-contiguous, zero where `times.valid` is false.
    """

    frames: NDArray[np.uint8]
    times: ClipTimes


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """What came of decoding, known only once the last clip is out.

    Pictures were mirrored left to right if `is_mirrored`, and then turned clockwise by `rotation_degrees`.
    """

    rotation_degrees: int
    num_frames_decoded: int
    num_frames_missing: int
    warnings: tuple[VideoWarning, ...]
    is_mirrored: bool = False
