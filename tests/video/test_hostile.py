"""Malicious and damaged files: any bytes give clips or a `VideoError`, in bounded time and memory."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from service.video.clip import ClipSpec
from service.video.errors import UnreadableVideo, UnsupportedVideo, VideoError, VideoTooLarge
from service.video.sandbox.pool import Sandbox
from service.video.sandbox.settings import SandboxSettings
from tests.support.shared_data import shared_data, shared_files
from tests.support.videos import encode, grey, moving

pytestmark = pytest.mark.slow

SPEC = ClipSpec(num_frames=8, height=32, width=32, frames_per_second=4, stride_seconds=2)
SETTINGS = SandboxSettings(decode_children=2, decode_threads=1, decode_memory_bytes=2 << 30, decode_cpu_seconds=8)
DEADLINE_SECONDS = 120.0
"""Deadline of one video. The limit of processor time ends its worker long before, also on a busy machine."""


async def outcome(sandbox: Sandbox, path: Path) -> str:
    """Decode one file: "clips", the name of its `VideoError`, or "deadline". Other errors are raised."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS), sandbox.open(path, SPEC) as video:
            num_clips = 0
            async for clip in video.clips():
                num_clips += 1
                assert clip.frames.shape == (SPEC.num_frames, SPEC.height, SPEC.width, 3)
                assert clip.times.valid[0]
                assert np.all(np.diff(clip.times.times_seconds) >= 0)
                assert np.all(np.isfinite(clip.times.times_seconds))
            assert num_clips
    except VideoError as error:
        is_message_safe = str(error) and str(path.parent) not in str(error)
        return type(error).__name__ if is_message_safe else f"an unsafe message: {error}"
    except TimeoutError:
        return "deadline"
    return "clips"


def outcomes(paths: Sequence[Path], max_pixels_per_frame: int = 3840 * 2160) -> dict[Path, str]:
    """Decode each file, two at a time in one sandbox."""

    async def decode_all() -> dict[Path, str]:
        sandbox = Sandbox(SETTINGS.model_copy(update={"max_pixels_per_frame": max_pixels_per_frame}))
        await sandbox.start()
        # The deadline must not include the wait for a worker.
        slots = asyncio.Semaphore(SETTINGS.decode_children)

        async def in_turn(path: Path) -> str:
            async with slots:
                return await outcome(sandbox, path)

        try:
            found = await asyncio.gather(*(in_turn(path) for path in paths))
        finally:
            await sandbox.close()
        return dict(zip(paths, found, strict=True))

    return asyncio.run(decode_all())


def test_malicious_files_give_clips_or_a_video_error() -> None:
    shared_data("hostile")
    paths = [path for path in shared_files("hostile") if path.name not in ("index.csv", "README.md")]
    found = outcomes(paths)
    counts = Counter(found.values())
    assert len(found) == len(paths)
    expected = {"clips", "UnsupportedVideo", "UnreadableVideo", "VideoTooLarge", "DecodeDeadlineExceeded"}
    assert set(counts) <= expected, {path.name: result for path, result in found.items() if result not in expected}
    assert counts["clips"] > len(paths) / 10, counts


TEXTS = {
    "concat.mp4": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "playlist.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "session.mp4": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    b"a=rtpmap:96 H264/90000\n",
    "dash.mp4": b'<?xml version="1.0"?><MPD><Period><BaseURL>file:///etc/passwd</BaseURL></Period></MPD>',
    "text.mp4": b"This is no video. " * 99,
    "subtitle.mp4": b"1\n00:00:00,000 --> 00:00:09,000\nHello\n",
    "empty.mp4": b"",
    "svg.mp4": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "random.mp4": random.Random(7).randbytes(50_000),  # noqa: S311
    "only-a-box.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
    "huge-box.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\xff\xff\xff\xffmoov",
    "zeros.mp4": bytes(10_000),
}


def test_other_files_are_refused_and_open_no_file_or_socket(tmp_path: Path) -> None:
    for name, content in TEXTS.items():
        (tmp_path / name).write_bytes(content)
    found = outcomes([tmp_path / name for name in TEXTS])
    assert set(found.values()) <= {"UnsupportedVideo", "UnreadableVideo"}, found


@pytest.mark.parametrize("suffix", ["gif", "png", "jpg", "bmp", "avif"])
def test_images_are_not_videos(tmp_path: Path, suffix: str) -> None:
    codec, pixel_format = {
        "gif": ("gif", "rgb8"),
        "png": ("png", "rgb24"),
        "jpg": ("mjpeg", "yuvj420p"),
        "bmp": ("bmp", "bgr24"),
        "avif": ("libsvtav1", "yuv420p"),
    }[suffix]
    image = encode(tmp_path / f"image.{suffix}", [grey(99)], codec=codec, pixel_format=pixel_format)
    if hasattr(os, "sched_getscheduler"):
        # Encoding the image must not change the scheduling policy of this process.
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
    disguised = image.rename(tmp_path / "image.mp4")
    assert outcomes([disguised]) == {disguised: UnsupportedVideo.__name__}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi", "webm"])
def test_truncated_videos_give_clips_or_a_video_error(tmp_path: Path, suffix: str) -> None:
    codec = "libvpx" if suffix == "webm" else "libx264"
    whole = encode(tmp_path / f"whole.{suffix}", moving(40), codec=codec, options={"g": "10"}).read_bytes()
    paths = []
    for tenths in range(1, 10):
        path = tmp_path / f"cut-{tenths}.{suffix}"
        path.write_bytes(whole[: len(whole) * tenths // 10])
        paths.append(path)
    found = outcomes(paths)
    assert set(found.values()) <= {"clips", "UnsupportedVideo", "UnreadableVideo"}, found


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_damaged_videos_give_clips_or_a_video_error(tmp_path: Path, suffix: str) -> None:
    whole = encode(tmp_path / f"whole.{suffix}", moving(40), options={"g": "10", "bf": "2"}).read_bytes()
    rng = random.Random(suffix)  # noqa: S311
    paths = []
    for number in range(20):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 10, 100])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path = tmp_path / f"damaged-{number}.{suffix}"
        path.write_bytes(damaged)
        paths.append(path)
    assert set(outcomes(paths).values()) <= {"clips", "UnsupportedVideo", "UnreadableVideo", "VideoTooLarge"}


def test_a_size_understated_by_the_header_is_refused_before_a_picture_is_allocated(tmp_path: Path) -> None:
    path = encode(tmp_path / "large.mp4", [grey(9, 640, 480)] * 4)
    content = bytearray(path.read_bytes())
    # The track header gets 64x48, in the sample entry and in 16.16 fixed point; the codec header keeps 640x480.
    for true_size, claimed in (
        (b"\x02\x80\x01\xe0", b"\0\x40\0\x30"),
        (b"\x02\x80\0\0\x01\xe0\0\0", b"\0\x40\0\0\0\x30\0\0"),
    ):
        assert true_size in content
        content = content.replace(true_size, claimed)
    path.write_bytes(content)
    found = outcomes([path], 64 * 48)
    assert set(found.values()) <= {VideoTooLarge.__name__, UnreadableVideo.__name__}


def test_a_size_stated_by_the_header_is_refused_at_once(tmp_path: Path) -> None:
    path = encode(tmp_path / "large.mkv", [grey(9, 640, 480)] * 4)
    assert outcomes([path], 640 * 479) == {path: VideoTooLarge.__name__}
