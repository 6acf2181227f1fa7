"""Converts a decoded frame to the picture for a model: upright, RGB, fitted to size.

Training and serving scale pixels only with this module, so that they cannot differ.
"""

from fractions import Fraction

import av.error
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from service.video.clip import ClipSpec
from service.video.crop import Crop
from service.video.errors import UnreadableVideo, VideoTooLarge
from service.video.orientation import Orientation

# Area averaging keeps small moving objects visible. The other flags make the result equal bit for bit on all CPUs.
_SCALING = int(Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT)

_UPRIGHT = Orientation()

_MAX_FITTED_PIXELS = 32768
"""Longest side of a scaled picture before it is cropped; bounds the memory for it."""

# Colour matrices by the numbers of ITU-T H.273.
_RGB, _BT709, _UNSPECIFIED, _BT601, _BT2020, _BT2020_CONSTANT_LUMINANCE = 0, 1, 2, 5, 9, 10
_CONVERTIBLE_MATRICES = frozenset({_RGB, _BT709, _UNSPECIFIED, 4, _BT601, 6, 7, _BT2020})
_MAX_WIDTH_OF_BT601, _MAX_HEIGHT_OF_BT601 = 1024, 576


class PictureFitter:
    """Fits frames to one `ClipSpec`; reuses its scaler for all frames."""

    def __init__(self, spec: ClipSpec, pixel_aspect: Fraction | None, crop: Crop | None = None) -> None:
        self._spec = spec
        self._pixel_aspect = float(pixel_aspect or 1) or 1.0
        self._reformatter = VideoReformatter()
        self._cropper = _Cropper(crop or Crop())
        self.has_assumed_colours = False
        """Whether a picture names an unsupported colour matrix, so that a common one was assumed."""

    def fit(self, frame: VideoFrame, orientation: Orientation = _UPRIGHT) -> NDArray[np.uint8]:
        """Return the frame as a viewer sees it, uint8 [H, W, 3] RGB, in the size of the spec.

        In this order, the container's crop is applied, non-square pixels are made square, and the picture is fitted and
        oriented. Alpha is dropped, more than 8 bits are rounded to 8 without tone mapping, fields stay interleaved.

        Raises:
            VideoTooLarge: the picture is so long and narrow that fitting it by `crop` takes too much memory.
            UnreadableVideo: the pixel format cannot be converted.
        """
        frame = self._cropper.crop(frame)
        height, width = float(frame.height), frame.width * self._pixel_aspect
        if orientation.is_sideways:
            height, width = width, height
        height_fitted, width_fitted = fitted_size(height, width, self._spec)
        if max(height_fitted, width_fitted) > _MAX_FITTED_PIXELS:
            raise VideoTooLarge(f"Pictures of {frame.width}x{frame.height} pixels are too long and narrow to crop.")
        if orientation.is_sideways:
            height_fitted, width_fitted = width_fitted, height_fitted
        picture = self._scale(frame, width_fitted, height_fitted).to_ndarray().astype(np.uint8, copy=False)
        return _crop_or_pad(_orient(picture, orientation), self._spec)

    def _scale(self, frame: VideoFrame, width: int, height: int) -> VideoFrame:
        if frame.colorspace not in _CONVERTIBLE_MATRICES:
            self._assume_colours(frame)
        try:
            return self._convert(frame, width, height)
        except (av.error.FFmpegError, ValueError, OverflowError) as error:
            if self.has_assumed_colours:
                raise UnreadableVideo(f"Pictures of {frame.format.name} pixels cannot be converted.") from error
        # Wrong metadata alone must not make a picture unreadable.
        self._assume_colours(frame)
        return self._scale(frame, width, height)

    def _convert(self, frame: VideoFrame, width: int, height: int) -> VideoFrame:
        return self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=_SCALING, threads=1
        )

    def _assume_colours(self, frame: VideoFrame) -> None:
        """Set the colour matrix that is usual for the frame's size and format."""
        self.has_assumed_colours = True
        is_small = frame.width <= _MAX_WIDTH_OF_BT601 and frame.height <= _MAX_HEIGHT_OF_BT601
        if frame.format.is_rgb:
            frame.colorspace = _RGB
        elif frame.colorspace == _BT2020_CONSTANT_LUMINANCE:
            frame.colorspace = _BT2020
        else:
            frame.colorspace = _BT601 if is_small else _BT709
        frame.color_primaries = frame.color_trc = _UNSPECIFIED


class _Cropper:
    """Crops the edges of frames without copying pixels."""

    def __init__(self, crop: Crop) -> None:
        self._crop = crop
        self._kind: tuple[int, int, str] | None = None
        self._graph = Graph()

    def crop(self, frame: VideoFrame) -> VideoFrame:
        """Return the shown part of `frame`, rounded to whole chroma samples."""
        crop = self._crop
        if not crop.fits(frame.width, frame.height):
            return frame
        kind = (frame.width, frame.height, frame.format.name)
        if kind != self._kind:
            width, height = crop.size(frame.width, frame.height)
            self._kind, self._graph = kind, Graph()
            source = self._graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
            )
            cut = self._graph.add("crop", f"{width}:{height}:{crop.left}:{crop.top}:exact=1")
            sink = self._graph.add("buffersink")
            self._graph.link_nodes(source, cut, sink).configure()
        self._graph.vpush(frame)
        return self._graph.vpull()


def _orient(picture: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint8]:
    if orientation == _UPRIGHT:
        return picture
    mirrored = picture[:, ::-1] if orientation.is_mirrored else picture
    turned = np.rot90(mirrored, -orientation.rotation_degrees // 90)
    upright = np.empty(turned.shape, dtype=np.uint8)
    # Channel by channel, because numpy takes four times as long to copy pixels of three bytes in another order.
    for channel in range(3):
        upright[..., channel] = turned[..., channel]
    return upright


def fitted_size(height: float, width: float, spec: ClipSpec) -> tuple[int, int]:
    """(height, width) to which a picture is scaled for `spec`, before cropping or padding."""
    if spec.fit == "squash":
        return spec.height, spec.width
    if spec.fit == "crop":
        scale = max(spec.height / height, spec.width / width)
        return max(spec.height, round(height * scale)), max(spec.width, round(width * scale))
    scale = min(spec.height / height, spec.width / width)
    return min(spec.height, max(1, round(height * scale))), min(spec.width, max(1, round(width * scale)))


def _crop_or_pad(picture: NDArray[np.uint8], spec: ClipSpec) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    if (height, width) == (spec.height, spec.width):
        return picture
    if spec.fit == "crop":
        top, left = (height - spec.height) // 2, (width - spec.width) // 2
        return picture[top : top + spec.height, left : left + spec.width]
    padded = np.zeros((spec.height, spec.width, 3), dtype=np.uint8)
    top, left = (spec.height - height) // 2, (spec.width - width) // 2
    padded[top : top + height, left : left + width] = picture
    return padded
