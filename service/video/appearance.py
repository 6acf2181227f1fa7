"""Measures the luminance and sharpness of decoded pictures."""

import numpy as np
from numpy.typing import NDArray

from service.video.quality import Appearance


def luminance(picture: NDArray[np.uint8]) -> float:
    """Mean pixel value of `picture` [H, W, 3], 0..255, over every fourth row and column."""
    return float(picture[::4, ::4].mean())


def sharpness(picture: NDArray[np.uint8]) -> float:
    """Mean absolute difference of neighbouring pixels in a row, 0..255, over every fourth row; blur lowers it."""
    # 16 bits hold each difference of two pixels.
    green = picture[::4, :, 1].astype(np.int16)
    differences = np.abs(green[:, 1:] - green[:, :-1])
    return int(differences.sum()) / differences.size if differences.size else 0.0


def clip_appearance(frames: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Appearance:
    """Mean luminance and sharpness of a clip: `frames` uint8 [T, H, W, 3], `valid` bool [T], at least one true."""
    # Indexed one by one, because a boolean index would copy the clip.
    shown = [frames[position] for position in np.flatnonzero(valid)]
    return Appearance(
        float(np.mean([luminance(picture) for picture in shown])),
        float(np.mean([sharpness(picture) for picture in shown])),
    )
