"""Decoding of each kind of video. In painted videos, frame i has one grey level, which identifies the frame."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from service.video.clip import Clip, ClipSpec, DecodeLimits, DecodeReport, VideoFacts
from service.video.decode import open_video
from service.video.errors import UnreadableVideo, UnsupportedVideo, VideoTooLarge
from tests.support.videos import audio_only, encode, grey, moving, painted

pytestmark = pytest.mark.slow

LEVELS = range(10, 250, 10)
"""24 frames; at 8 frames per second, 3 s."""

SPEC = ClipSpec(num_frames=8, height=32, width=32, frames_per_second=4, stride_seconds=1)
X264 = {"qp": "18", "preset": "medium"}


def decode(
    path: Path, spec: ClipSpec = SPEC, limits: DecodeLimits | None = None
) -> tuple[list[Clip], VideoFacts, DecodeReport]:
    with open_video(path, limits or DecodeLimits()) as video:
        clips = list(video.clips(spec, video.plan(spec)))
        return clips, video.facts, video.report()


def levels(clip: Clip) -> list[int]:
    """The grey level of each valid frame."""
    return [round(float(frame.mean())) for frame in clip.frames[clip.times.valid]]


def assert_levels(clip: Clip, expected: Sequence[int], tolerance: int = 4) -> None:
    assert levels(clip) == pytest.approx(list(expected), abs=tolerance)


def codes(report: DecodeReport) -> set[str]:
    return {warning.code for warning in report.warnings}


EXPECTED = [20, 40, 60, 80, 100, 120, 140, 160]
"""The frames on screen at 125 ms and every 250 ms after: frames 1, 3, 5, ..."""

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mp4": ("mp4", {}),
    "mov": ("mov", {}),
    "matroska": ("mkv", {}),
    "transport stream": ("ts", {}),
    "flv": ("flv", {}),
    "avi": ("avi", {"options": X264 | {"bf": "3"}}),
    "avi of mpeg4": ("avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
    "webm of vp8": ("webm", {"codec": "libvpx"}),
    "webm of vp9": ("webm", {"codec": "libvpx-vp9"}),
    "mp4 of av1": ("mp4", {"codec": "libsvtav1"}),
    "mp4 of hevc": ("mp4", {"codec": "libx265", "options": {"x265-params": "log-level=0"}}),
    "B-frames first shown late": ("mp4", {"options": X264 | {"bf": "4"}}),
    "fragments without a duration": ("mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "ten bits": ("mp4", {"pixel_format": "yuv420p10le", "options": X264}),
    "4:2:2": ("mp4", {"pixel_format": "yuv422p", "options": X264}),
    "4:4:4": ("mp4", {"pixel_format": "yuv444p", "options": X264}),
    "full range": ("mp4", {"pixel_format": "yuvj420p", "options": X264}),
    "alpha": ("webm", {"codec": "libvpx-vp9", "pixel_format": "yuva420p"}),
    "lossless ffv1": ("mkv", {"codec": "ffv1"}),
    "motion jpeg": ("avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
    "interlaced": ("mp4", {"options": X264 | {"flags": "+ilme+ildct"}}),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda name: name.replace(" ", "-"))
def test_frames_are_selected_by_presentation_time(tmp_path: Path, kind: str) -> None:
    suffix, options = KINDS[kind]
    clips, facts, report = decode(painted(tmp_path / f"video.{suffix}", LEVELS, **options))
    assert_levels(clips[0], EXPECTED, tolerance=6)
    assert len(clips) == 2
    assert clips[-1].times.end_seconds == pytest.approx(3, abs=0.01)
    assert facts.num_frames == 24
    assert facts.frame_rate == pytest.approx(8, rel=0.01)
    assert not facts.is_variable_frame_rate
    assert not codes(report)


def test_a_variable_rate_and_its_constant_rate_copy_give_the_same_clip(tmp_path: Path) -> None:
    changes = {0: 20, 3: 90, 4: 150, 9: 60, 13: 200, 14: 30, 20: 250}
    at_last = max(time for time in changes)
    constant = [changes[max(change for change in changes if change <= eighth)] for eighth in range(24)]
    times = [Fraction(eighth, 8) for eighth in changes]
    variable = painted(tmp_path / "variable.mp4", [*changes.values(), 250], times=[*times, Fraction(23, 8)])
    assert at_last < 23
    varying, facts, _ = decode(variable)
    steady, _, _ = decode(painted(tmp_path / "constant.mp4", constant))
    assert facts.is_variable_frame_rate
    assert len(varying) == len(steady)
    for one, other in zip(varying, steady, strict=True):
        assert np.array_equal(one.frames, other.frames)


def test_times_that_start_late_count_from_the_first_frame(tmp_path: Path) -> None:
    times = [Fraction(7) + Fraction(number, 8) for number in range(24)]
    clips, facts, _ = decode(painted(tmp_path / "late.mkv", LEVELS, times=times))
    assert_levels(clips[0], EXPECTED)
    assert clips[0].times.times_seconds[0] == pytest.approx(0.125)
    assert facts.duration_seconds == pytest.approx(3)


def test_quicktime_frames_with_negative_times_are_not_shown(tmp_path: Path) -> None:
    times = [Fraction(number - 12, 8) for number in range(24)]
    clips, facts, _ = decode(painted(tmp_path / "early.mov", LEVELS, times=times))
    assert facts.num_frames == 12
    assert_levels(clips[0], [140, 160, 180, 200, 220, 240])


def test_grey_pixels_equal_those_of_a_plain_conversion(tmp_path: Path) -> None:
    path = painted(tmp_path / "grey.mp4", LEVELS, pixel_format="gray", options=X264)
    clips, _, _ = decode(path)
    with av.open(str(path)) as container:
        plain = [float(frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(video=0)]
    assert levels(clips[0]) == pytest.approx(plain[1:17:2], abs=1)


def test_frames_removed_by_an_edit_list_are_not_shown(tmp_path: Path) -> None:
    source = painted(tmp_path / "whole.mp4", LEVELS, options={"g": "24", "bf": "0"})
    trimmed = tmp_path / "trimmed.mp4"
    with av.open(str(source)) as whole, av.open(str(trimmed), "w") as out:
        stream = out.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(whole.streams.video[0]):
            if packet.size:
                # The first second gets negative times.
                packet.pts -= int(1 / packet.time_base)
                packet.dts -= int(1 / packet.time_base)
                packet.stream = stream
                out.mux(packet)
    clips, facts, report = decode(trimmed)
    assert facts.num_frames == 16
    assert facts.duration_seconds == pytest.approx(2)
    assert_levels(clips[0], [100, 120, 140, 160, 180, 200, 220, 240])
    assert not codes(report)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_display_rotation_is_applied_and_reported(tmp_path: Path, degrees: int) -> None:
    # The stored picture is bright at the top.
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    picture[:16] = 250
    path = encode(tmp_path / "turned.mp4", [picture] * 8, rotation_degrees=degrees)
    clips, _, report = decode(path)
    reference = cv2.VideoCapture(str(path))
    reference.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    upright = cv2.resize(reference.read()[1], (32, 32), interpolation=cv2.INTER_AREA)
    reference.release()
    assert np.abs(clips[0].frames[0].astype(int) - upright).max() <= 6
    assert report.rotation_degrees in (90, 180, 270)
    assert report.rotation_degrees % 180 == degrees % 180


def test_odd_sizes_are_fitted(tmp_path: Path) -> None:
    path = encode(tmp_path / "odd.mkv", [grey(level, 51, 37) for level in LEVELS], codec="ffv1", pixel_format="yuv444p")
    clips, facts, _ = decode(path)
    assert (facts.width, facts.height) == (51, 37)
    assert_levels(clips[0], EXPECTED)


def test_each_picture_is_fitted_when_the_size_changes(tmp_path: Path) -> None:
    parts = [
        painted(tmp_path / "small.ts", list(LEVELS)[:12], options={"g": "12"}),
        encode(tmp_path / "large.ts", [grey(level, 96, 80) for level in list(LEVELS)[12:]], options={"g": "12"}),
    ]
    path = tmp_path / "both.ts"
    with av.open(str(path), "w") as out:
        stream = None
        for number, part in enumerate(parts):
            with av.open(str(part)) as source:
                stream = stream or out.add_stream_from_template(source.streams.video[0])
                first = None
                for packet in source.demux(source.streams.video[0]):
                    if packet.size:
                        first = packet.dts if first is None else first
                        packet.pts += number * 135_000 - first
                        packet.dts += number * 135_000 - first
                        packet.stream = stream
                        out.mux(packet)
    clips, facts, _ = decode(path)
    assert (facts.width, facts.height) == (64, 48)
    assert_levels(clips[0], EXPECTED)


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    clips, facts, _ = decode(painted(tmp_path / "one.mp4", [77]))
    assert len(clips) == 1
    assert clips[0].times.valid.tolist() == [True] + [False] * 7
    assert_levels(clips[0], [77])
    assert not clips[0].frames[1:].any()
    assert facts.num_frames == 1


def test_a_frame_is_repeated_until_the_next_one(tmp_path: Path) -> None:
    clips, _, _ = decode(painted(tmp_path / "slow.mp4", [50, 100, 150], rate=1))
    assert_levels(clips[0], [50, 50, 50, 50, 100, 100, 100, 100])


def tracks(path: Path, *pictures: int, sound: bool = False) -> Path:
    """A video with one track for each grey level in `pictures`, optionally with sound."""
    with av.open(str(path), "w") as container:
        streams = []
        for _ in pictures:
            stream = container.add_stream("libx264", rate=8, options={"qp": "0"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            streams.append(stream)
        audio = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for _ in range(16):
            for stream, level in zip(streams, pictures, strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(level), format="rgb24")))
        for number in range(32):
            if audio is None:
                break
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 16000, number * 1024
            container.mux(audio.encode(silence))
        for stream in streams:
            container.mux(stream.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def test_the_first_of_two_video_tracks_is_decoded(tmp_path: Path) -> None:
    clips, _, _ = decode(tracks(tmp_path / "two.mkv", 60, 180))
    assert_levels(clips[0], [60] * 8)


def test_sound_is_ignored_and_reported(tmp_path: Path) -> None:
    clips, facts, report = decode(tracks(tmp_path / "sound.mp4", 60, sound=True))
    assert facts.has_audio
    assert_levels(clips[0], [60] * 8)
    assert not codes(report) - {"frozen_video"}


def test_sound_alone_is_not_a_video(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedVideo, match="no video track: it holds audio"):
        decode(audio_only(tmp_path / "sound.mp4"))


def test_a_cover_picture_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(9), format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(UnsupportedVideo, match="no video track"):
        decode(path)


def test_hdr_is_not_tone_mapped(tmp_path: Path) -> None:
    path = tmp_path / "hdr.mp4"
    options = {"x265-params": "log-level=0:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"}
    clips, _, _ = decode(painted(path, LEVELS, codec="libx265", pixel_format="yuv420p10le", options=options))
    assert_levels(clips[0], EXPECTED)


LIMITS = {
    "pixels": DecodeLimits(max_pixels_per_frame=64 * 47),
    "seconds": DecodeLimits(max_duration_seconds=2.9),
    "packets": DecodeLimits(max_packets=23),
}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_each_limit_applies(tmp_path: Path, limits: DecodeLimits) -> None:
    path = painted(tmp_path / "video.mp4", LEVELS)
    with pytest.raises(VideoTooLarge):
        decode(path, limits=limits)
    exact = DecodeLimits(max_pixels_per_frame=64 * 48, max_duration_seconds=3, max_packets=24)
    assert decode(path, limits=exact)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_truncated_video_gives_clips_and_a_warning(tmp_path: Path, suffix: str) -> None:
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    whole = encode(tmp_path / f"whole.{suffix}", moving(48), container_options=options, options=X264 | {"g": "12"})
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    clips, facts, report = decode(cut)
    assert clips
    assert facts.num_frames < 40
    assert codes(report) & {"truncated_video", "damaged_video"}
    assert not codes(decode(whole)[2])


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi"])
def test_a_slightly_truncated_video_is_detected_by_its_header(tmp_path: Path, suffix: str) -> None:
    codec, options = ("libvpx", {}) if suffix == "webm" else ("libx264", X264 | {"g": "12"})
    container_options = {"movflags": "faststart"} if suffix in {"mp4", "mov"} else {}
    whole = encode(
        tmp_path / f"whole.{suffix}",
        moving(60),
        rate=25,
        codec=codec,
        options=options,
        container_options=container_options,
    )
    assert not codes(decode(whole)[2])
    cut = tmp_path / f"cut.{suffix}"
    with av.open(str(whole)) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.pos is not None]
    # Cut exactly at the start of a packet, so that no packet is damaged.
    cut.write_bytes(whole.read_bytes()[: sorted(positions)[46] - (8 if suffix == "avi" else 0)])
    _, facts, report = decode(cut)
    assert 40 <= facts.num_frames < 50
    assert codes(report) & {"truncated_video", "damaged_video"}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_damaged_video_gives_clips_and_a_warning(tmp_path: Path, suffix: str) -> None:
    whole = encode(tmp_path / f"whole.{suffix}", moving(48), options=X264 | {"g": "12"})
    content = bytearray(whole.read_bytes())
    rng = np.random.default_rng(3)
    third = len(content) // 3
    for position in rng.integers(third, 2 * third, 400):
        content[position] = rng.integers(256)
    damaged = tmp_path / f"damaged.{suffix}"
    damaged.write_bytes(content)
    clips, _, report = decode(damaged, SPEC.model_copy(update={"frames_per_second": 8.0}))
    assert clips
    assert "damaged_video" in codes(report)


def test_a_video_without_a_decodable_frame_is_unreadable(tmp_path: Path) -> None:
    path = painted(tmp_path / "video.mp4", LEVELS)
    content = bytearray(path.read_bytes())
    data = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    content[data:end] = b"\xff" * (end - data)
    path.write_bytes(content)
    with pytest.raises(UnreadableVideo):
        decode(path)
