"""Selective decoding gives the same frames as a full decode, bit for bit.

The reference is a plain PyAV loop over all frames; it shares only the fitting to size.
"""

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.video.clip import ClipSpec, DecodeLimits
from service.video.decode import open_video
from service.video.errors import VideoError
from service.video.picture import PictureFitter
from tests.support.shared_data import shared_files
from tests.support.videos import encode, moving

pytestmark = pytest.mark.slow

_X265 = "log-level=0:keyint={}:bframes={}"

ENCODINGS = {
    "h264 with a pyramid of B-frames": ("mp4", "libx264", {"qp": "24", "preset": "medium", "g": "13", "bf": "5"}),
    "h264 with open groups": (
        "mp4",
        "libx264",
        {"qp": "24", "preset": "medium", "x264-params": "open-gop=1:keyint=12:bframes=3"},
    ),
    "h264 in a transport stream": (
        "ts",
        "libx264",
        {"qp": "24", "preset": "medium", "x264-params": "open-gop=1:keyint=9"},
    ),
    "h264 without B-frames": ("mkv", "libx264", {"qp": "24", "preset": "veryfast", "g": "10", "bf": "0", "refs": "4"}),
    "h264 refreshed without keyframes": (
        "ts",
        "libx264",
        {"qp": "24", "x264-params": "intra-refresh=1:keyint=12:bframes=0"},
    ),
    "h264 refreshed, stored as mp4": ("mp4", "libx264", {"qp": "24", "x264-params": "intra-refresh=1:keyint=12"}),
    "h264 interlaced": ("mp4", "libx264", {"qp": "24", "preset": "medium", "flags": "+ilme+ildct", "g": "12"}),
    "h264 in AVI": ("avi", "libx264", {"qp": "24", "preset": "medium", "g": "12", "bf": "3"}),
    "h264 in FLV": ("flv", "libx264", {"qp": "24", "preset": "medium", "g": "12", "bf": "3"}),
    "hevc": ("mp4", "libx265", {"x265-params": _X265.format(12, 4)}),
    "hevc with open groups": ("mkv", "libx265", {"x265-params": _X265.format(12, 4) + ":open-gop=1"}),
    "hevc with closed groups": ("ts", "libx265", {"x265-params": _X265.format(12, 3) + ":open-gop=0"}),
    "hevc with temporal layers": ("mp4", "libx265", {"x265-params": _X265.format(20, 7) + ":temporal-layers=3"}),
    "vp8 with hidden frames": ("webm", "libvpx", {"g": "20", "auto-alt-ref": "1", "lag-in-frames": "12", "b": "200k"}),
    "vp8 in real time": ("webm", "libvpx", {"g": "20", "deadline": "realtime", "error-resilient": "1", "b": "90k"}),
    "vp9 with hidden frames": ("webm", "libvpx-vp9", {"g": "20", "auto-alt-ref": "1", "lag-in-frames": "12"}),
    "vp9 in mp4": ("mp4", "libvpx-vp9", {"g": "15", "deadline": "realtime", "cpu-used": "8"}),
    "av1": ("mp4", "libsvtav1", {"preset": "10", "g": "20", "svtav1-params": "hierarchical-levels=3"}),
    "mpeg4 with B-frames": ("mp4", "mpeg4", {"g": "12", "bf": "2", "sc_threshold": "1000000000"}),
    "mpeg4 in AVI": ("avi", "mpeg4", {"g": "12", "bf": "2", "sc_threshold": "1000000000"}),
    "mpeg2": ("mpg", "mpeg2video", {"g": "12", "bf": "2", "sc_threshold": "1000000000"}),
    "mpeg2 in a transport stream": ("ts", "mpeg2video", {"g": "15", "bf": "3", "sc_threshold": "1000000000"}),
    "motion jpeg": ("avi", "mjpeg", {}),
}

SPECS = st.builds(
    ClipSpec,
    num_frames=st.integers(1, 12),
    height=st.just(24),
    width=st.just(32),
    frames_per_second=st.floats(0.5, 40),
    stride_seconds=st.floats(0.1, 5),
    fit=st.sampled_from(["squash", "crop", "letterbox"]),
)


def every_frame(path: Path, spec: ClipSpec) -> dict[float, NDArray[np.uint8]]:
    """All fitted frames of the first video track, by seconds from the first frame."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        fitter = PictureFitter(spec, stream.sample_aspect_ratio)
        frames = {frame.pts: fitter.fit(frame) for frame in container.decode(stream)}
        # AVI has no presentation times: the times from PyAV are not in order.
        order = range(len(frames)) if list(frames) != sorted(frames) else (pts - min(frames) for pts in frames)
        return {
            ticks * float(stream.time_base or 0): picture for ticks, picture in zip(order, frames.values(), strict=True)
        }


def assert_same_as_full_decode(path: Path, spec: ClipSpec, num_threads: int = 1) -> None:
    reference = every_frame(path, spec)
    times = np.array(sorted(reference))
    with open_video(path, DecodeLimits(), num_threads) as video:
        clips = list(video.clips(spec, video.plan(spec)))
        report = video.report()
    assert report.num_frames_missing == 0
    for clip in clips:
        sample_times = clip.times.start_seconds + (np.arange(spec.num_frames) + 0.5) / spec.frames_per_second
        on_screen = times[np.maximum(np.searchsorted(times, sample_times + 1e-9, side="right") - 1, 0)]
        valid = clip.times.valid
        assert clip.times.times_seconds[valid] == pytest.approx(on_screen[valid], abs=1e-5)
        for frame, time in zip(clip.frames[valid], on_screen[valid], strict=True):
            assert np.array_equal(frame, reference[time]), f"another frame than the one at {time:.3f} s"


@pytest.fixture(scope="module", params=ENCODINGS, ids=lambda name: name.replace(" ", "-"))
def encoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    suffix, codec, options = ENCODINGS[request.param]
    path = tmp_path_factory.mktemp("encoded") / f"video.{suffix}"
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return encode(path, moving(70), rate=25, codec=codec, options=options, pixel_format=pixel_format)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=SPECS)
def test_selective_decode_equals_a_full_decode_bit_for_bit(encoded: Path, spec: ClipSpec) -> None:
    assert_same_as_full_decode(encoded, spec)


@pytest.mark.parametrize("frames_per_second", [1.5, 12])
def test_more_threads_give_the_same_pixels(encoded: Path, frames_per_second: float) -> None:
    spec = ClipSpec(num_frames=3, height=24, width=32, frames_per_second=frames_per_second, stride_seconds=1)
    assert_same_as_full_decode(encoded, spec, num_threads=2)


@pytest.mark.parametrize("seed", range(4))
def test_more_threads_give_the_same_pixels_of_a_damaged_file(encoded: Path, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(encoded.read_bytes())
    for start in rng.integers(len(content) // 8, len(content) * 7 // 8, 4):
        content[start : start + 20] = rng.bytes(20)
    damaged = tmp_path / f"damaged{encoded.suffix}"
    damaged.write_bytes(content)
    by_one, *by_several = (_pictures_by(damaged, num_threads) for num_threads in (1, 2, 2, 4, 8))
    for pictures in by_several:
        np.testing.assert_array_equal(pictures, by_one)


def _pictures_by(path: Path, num_threads: int) -> NDArray[np.uint8]:
    """All pictures of the clips, uint8 [N, H, W, 3]; none if the file cannot be decoded."""
    spec = ClipSpec(num_frames=8, height=120, width=160, frames_per_second=8, stride_seconds=1)
    try:
        with open_video(path, DecodeLimits(), num_threads) as video:
            return np.concatenate([clip.frames[clip.times.valid] for clip in video.clips(spec, video.plan(spec))])
    except VideoError:
        return np.zeros((0, spec.height, spec.width, 3), np.uint8)


@pytest.mark.parametrize("max_b_frames", ["0", "2"])
def test_false_keyframe_marks_are_detected(tmp_path: Path, max_b_frames: str) -> None:
    options = {"qp": "24", "preset": "medium", "g": "20", "bf": max_b_frames}
    path = encode(tmp_path / "video.mp4", moving(70), rate=25, options=options)
    # Without its list of keyframes, an MP4 marks all frames as keyframes.
    path.write_bytes(path.read_bytes().replace(b"stss", b"free"))
    spec = ClipSpec(num_frames=3, height=24, width=32, frames_per_second=1.2, stride_seconds=1)
    with open_video(path, DecodeLimits()) as video:
        assert list(video.clips(spec, video.plan(spec)))
        assert not video.report().warnings
    assert_same_as_full_decode(path, spec)


def test_a_file_too_large_for_memory_is_read_twice(tmp_path: Path) -> None:
    noise = [np.random.default_rng(number).integers(0, 256, (480, 640, 3), dtype=np.uint8) for number in range(8)]
    path = encode(tmp_path / "large.mkv", noise * 6, rate=25, options={"qp": "0", "g": "10"})
    assert path.stat().st_size > 17 << 20
    spec = ClipSpec(num_frames=3, height=24, width=32, frames_per_second=2, stride_seconds=1)
    assert_same_as_full_decode(path, spec)


@pytest.mark.parametrize(
    "path", shared_files("clips", ".mp4", ".webm", ".avi") or [None], ids=lambda path: path.stem if path else "none"
)
def test_real_videos_decode_exactly(path: Path | None) -> None:
    if path is None:
        pytest.skip("there is no ../shared/data/clips")
    if "1080p" in path.stem or "139s" in path.stem:
        pytest.skip("too large for a test; the decode benchmark checks it")
    spec = ClipSpec(num_frames=8, height=56, width=56, frames_per_second=2, stride_seconds=9)
    assert_same_as_full_decode(path, spec)
