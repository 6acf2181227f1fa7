"""Data types of video decoding: clip specification, limits, clips and reports. Pure data."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Fit = Literal["squash", "crop", "letterbox"]


class ClipSpec(BaseModel):
    """Which frames of a video make a clip, and at which size. Part of a model's manifest, used by training and serving.

    A clip is a window of `num_frames` sample times, `1 / frames_per_second` apart. A video no longer than one window
    gives one clip; sample times after its end are marked invalid. A longer video is covered by windows whose starts are
    at most `stride_seconds` apart; the last window ends with the video.

    `fit` brings a picture to `height` x `width`: `squash` scales both axes independently, `crop` keeps the aspect ratio
    and cuts the longer side around the centre, `letterbox` keeps the aspect ratio and pads with black.
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
    """Limits of one video. A video beyond them is rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_pixels_per_frame: int = Field(default=3840 * 2160, ge=64)
    max_duration_seconds: float = Field(default=600.0, gt=0)
    max_packets: int = Field(default=200_000, ge=1)

    def times(self, factor: float) -> "DecodeLimits":
        """The limits for a video `factor` times as long."""
        return DecodeLimits(
            max_pixels_per_frame=self.max_pixels_per_frame,
            max_duration_seconds=self.max_duration_seconds * factor,
            max_packets=max(1, int(self.max_packets * factor)),
        )


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """Properties of a video, counted from its packets; `num_frames_from_header` is the claim of its header."""

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
    """A condition that may affect the result, although the video was decoded."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ClipTimes:
    """The frames of one clip, selected before any frame is decoded.

    `frame_indices` int64 [T] are indices in presentation order, -1 if invalid. `times_seconds` float64 [T] are the
    frames' presentation times from the start of the video, never decreasing. `valid` bool [T]: invalid positions come
    last and repeat the last valid time. The window is `[start_seconds, end_seconds)`.
    """

    frame_indices: NDArray[np.int64]
    times_seconds: NDArray[np.float64]
    valid: NDArray[np.bool_]
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Clip:
    """The decoded frames of one window.

    `frames` uint8 [T, H, W, 3], RGB, C-contiguous, zero where `times.valid` is false.
    """

    frames: NDArray[np.uint8]
    times: ClipTimes


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """Result of decoding, complete after the last clip.

    Pictures were mirrored left to right if `is_mirrored`, then rotated clockwise by `rotation_degrees`.
    """

    rotation_degrees: int
    num_frames_decoded: int
    num_frames_missing: int
    warnings: tuple[VideoWarning, ...]
    is_mirrored: bool = False
