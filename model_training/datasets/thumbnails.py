"""Thumbnails of a video, small enough to compare every pair of videos when searching for duplicates.

This module knows neither files nor labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.video.clip import Clip

SIZE = 32
_STEP_SECONDS = 0.25
_MAX_STEPS = 64


@dataclass(frozen=True, slots=True)
class VideoThumbnails:
    """Grey thumbnails and the mean frame of a video.

    `grey` uint8 [F, 32, 32] covers the first 16 seconds, one thumbnail every quarter of a second.
    `mean_frame` uint8 [32, 32, 3] is the average of all frames, RGB.
    """

    grey: NDArray[np.uint8]
    mean_frame: NDArray[np.uint8]


class ThumbnailBuilder:
    """Collects thumbnails from the clips of one video; keeps no full-size frame."""

    def __init__(self) -> None:
        self._thumbnails: dict[float, NDArray[np.uint8]] = {}

    def add(self, clip: Clip) -> None:
        """Add the valid frames of one clip."""
        for frame, seconds, is_valid in zip(clip.frames, clip.times.times_seconds, clip.times.valid, strict=True):
            if is_valid and float(seconds) not in self._thumbnails:
                small = cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
                self._thumbnails[float(seconds)] = np.asarray(small, np.uint8)

    def build(self) -> VideoThumbnails:
        """The thumbnails of the clips added so far; needs at least one valid frame."""
        times = np.array(sorted(self._thumbnails))
        frames = np.stack([self._thumbnails[seconds] for seconds in times.tolist()])
        num_steps = min(_MAX_STEPS, 1 + int((times[-1] - times[0]) / _STEP_SECONDS))
        step_times = times[0] + _STEP_SECONDS * np.arange(num_steps)
        shown = frames[np.searchsorted(times, step_times + 1e-9, side="right") - 1]
        grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in shown])
        return VideoThumbnails(np.asarray(grey, np.uint8), np.asarray(frames.mean(axis=0).round(), np.uint8))


def stack_mean_frames(thumbnails: Sequence[VideoThumbnails]) -> NDArray[np.float32]:
    """The mean frames as rows float32 [N, 3072], 0..1."""
    means = np.stack([one.mean_frame.ravel() for one in thumbnails])
    return np.asarray(means, np.float32) / np.float32(255)
