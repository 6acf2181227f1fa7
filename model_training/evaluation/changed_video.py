"""Re-encodes a video with changed frames, frame by frame with PyAV."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from model_training.datasets.segments import Segment
from model_training.synthetic.encoders import encoder_options

# A multiple of the common frame rates, and coarse enough for the MPEG-4 time base.
_TICKS_PER_SECOND = 60000
_TIME_DECIMALS = 4
"""Decimals of times in a segment: less than a tick, so that frames keep distinct times."""
_SEEK_MARGIN_SECONDS = 1.0
"""A container may seek by decode time, which is before presentation time."""
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a video: scale and darken frames, drop frames, and encode."""

    scale: float = 1.0
    brightness: float = 1.0
    is_kept: Callable[[int], bool] = lambda _number: True
    """Whether the frame with this number is kept; kept frames keep their times."""
    codec: str = "libx264"
    suffix: str = ".mp4"
    options: tuple[tuple[str, str], ...] = (("preset", "veryfast"), ("crf", "18"))


def write_changed(source: Path, target: Path, change: Change, segment_seconds: Segment | None = None) -> None:
    """Write the changed video to `target`; kept frames keep their times.

    With a segment, only the frames on screen in it are written, with times relative to its start.
    """
    with av.open(str(target), "w") as container:
        stream: VideoStream | None = None
        for seconds, picture in _pictures(source, change, segment_seconds):
            stream = stream or _new_stream(container, change, picture)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = round(seconds * _TICKS_PER_SECOND)
            frame.time_base = Fraction(1, _TICKS_PER_SECOND)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))


def _new_stream(container: OutputContainer, change: Change, picture: Picture) -> VideoStream:
    stream = container.add_stream(change.codec, rate=30, options=encoder_options(change.codec, change.options))
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, _TICKS_PER_SECOND)
    # One thread: the same bytes each time.
    stream.codec_context.thread_count = 1
    return stream


def _pictures(source: Path, change: Change, segment_seconds: Segment | None) -> Iterator[tuple[float, Picture]]:
    """Yield time in seconds and pixels of each kept frame, rotated upright, with even width and height."""
    with av.open(str(source), metadata_errors="ignore") as container:
        last_seconds = -1.0
        shape: tuple[int, int] | None = None
        for number, (seconds, frame) in enumerate(_frames(container, segment_seconds)):
            if seconds is None or seconds <= last_seconds or not change.is_kept(number):
                continue
            last_seconds = seconds
            pixels: Any = frame.to_ndarray(format="rgb24")
            if frame.rotation % 360 in _TURNS:
                pixels = cv2.rotate(pixels, _TURNS[frame.rotation % 360])
            shape = shape or _even_shape(pixels, change.scale)
            pixels = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA)
            yield seconds, (pixels * change.brightness).astype(np.uint8)


def _frames(container: InputContainer, segment_seconds: Segment | None) -> Iterator[tuple[float | None, av.VideoFrame]]:
    """Yield each frame with its time; with a segment, the frames on screen in it, with times since its start."""
    if segment_seconds is None:
        yield from ((frame.time, frame) for frame in container.decode(video=0))
        return
    start, end = segment_seconds
    first_seconds = next((frame.time for frame in container.decode(video=0) if frame.time is not None), 0.0)
    container.seek(round((first_seconds + max(0.0, start - _SEEK_MARGIN_SECONDS)) * av.time_base))
    shown_at_start = None
    for frame in (frame for frame in container.decode(video=0) if frame.time is not None):
        seconds = round(frame.time - first_seconds - start, _TIME_DECIMALS)
        if seconds <= 0:
            shown_at_start = frame
            continue
        if shown_at_start is not None:
            yield 0.0, shown_at_start
            shown_at_start = None
        if seconds >= end - start:
            return
        yield seconds, frame
    if shown_at_start is not None:
        yield 0.0, shown_at_start


def _even_shape(pixels: Picture, scale: float) -> tuple[int, int]:
    """Even (width, height) after scaling, in the order of OpenCV."""
    height, width = pixels.shape[:2]
    return max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2)
