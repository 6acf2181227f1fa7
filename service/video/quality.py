"""Warnings about sampled pictures: black, frozen, or unlike the training clips of a model.

Pure functions on pictures fitted to a model's size. The thresholds for black and frozen pictures are fixed and follow
human judgement. The limits for dark, bright and blurred pictures come from a model's training clips: `PictureEnvelope`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.video.clip import VideoWarning

BLACK_BELOW = 24
"""A picture is black if all pixels are below this value of 255: video black is at most 16, and coding adds noise."""

MIN_BLACK_FRACTION = 0.5
MIN_FRAMES_TO_BE_FROZEN = 4


@dataclass(frozen=True, slots=True)
class Appearance:
    """Luminance and sharpness, 0..255, as measured by `service.video.appearance`."""

    luminance: float
    sharpness: float


def median_appearance(appearances: Sequence[Appearance]) -> Appearance:
    """Median luminance and sharpness over the clips of a video."""
    return Appearance(
        float(np.median([one.luminance for one in appearances])),
        float(np.median([one.sharpness for one in appearances])),
    )


class Percentiles(BaseModel):
    """Percentiles of a measurement over the training clips."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    p1: float
    p5: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Percentiles":
        """Percentiles of `values`, rounded to three decimals."""
        p1, p5, p95, p99 = (round(float(value), 3) for value in np.percentile(values, (1, 5, 95, 99)))
        return cls(p1=p1, p5=p5, p95=p95, p99=p99)


class PictureEnvelope(BaseModel):
    """Luminance and sharpness of a model's training clips, before augmentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_clips: int
    luminance: Percentiles
    sharpness: Percentiles

    @classmethod
    def of(cls, appearances: Iterable[Appearance]) -> "PictureEnvelope":
        """The envelope of training clips, at least one."""
        clips = list(appearances)
        return cls(
            num_clips=len(clips),
            luminance=Percentiles.of([clip.luminance for clip in clips]),
            sharpness=Percentiles.of([clip.sharpness for clip in clips]),
        )

    def warnings(self, seen: Appearance) -> Iterator[VideoWarning]:
        """Yield a warning for each measurement outside the range of 99 % of the training clips."""
        if seen.luminance < self.luminance.p1:
            yield _unlike_training("darker", "luminance", seen.luminance, self.luminance.p1)
        if seen.luminance > self.luminance.p99:
            yield _unlike_training("brighter", "luminance", seen.luminance, self.luminance.p99)
        if seen.sharpness < self.sharpness.p1:
            yield _unlike_training("blurrier", "sharpness", seen.sharpness, self.sharpness.p1)


def _unlike_training(comparative: str, measurement: str, value: float, bound: float) -> VideoWarning:
    return VideoWarning(
        f"{comparative}_than_training",
        f"The sampled frames are {comparative} than 99 % of the training clips: {measurement} {value:.1f} of 255, "
        f"the limit is {bound:.1f}. The model was hardly ever evaluated on such pictures.",
    )


def sampled_rows(picture: NDArray[np.uint8]) -> bytes:
    """Every fourth row of `picture` [H, W, 3], to detect black and repeated pictures."""
    # Whole rows, because copying them is several times faster than picking pixels. Bytes, because comparison stops at
    # the first difference.
    return picture[::4].tobytes()


def is_black(rows: bytes) -> bool:
    """Whether a picture with these `sampled_rows` is black."""
    return bool(np.frombuffer(rows, dtype=np.uint8).max() < BLACK_BELOW)


class PictureQuality:
    """Counts black and repeated pictures among the distinct pictures of a video's clips; keeps one picture."""

    def __init__(self) -> None:
        self._previous: bytes | None = None
        self._num_frames = 0
        self._num_black = 0
        self._num_unchanged = 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Count the next picture, in presentation order."""
        rows = sampled_rows(picture)
        self._num_frames += 1
        self._num_black += is_black(rows)
        self._num_unchanged += rows == self._previous
        self._previous = rows

    def warnings(self) -> Iterator[VideoWarning]:
        """Yield `black_video` if half of the pictures are black, `frozen_video` if all are the same bit for bit.

        A working camera never gives the same picture twice, because of its noise.
        """
        if self._num_black and self._num_black >= MIN_BLACK_FRACTION * self._num_frames:
            yield VideoWarning("black_video", f"{self._num_black} of {self._num_frames} sampled frames are black.")
        if self._num_frames >= MIN_FRAMES_TO_BE_FROZEN and self._num_unchanged == self._num_frames - 1:
            yield VideoWarning("frozen_video", f"All {self._num_frames} sampled frames show the same picture.")
