"""What sampled pictures look like: black, frozen, or unlike those a model was trained on.

Pure functions on pictures fitted to a model's size. The thresholds for black and frozen are fixed, not
tuned to any model, and say what a person would: "there is nothing to see", "it stands still". What is
dark or blurred for a model is for its own training clips to say: `PictureEnvelope`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.video.clip import VideoWarning

BLACK_BELOW = 24
"""A picture whose lightest pixels are darker than this of 255 is black: video black is 16 of 255 at
most, and coding noise adds a little."""

MIN_BLACK_FRACTION = 0.5
MIN_FRAMES_TO_BE_FROZEN = 4


@dataclass(frozen=True, slots=True)
class Appearance:
    """How light and how sharp pictures are, as `service.video.appearance` measures it."""

    luminance: float
    sharpness: float


def median_appearance(appearances: Sequence[Appearance]) -> Appearance:
    """What a video of so many clips looks like for the most part."""
    return Appearance(
        float(np.median([one.luminance for one in appearances])),
        float(np.median([one.sharpness for one in appearances])),
    )


class Percentiles(BaseModel):
    """Between which values 98 and 90 percent of the training clips lie."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    p1: float
    p5: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Percentiles":
        """Those of `values`, to three decimals."""
        p1, p5, p95, p99 = (round(float(value), 3) for value in np.percentile(values, (1, 5, 95, 99)))
        return cls(p1=p1, p5=p5, p95=p95, p99=p99)


class PictureEnvelope(BaseModel):
    """What the clips looked like that a model was trained on, before any augmentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_clips: int
    luminance: Percentiles
    sharpness: Percentiles

    @classmethod
    def around(cls, appearances: Iterable[Appearance]) -> "PictureEnvelope":
        """The envelope of training clips that look like this; there is one at least."""
        clips = list(appearances)
        return cls(
            num_clips=len(clips),
            luminance=Percentiles.of([clip.luminance for clip in clips]),
            sharpness=Percentiles.of([clip.sharpness for clip in clips]),
        )

    def warnings(self, seen: Appearance) -> Iterator[VideoWarning]:
        """Yield what of it no more than one in a hundred training clips was."""
        if seen.luminance < self.luminance.p1:
            yield _unlike_training("darker", "luminance", seen.luminance, self.luminance.p1)
        if seen.luminance > self.luminance.p99:
            yield _unlike_training("brighter", "luminance", seen.luminance, self.luminance.p99)
        if seen.sharpness < self.sharpness.p1:
            yield _unlike_training("blurrier", "sharpness", seen.sharpness, self.sharpness.p1)


def _unlike_training(how: str, what: str, seen: float, bound: float) -> VideoWarning:
    return VideoWarning(
        f"{how}_than_training",
        f"The sampled frames are {how} than 99 % of the training clips: {what} {seen:.1f} of 255, there {bound:.1f}."
        " What the model says of such pictures was hardly ever measured.",
    )


def seen_rows(picture: NDArray[np.uint8]) -> bytes:
    """One row in four of `picture` [H, W, 3]: by these it is told whether it is black, or the one before it."""
    # Whole rows: taking pixels from them costs several times what copying them does. As bytes, which are
    # compared up to the first that differs.
    return picture[::4].tobytes()


def is_black(seen: bytes) -> bool:
    """Whether nothing can be seen in a picture of these rows."""
    return bool(np.frombuffer(seen, dtype=np.uint8).max() < BLACK_BELOW)


class PictureQuality:
    """Watches the distinct pictures that a video's clips are made of; keeps one, and counts."""

    def __init__(self) -> None:
        self._previous: bytes | None = None
        self._num_frames = 0
        self._num_black = 0
        self._num_unchanged = 0

    def watch(self, picture: NDArray[np.uint8]) -> None:
        """Take note of the next picture, in presentation order."""
        seen = seen_rows(picture)
        self._num_frames += 1
        self._num_black += is_black(seen)
        self._num_unchanged += seen == self._previous
        self._previous = seen

    def warnings(self) -> Iterator[VideoWarning]:
        """Yield `black_video` where half of the pictures are black, `frozen_video` where all are one.

        No camera gives the same picture twice, bit for bit: one that does has stopped.
        """
        if self._num_black and self._num_black >= MIN_BLACK_FRACTION * self._num_frames:
            yield VideoWarning("black_video", f"{self._num_black} of {self._num_frames} sampled frames are black.")
        if self._num_frames >= MIN_FRAMES_TO_BE_FROZEN and self._num_unchanged == self._num_frames - 1:
            yield VideoWarning("frozen_video", f"All {self._num_frames} sampled frames show the same picture.")
