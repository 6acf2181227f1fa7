"""How light and how sharp pictures are, measured where they are decoded."""

import cv2
import numpy as np
from numpy.typing import NDArray

from service.video.quality import Appearance


def luminance(picture: NDArray[np.uint8]) -> float:
    """Mean lightness of `picture` [H, W, 3], 0..255, from one pixel in sixteen."""
    return float(picture[::4, ::4].mean())


def sharpness(picture: NDArray[np.uint8]) -> float:
    """Mean step between neighbours in a row, 0..255, from one row in four; blur makes it small."""
    green = np.ascontiguousarray(picture[::4, :, 1])
    num_steps = green.shape[0] * (green.shape[1] - 1)
    # A third of the time that numpy takes; whole numbers, so the sum is exact.
    return cv2.norm(green[:, 1:], green[:, :-1], cv2.NORM_L1) / num_steps if num_steps else 0.0


def clip_appearance(frames: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Appearance:
    """The mean over the valid frames of a clip: frames uint8 [T, H, W, 3], valid bool [T], one true at least."""
    # Indexed one by one: taking all that are valid at once would copy the clip.
    shown = [frames[place] for place in np.flatnonzero(valid)]
    return Appearance(
        float(np.mean([luminance(picture) for picture in shown])),
        float(np.mean([sharpness(picture) for picture in shown])),
    )
