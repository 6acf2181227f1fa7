"""Draws a prediction into a copy of a video: label, probability and attention in a strip below the frame.

PyAV decodes and encodes in this process, without a sandbox: use it for trusted files only.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray

from framewise.schemas.prediction import FrameAttention, Prediction

Image = NDArray[np.uint8]

_MIN_WIDTH = 320
_STRIP_HEIGHT = 72
_MARGIN = 8
_BACKGROUND = (24, 22, 20)
_BAR = (76, 201, 176)
_FUTURE_BAR = (70, 98, 94)
_TEXT = (238, 236, 230)
_SECONDARY_TEXT = (160, 158, 150)
_HEADER_BASELINE = 18
_BARS_TOP = 28


def annotate_video(path: Path, out: Path, prediction: Prediction) -> int:
    """Write `path` to `out` as H.264 with `prediction` drawn in, and return the number of frames.

    Every frame keeps its time.

    Raises:
        OSError: `path` cannot be decoded, or `out` cannot be written.
    """
    with (
        _raising_os_error(path),
        av.open(str(path)) as source,
        av.open(str(out), "w", format="mp4") as target,
    ):
        return _copy_annotated(source, target, prediction)


def _copy_annotated(
    source: av.container.InputContainer, target: av.container.OutputContainer, prediction: Prediction
) -> int:
    video = source.streams.video[0]
    stream = target.add_stream("libx264", rate=video.average_rate or 25, options={"crf": "18"})
    stream.pix_fmt = "yuv420p"
    num_frames = 0
    first_seconds = 0.0
    for number, frame in enumerate(source.decode(video)):
        seconds = frame.time or 0.0
        first_seconds = seconds if number == 0 else first_seconds
        pixels = np.asarray(np.rot90(frame.to_ndarray(format="rgb24"), k=frame.rotation // 90), np.uint8)
        drawn = draw_prediction(pixels, seconds - first_seconds, prediction)
        if number == 0:
            stream.height, stream.width = drawn.shape[:2]
            stream.codec_context.time_base = Fraction(1, 90_000)
        picture = av.VideoFrame.from_ndarray(drawn, format="rgb24")
        picture.pts, picture.time_base = round((seconds - first_seconds) * 90_000), Fraction(1, 90_000)
        target.mux(stream.encode(picture))
        num_frames += 1
    target.mux(stream.encode(None))
    return num_frames


def draw_prediction(pixels: Image, seconds: float, prediction: Prediction) -> Image:
    """The frame uint8 [H, W, 3] RGB above a strip that shows the prediction at `seconds`; both sides are even."""
    height, width = pixels.shape[:2]
    scale = max(1.0, _MIN_WIDTH / width)
    width, height = (round(side * scale) // 2 * 2 for side in (width, height))
    canvas = np.full((height + _STRIP_HEIGHT, width, 3), _BACKGROUND, np.uint8)
    canvas[:height] = cv2.resize(
        pixels, (width, height), interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    )
    strip = canvas[height:]
    _write(strip, _headline(prediction), _MARGIN, _TEXT)
    clip = next((clip for clip in prediction.clips if clip.start_seconds <= seconds < clip.end_seconds), None)
    if clip is not None and len(prediction.clips) > 1:
        text = f"now: {clip.label} {clip.probability:.0%}"
        (text_width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
        _write(strip, text, width - _MARGIN - text_width, _SECONDARY_TEXT)
    _draw_bars(strip, prediction.frames, prediction.video.duration_seconds, seconds)
    return canvas


def _headline(prediction: Prediction) -> str:
    decision = prediction.prediction
    mark = "" if decision.accepted else "?"
    return f"{decision.label}{mark} {decision.probability:.1%}"


def _write(strip: Image, text: str, x: int, colour: Sequence[int]) -> None:
    cv2.putText(strip, text, (x, _HEADER_BASELINE), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)


def _draw_bars(strip: Image, frames: Sequence[FrameAttention], duration_seconds: float, seconds: float) -> None:
    """Draw attention bars at their times, bright up to `seconds`, and a line at `seconds`."""
    height, width = strip.shape[:2]
    floor, plot_width = height - _MARGIN, width - 2 * _MARGIN
    scale = plot_width / max(duration_seconds, 1e-9)
    peak = max((frame.attention for frame in frames), default=0.0) or 1.0
    thickness = max(1, round(0.6 * plot_width / max(len({frame.index for frame in frames}), 1)))
    for frame in sorted(frames, key=lambda frame: frame.attention):
        left = _MARGIN + round(frame.time_seconds * scale)
        top = floor - round((floor - _BARS_TOP) * frame.attention / peak)
        colour = _BAR if frame.time_seconds <= seconds else _FUTURE_BAR
        cv2.rectangle(strip, (left, top), (left + thickness - 1, floor), colour, cv2.FILLED)
    now = _MARGIN + min(round(seconds * scale), plot_width)
    cv2.line(strip, (now, _BARS_TOP - 2), (now, floor + 2), _TEXT, 1)


@contextmanager
def _raising_os_error(path: Path) -> Iterator[None]:
    """Convert errors of FFmpeg to OSError."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise OSError(f"{path} cannot be annotated: {error}") from error
