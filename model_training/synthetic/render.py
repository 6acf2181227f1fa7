"""Renders labelled synthetic videos in several encodings, and writes their manifest.

Encodes with PyAV; only `service.video` decodes video.
"""

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from model_training.errors import TrainingError
from model_training.processes import submit_all, worker_processes
from model_training.synthetic.encoders import encoder_options
from model_training.synthetic.scenes import EVENT_LABELS, EventLabel, paint_scene

NUM_FOLDS = 5
_SIZES = ((160, 120), (192, 144), (240, 180), (256, 256), (180, 240), (320, 240), (320, 180))
_FRAME_RATES = (12, 15, 24, 25, 30)


@dataclass(frozen=True, slots=True)
class Encoding:
    """Codec, codec options and file suffix of a video to write."""

    codec: str
    suffix: str
    options: tuple[tuple[str, str], ...]


_H264 = Encoding("libx264", ".mp4", (("preset", "veryfast"), ("crf", "24")))
_VP9 = Encoding("libvpx-vp9", ".webm", (("deadline", "realtime"), ("cpu-used", "8"), ("crf", "36"), ("b", "0")))
_ENCODING_OF_SUFFIX = {**dict.fromkeys((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".ts"), _H264), ".webm": _VP9}
_ENCODINGS = (
    _H264,
    _H264,
    Encoding("libx264", ".mkv", (("preset", "veryfast"), ("crf", "30"), ("bf", "0"))),
    Encoding("mpeg4", ".mp4", (("qmin", "3"), ("qmax", "8"))),
    _VP9,
    Encoding("libx265", ".mp4", (("preset", "ultrafast"), ("crf", "28"), ("x265-params", "log-level=none:pools=none"))),
)


@dataclass(frozen=True, slots=True)
class SyntheticVideo:
    """A rendered file, its label, and the interval `[start, end)` of its event in seconds."""

    path: Path
    label: EventLabel
    event_start_seconds: float
    event_end_seconds: float


def synthesise_dataset(
    directory: Path, num_videos: int, seed: int, on_video: Callable[[], None] = lambda: None
) -> list[SyntheticVideo]:
    """Render `num_videos` videos and `manifest.csv` in `directory`; the same seed gives the same files.

    Labels alternate; sizes, frame rates and codecs are random. Uses all cores. Calls `on_video` after each video.
    """
    directory.mkdir(parents=True, exist_ok=True)
    videos: list[SyntheticVideo] = []
    workers = min(os.cpu_count() or 1, num_videos)
    with worker_processes(workers, __name__) as pool:
        for job in submit_all(pool, _render_numbered, [(directory, seed, i) for i in range(num_videos)]):
            videos.append(job.result())
            on_video()
    _write_manifest(directory / "manifest.csv", videos)
    return videos


def _render_numbered(directory: Path, seed: int, index: int) -> SyntheticVideo:
    """Render video `index` of the dataset with this seed; does not depend on other videos."""
    rng = np.random.default_rng([seed, index])
    label = EVENT_LABELS[index % len(EVENT_LABELS)]
    width, height = _SIZES[int(rng.integers(len(_SIZES)))]
    encoding = _ENCODINGS[int(rng.integers(len(_ENCODINGS)))]
    return render_video(
        directory / f"{label}-{seed}-{index:05d}{encoding.suffix}",
        label,
        seed=int(rng.integers(2**31)),
        width=width,
        height=height,
        frame_rate=_FRAME_RATES[int(rng.integers(len(_FRAME_RATES)))],
        duration_seconds=float(rng.uniform(3.0, 4.0)),
        dropped_fraction=float(rng.choice([0.0, 0.0, 0.0, 0.2])),
        encoding=encoding,
    )


def render_video(
    path: Path,
    label: EventLabel,
    *,
    seed: int,
    width: int = 320,
    height: int = 240,
    frame_rate: int = 25,
    duration_seconds: float = 3.9,
    dropped_fraction: float = 0.0,
    encoding: Encoding | None = None,
) -> SyntheticVideo:
    """Write one video of `label` to `path`; returns the interval of its event.

    `dropped_fraction` of the frames is left out; the remaining frames keep their times, so the frame rate varies.
    Without `encoding`, the suffix of `path` selects one. The same arguments give the same bytes.

    Raises:
        TrainingError: no encoding is known for the suffix of `path`.
    """
    encoding = encoding or _encoding_of(path)
    cv2.setNumThreads(1)
    scene = paint_scene(label, width, height, duration_seconds, seed)
    ticks = np.arange(round(duration_seconds * frame_rate))
    kept = np.random.default_rng(seed).uniform(size=len(ticks)) >= dropped_fraction
    kept[0] = kept[-1] = True
    ticks = ticks[kept]
    with av.open(path, "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(
            encoding.codec, rate=frame_rate, options=encoder_options(encoding.codec, encoding.options)
        )
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, frame_rate)
        stream.codec_context.thread_count = 1
        for tick, pixels in zip(ticks, scene.frames_at(ticks / frame_rate), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = int(tick)
            frame.time_base = Fraction(1, frame_rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return SyntheticVideo(path, label, scene.event_start_seconds, scene.event_end_seconds)


def _encoding_of(path: Path) -> Encoding:
    encoding = _ENCODING_OF_SUFFIX.get(path.suffix.lower())
    if encoding is None:
        raise TrainingError(
            f"{path}: cannot be written: the suffix must be one of {', '.join(sorted(_ENCODING_OF_SUFFIX))}"
        )
    return encoding


def _write_manifest(path: Path, videos: list[SyntheticVideo]) -> None:
    """Write one row for each video; every video is its own group, and folds alternate within each label."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label", "group", "fold", "event_start_seconds", "event_end_seconds"))
        for index, video in enumerate(videos):
            fold = (index // len(EVENT_LABELS)) % NUM_FOLDS
            interval = (video.event_start_seconds, video.event_end_seconds)
            writer.writerow((video.path.name, video.label, video.path.stem, fold, *interval))
