"""The videos for benchmarks: real ones from a folder beside the checkout if it exists, otherwise painted ones.

`../shared/data/clips` holds videos of ten seconds and more in six codecs, `../shared/data/fights` short clips of
surveillance cameras, for which the default model was trained.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.harness.environments import CACHE, ROOT
from service.inference.stored_model import find_models

REAL_VIDEOS = ROOT.parent / "shared" / "data"

_SUFFIXES = frozenset({".mp4", ".webm", ".avi"})


@dataclass(frozen=True, slots=True)
class BenchmarkVideo:
    """A video file and the properties of its first video track."""

    path: Path
    codec: str
    height: int
    duration_seconds: float

    @property
    def name(self) -> str:
        """The name in tables."""
        return self.path.name

    @classmethod
    def read(cls, path: Path) -> "BenchmarkVideo":
        """Read the header of the video in `path`."""
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            return cls(path, context.codec.canonical_name, context.height, (container.duration or 0) / av.time_base)


def default_model_dir() -> Path:
    """The latest version of the default model, or the first model found."""
    directories = find_models(ROOT / "models")
    preferred = [directory for directory in directories if directory.parent.name == "fights"]
    return preferred[-1] if preferred else directories[0]


def long_videos() -> list[BenchmarkVideo]:
    """Videos of ten seconds and more, in several codecs."""
    real = sorted(path for path in REAL_VIDEOS.glob("clips/*") if path.suffix in _SUFFIXES)
    return [BenchmarkVideo.read(path) for path in real or _painted_long()]


def short_videos(num_videos: int = 24) -> list[BenchmarkVideo]:
    """Short H.264 videos, as clients of the default model send them."""
    real = sorted(REAL_VIDEOS.glob("fights/*/*.mp4"))
    chosen = real[:: max(1, len(real) // num_videos)][:num_videos]
    return [BenchmarkVideo.read(path) for path in chosen or _painted_short(num_videos)]


def _painted_long() -> list[Path]:
    codecs = (("libx264", "mp4"), ("libx265", "mp4"), ("libvpx-vp9", "webm"), ("mpeg4", "avi"))
    return [
        paint_video(f"{codec}-{height}p-10s.{suffix}", codec, height, duration_seconds=10)
        for codec, suffix in codecs
        for height in (360, 720)
    ]


def _painted_short(num_videos: int) -> list[Path]:
    heights = (360, 360, 360, 480, 720)
    return [
        paint_video(f"short-{number}.mp4", "libx264", heights[number % len(heights)], duration_seconds=2 + number % 3)
        for number in range(num_videos)
    ]


def paint_video(
    name: str, codec: str, height: int, *, duration_seconds: int, frame_rate: int = 30, is_noisy: bool = True
) -> Path:
    """Write a video of textures that move at two speeds with noise, once; later calls return the cached file.

    Without noise the file is a tenth of the size.
    """
    path = CACHE / "videos" / name
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".part{path.suffix}")
    width = height * 16 // 9 // 2 * 2
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    texture = blocks.repeat(8, axis=0).repeat(8, axis=1)
    texture = np.pad(texture, ((0, height - len(texture)), (0, width - texture.shape[1]), (0, 0)), mode="edge")
    noise = random.integers(-6, 7, (8, height, width, 1), dtype=np.int16) * is_noisy
    with av.open(str(unfinished), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(frame_rate))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(duration_seconds * frame_rate):
            picture = np.roll(texture, 4 * number, axis=1)
            picture[: height // 2] = np.roll(texture, -2 * number, axis=1)[: height // 2]
            picture = (picture + noise[number % 8]).clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    unfinished.rename(path)
    return path


def repeat_video(source: Path, num_times: int, folder: Path = CACHE / "videos") -> Path:
    """Write the video `source` several times in a row to `folder`, once; its packets are copied, not encoded."""
    path = folder / f"{source.stem}-x{num_times}.mp4"
    if path.exists():
        return path
    unfinished = path.with_suffix(".part.mp4")
    with av.open(str(source)) as container, av.open(str(unfinished), "w") as output:
        stream = container.streams.video[0]
        copy = output.add_stream_from_template(stream)
        assert stream.duration is not None
        for repetition in range(num_times):
            container.seek(0)
            for packet in container.demux(stream):
                if packet.dts is None or packet.pts is None:
                    continue
                packet.pts += repetition * stream.duration
                packet.dts += repetition * stream.duration
                packet.time_base = stream.time_base or Fraction(1, 90000)
                packet.stream = copy
                output.mux(packet)
    unfinished.rename(path)
    return path
