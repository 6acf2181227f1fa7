"""From a decoded frame to the picture a model sees: upright, RGB, fitted to size.

The only place where pixels are scaled, so training and serving cannot differ.
"""

from fractions import Fraction

import av.error
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from service.video.clip import ClipSpec
from service.video.errors import UnreadableVideo, VideoTooLarge

# Area averaging keeps small moving things in the picture; the other flags make the result the
# same, bit for bit, on every kind of CPU.
_SCALING = int(Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT)

# FFmpeg counts a frame's rotation counter-clockwise.
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


_MAX_FITTED_PIXELS = 32768
"""Longest side of a picture that is scaled only to be cropped: beyond it lies memory, not video."""


class PictureFitter:
    """Fits frames to one `ClipSpec`; reuses its scaler from frame to frame."""

    def __init__(self, spec: ClipSpec, pixel_aspect: Fraction | None) -> None:
        self._spec = spec
        self._pixel_aspect = float(pixel_aspect or 1) or 1.0
        self._reformatter = VideoReformatter()

    def fit(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The frame as a viewer sees it, uint8 [H, W, 3] RGB, of exactly the spec's size.

        Non-square pixels are made square and a display rotation is applied before fitting. Alpha is
        dropped, more than 8 bits are rounded to 8 without tone mapping, fields stay interleaved. Other
        angles than quarter turns, and mirroring, are not applied.

        Raises:
            VideoTooLarge: so long and narrow that cropping it to shape takes too much memory.
            UnreadableVideo: its pixels are of a kind that cannot be converted.
        """
        rotation = frame.rotation % 360
        height, width = float(frame.height), frame.width * self._pixel_aspect
        if rotation in (90, 270):
            height, width = width, height
        height_fitted, width_fitted = fitted_size(height, width, self._spec)
        is_sideways = rotation in (90, 270)
        if max(height_fitted, width_fitted) > _MAX_FITTED_PIXELS:
            raise VideoTooLarge(f"Pictures of {frame.width}x{frame.height} pixels are too long and narrow to crop.")
        try:
            scaled = self._reformatter.reformat(
                frame,
                width=height_fitted if is_sideways else width_fitted,
                height=width_fitted if is_sideways else height_fitted,
                format="rgb24",
                interpolation=_SCALING,
                threads=1,
            )
        except (av.error.FFmpegError, ValueError, OverflowError) as error:
            raise UnreadableVideo(f"Pictures of {frame.format.name} pixels cannot be converted.") from error
        picture = scaled.to_ndarray().astype(np.uint8, copy=False)
        if rotation in _TURNS:
            picture = cv2.rotate(picture, _TURNS[rotation]).astype(np.uint8, copy=False)
        return _cut_or_fill(picture, self._spec)


def fitted_size(height: float, width: float, spec: ClipSpec) -> tuple[int, int]:
    """(height, width) to which a picture is scaled for `spec`, before cutting or filling."""
    if spec.fit == "squash":
        return spec.height, spec.width
    if spec.fit == "crop":
        scale = max(spec.height / height, spec.width / width)
        return max(spec.height, round(height * scale)), max(spec.width, round(width * scale))
    scale = min(spec.height / height, spec.width / width)
    return min(spec.height, max(1, round(height * scale))), min(spec.width, max(1, round(width * scale)))


def _cut_or_fill(picture: NDArray[np.uint8], spec: ClipSpec) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    if (height, width) == (spec.height, spec.width):
        return picture
    if spec.fit == "crop":
        top, left = (height - spec.height) // 2, (width - spec.width) // 2
        return picture[top : top + spec.height, left : left + spec.width]
    filled = np.zeros((spec.height, spec.width, 3), dtype=np.uint8)
    top, left = (spec.height - height) // 2, (spec.width - width) // 2
    filled[top : top + height, left : left + width] = picture
    return filled
