"""What a video looks like, small enough to compare every pair: for finding the same footage twice.

Knows nothing of files or labels.
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
class Look:
    """Grey thumbnails uint8 [F, 32, 32] of a video's first 16 seconds, one each quarter of a second.

    `mean_frame` uint8 [32, 32, 3] is the average of its frames.
    """

    thumbnails: NDArray[np.uint8]
    mean_frame: NDArray[np.uint8]


class LookBuilder:
    """Watches the clips of a video go by, and holds thumbnails only."""

    def __init__(self) -> None:
        self._thumbnails: dict[float, NDArray[np.uint8]] = {}

    def watch(self, clip: Clip) -> None:
        """Take one clip in."""
        for frame, seconds, is_valid in zip(clip.frames, clip.times.times_seconds, clip.times.valid, strict=True):
            if is_valid and float(seconds) not in self._thumbnails:
                small = cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
                self._thumbnails[float(seconds)] = np.asarray(small, np.uint8)

    def look(self) -> Look:
        """What the clips so far look like; at least one valid frame was among them."""
        times = np.array(sorted(self._thumbnails))
        pictures = np.stack([self._thumbnails[seconds] for seconds in times.tolist()])
        num_steps = min(_MAX_STEPS, 1 + int((times[-1] - times[0]) / _STEP_SECONDS))
        moments = times[0] + _STEP_SECONDS * np.arange(num_steps)
        shown = pictures[np.searchsorted(times, moments + 1e-9, side="right") - 1]
        grey = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in shown])
        return Look(np.asarray(grey, np.uint8), np.asarray(pictures.mean(axis=0).round(), np.uint8))


def stack_means(looks: Sequence[Look]) -> NDArray[np.float32]:
    """The mean frames as rows float32 [N, 3072], 0..1."""
    means = np.stack([look.mean_frame.ravel() for look in looks])
    return np.asarray(means, np.float32) / np.float32(255)
