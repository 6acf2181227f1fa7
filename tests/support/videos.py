"""Generates videos. In a painted video, frame i has one grey level, so the pixels tell which frame was decoded."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import VideoStream
from numpy.typing import NDArray

Picture = Callable[[int], NDArray[np.uint8]]


def grey(level: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """A picture of one grey level, uint8 [height, width, 3]."""
    return np.full((height, width, 3), level, dtype=np.uint8)


def encode(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    rate: Fraction | int = 8,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    times: Sequence[Fraction] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation_degrees: int = 0,
) -> Path:
    """Write `pictures` to `path`, `1 / rate` seconds apart or at `times`; lossless where the codec can be."""
    lossless = {"libx264": {"qp": "0", "preset": "ultrafast"}}.get(codec, {})

    def write() -> None:
        with av.open(str(path), "w", container_options=container_options or {}) as container:
            stream = container.add_stream(codec, rate=rate, options=lossless | (options or {}))
            assert isinstance(stream, VideoStream)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = pixel_format
            if rotation_degrees:
                stream.set_display_rotation(rotation_degrees)
            if times is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                if times is not None:
                    frame.pts = int(times[number] * 1000)
                    frame.time_base = Fraction(1, 1000)
                for packet in stream.encode(frame):
                    container.mux(packet)
            for packet in stream.encode(None):
                container.mux(packet)

    # In a thread of its own: SVT-AV1 gives the thread that calls it, where that is root's, a priority above all
    # others, and the tests and services that come later would inherit it.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(write).result()
    return path


def moving(num_frames: int, width: int = 96, height: int = 64, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Pictures that are hard to compress: textures moving at different speeds, a cut, and noise."""
    rng = np.random.default_rng(seed)
    textures = rng.integers(0, 256, (2, height // 8, width // 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    pictures = []
    for number in range(num_frames):
        texture = textures[number * 3 // (2 * num_frames)]
        picture = texture[:height, 2 * number % width :][:, :width].copy()
        picture[: height // 2] = np.roll(texture, 3 * number, axis=1)[: height // 2, :width]
        noise = rng.integers(-12, 13, picture.shape)
        pictures.append((picture + noise).clip(0, 255).astype(np.uint8))
    return pictures


def painted(path: Path, levels: Sequence[int], **options: object) -> Path:
    """A video whose frame i is all of grey level `levels[i]`; options as for `encode`."""
    return encode(path, [grey(level) for level in levels], **options)  # type: ignore[arg-type]


def audio_only(path: Path) -> Path:
    """A second of silence in a video container."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(16):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            frame.pts = number * 1024
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path
