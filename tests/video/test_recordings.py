"""Videos as recorders, phones, cameras and editors write them decode as players show them.

In painted videos, frame i has one grey level, which identifies the frame and its position.
"""

import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.packet import Packet
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from service.video.clip import Clip, ClipSpec, DecodeLimits, DecodeReport, VideoFacts
from service.video.decode import open_video
from service.video.errors import UnsupportedVideo, VideoTooLarge
from service.video.orientation import Orientation
from tests.support.recordings import (
    B_FRAMES,
    CROP_BOTTOM,
    CROP_LEFT,
    CROP_RIGHT,
    CROP_TOP,
    PROJECTION,
    SAMPLE_ENTRY,
    appended,
    begun_at_second_keyframe,
    clean_aperture,
    dahua,
    levels_in,
    matroska,
    program_stream,
    projection,
    remuxed,
    tracks,
    units,
    with_box,
    with_equal_times,
    with_hevc_orientation,
    with_presentation_as_decoding,
)
from tests.support.videos import audio_only, encode, grey, moving, painted

pytestmark = pytest.mark.slow

LEVELS = list(range(10, 250, 10))
"""24 frames; at 8 frames per second, 3 s."""
FIRST, SECOND = LEVELS[:12], LEVELS[12:]
EVERY_FRAME = ClipSpec(num_frames=400, height=16, width=16, frames_per_second=16, stride_seconds=400)
"""Samples each frame twice at 8 frames per second."""
SOME_FRAMES = ClipSpec(num_frames=4, height=16, width=16, frames_per_second=1, stride_seconds=4)


def decode(
    path: Path, spec: ClipSpec = EVERY_FRAME, limits: DecodeLimits | None = None
) -> tuple[Clip, VideoFacts, DecodeReport]:
    with open_video(path, limits or DecodeLimits()) as video:
        (clip,) = video.clips(spec, video.plan(spec))
        return clip, video.facts, video.report()


def shown(clip: Clip) -> tuple[list[int], list[float]]:
    """The grey level and the time of each frame that is shown, in order."""
    indices, positions = np.unique(clip.times.frame_indices[clip.times.valid], return_index=True)
    assert indices.tolist() == list(range(len(indices))), "a frame is missing"
    levels = [round(float(clip.frames[position].mean())) for position in positions]
    return levels, clip.times.times_seconds[positions].tolist()


def decode_long(path: Path) -> tuple[VideoFacts, DecodeReport]:
    """Facts and report of a video of several clips."""
    with open_video(path, DecodeLimits()) as video:
        for _ in video.clips(SOME_FRAMES, video.plan(SOME_FRAMES)):
            pass
        return video.facts, video.report()


def codes(report: DecodeReport) -> set[str]:
    return {warning.code for warning in report.warnings}


def assert_shows(path: Path, levels: Sequence[int], warnings: set[str], rate: float = 8) -> VideoFacts:
    clip, facts, report = decode(path, EVERY_FRAME.model_copy(update={"frames_per_second": 2 * rate}))
    found, times = shown(clip)
    assert found == pytest.approx(list(levels), abs=4)
    assert times == pytest.approx((np.arange(len(levels)) / rate).tolist(), abs=0.002)
    assert facts.num_frames == len(levels)
    assert facts.duration_seconds == pytest.approx(len(levels) / rate, abs=0.01)
    assert codes(report) == warnings
    return facts


# --- The pixel limit ---

SIZED = {
    "h264": ("mp4", "libx264", "yuv420p"),
    "hevc": ("mp4", "libx265", "yuv420p"),
    "vp8": ("webm", "libvpx", "yuv420p"),
    "vp9": ("webm", "libvpx-vp9", "yuv420p"),
    "av1": ("mp4", "libsvtav1", "yuv420p"),
    "mpeg4": ("mp4", "mpeg4", "yuv420p"),
    "mjpeg": ("avi", "mjpeg", "yuvj420p"),
    "prores": ("mov", "prores_ks", "yuv422p10le"),
    "ffv1": ("mkv", "ffv1", "yuv420p"),
}


@pytest.mark.parametrize("codec", SIZED)
@pytest.mark.parametrize(("width", "height"), [(216, 384), (384, 216), (130, 66)])
def test_the_pixel_limit_counts_shown_pixels(tmp_path: Path, codec: str, width: int, height: int) -> None:
    suffix, encoder, pixel_format = SIZED[codec]
    picture = grey(120, width, height)
    path = encode(tmp_path / f"video.{suffix}", [picture] * 3, codec=encoder, pixel_format=pixel_format)
    _, facts, _ = decode(path, limits=DecodeLimits(max_pixels_per_frame=width * height))
    assert (facts.width, facts.height) == (width, height)
    with pytest.raises(VideoTooLarge, match=f"{width}x{height}"):
        decode(path, limits=DecodeLimits(max_pixels_per_frame=width * height - 1))


def test_a_portrait_picture_of_the_documented_limit_is_decoded(tmp_path: Path) -> None:
    path = encode(tmp_path / "portrait.mp4", [grey(90, 2160, 3840)] * 2)
    _, facts, _ = decode(path)
    assert (facts.width, facts.height) == (2160, 3840)


def test_a_size_that_grows_within_the_video_is_refused(tmp_path: Path) -> None:
    small = painted(tmp_path / "small.ts", FIRST)
    large = encode(tmp_path / "large.ts", [grey(level, 96, 96) for level in SECOND])
    path = appended(tmp_path / "both.ts", small, large)
    with pytest.raises(VideoTooLarge, match="96x96"):
        decode(path, limits=DecodeLimits(max_pixels_per_frame=64 * 48))


# --- A clock that goes back or leaps ---

APPENDED: dict[str, tuple[str, dict[str, Any]]] = {
    "webm of vp8": ("webm", {"codec": "libvpx"}),
    "webm of vp9": ("webm", {"codec": "libvpx-vp9"}),
    "matroska with B-frames": ("mkv", {"options": B_FRAMES}),
    "matroska of hevc": ("mkv", {"codec": "libx265", "options": {"x265-params": "log-level=0"}}),
    "matroska of motion jpeg": ("mkv", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
    "transport stream with B-frames": ("ts", {"options": B_FRAMES}),
    "transport stream of hevc": ("ts", {"codec": "libx265", "options": {"x265-params": "log-level=0"}}),
}


@pytest.mark.parametrize("kind", APPENDED, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("cut", [12, 4, 20])
def test_joined_recordings_are_shown_one_after_the_other(tmp_path: Path, kind: str, cut: int) -> None:
    suffix, options = APPENDED[kind]
    parts = [
        painted(tmp_path / f"{number}.{suffix}", levels, **options)
        for number, levels in enumerate((LEVELS[:cut], LEVELS[cut:]))
    ]
    assert_shows(appended(tmp_path / f"both.{suffix}", *parts), LEVELS, {"clock_jumped"})


def test_joined_program_streams_are_shown_one_after_the_other(tmp_path: Path) -> None:
    options = {"codec": "mpeg2video", "options": {"qscale": "2"}, "rate": 25}
    parts = [painted(tmp_path / f"{level[0]}.mpg", level, **options) for level in (FIRST, SECOND)]
    assert_shows(appended(tmp_path / "both.mpg", *parts), LEVELS, {"clock_jumped"}, rate=25)


@pytest.mark.parametrize("seconds", ["20", "3600"])
@pytest.mark.parametrize("suffix", ["ts", "mpg"])
def test_times_continue_after_the_clock_leaps_forward(tmp_path: Path, suffix: str, seconds: str) -> None:
    options = {"codec": "mpeg2video", "rate": 25} if suffix == "mpg" else {"options": B_FRAMES, "rate": 25}
    first = painted(tmp_path / f"first.{suffix}", FIRST, **options)
    later = painted(tmp_path / f"later.{suffix}", SECOND, **options, container_options={"output_ts_offset": seconds})
    assert_shows(appended(tmp_path / f"both.{suffix}", first, later), LEVELS, {"clock_jumped"}, rate=25)


def test_a_gap_is_not_a_clock_leap(tmp_path: Path) -> None:
    times = [Fraction(number, 8) + (60 if number >= 12 else 0) for number in range(24)]
    facts, report = decode_long(painted(tmp_path / "pause.mkv", LEVELS, times=times))
    assert facts.duration_seconds == pytest.approx(63, abs=0.01)
    assert facts.num_frames == 24
    assert not codes(report)
    times = [Fraction(number, 8) + (5 if number >= 12 else 0) for number in range(24)]
    facts, report = decode_long(painted(tmp_path / "pause.ts", LEVELS, times=times))
    assert facts.duration_seconds == pytest.approx(8, abs=0.01)
    assert not codes(report)


# --- Timestamps that cannot be true ---


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "flv", "nut"])
def test_decode_times_in_place_of_presentation_times_are_detected(tmp_path: Path, suffix: str) -> None:
    source = levels_in(tmp_path / "source.mp4", LEVELS)
    path = remuxed(tmp_path / f"ascending.{suffix}", source, with_presentation_as_decoding)
    assert_shows(path, LEVELS, set())


def test_decode_times_are_detected_in_joined_recordings(tmp_path: Path) -> None:
    parts = [
        remuxed(
            tmp_path / f"{levels[0]}.ts",
            levels_in(tmp_path / f"{levels[0]}.mp4", levels),
            with_presentation_as_decoding,
        )
        for levels in (FIRST, SECOND)
    ]
    assert_shows(appended(tmp_path / "both.ts", *parts), LEVELS, {"clock_jumped"})


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_with_equal_times_are_counted(tmp_path: Path, codec: str) -> None:
    path = with_equal_times(painted(tmp_path / "equal.mp4", LEVELS, codec=codec))
    assert_shows(path, LEVELS, {"assumed_frame_rate"})


@pytest.mark.parametrize("options", [{}, {"options": B_FRAMES}, {"codec": "libx265"}], ids=["h264", "b", "hevc"])
def test_frames_of_a_raw_stream_are_counted_at_its_stated_rate(tmp_path: Path, options: dict[str, object]) -> None:
    suffix = "hevc" if "codec" in options else "h264"
    facts = assert_shows(painted(tmp_path / f"raw.{suffix}", LEVELS, **options), LEVELS, {"assumed_frame_rate"})
    assert facts.container == suffix


def test_a_long_part_removed_by_an_edit_list_does_not_change_other_times(tmp_path: Path) -> None:
    def begun_later(packets: list[Packet]) -> list[Packet]:
        for packet in packets:
            packet.pts -= round(2 / packet.time_base)
            packet.dts -= round(2 / packet.time_base)
        return packets

    source = painted(tmp_path / "whole.mp4", LEVELS, options={"g": "24", "bf": "0"})
    assert_shows(remuxed(tmp_path / "trimmed.mp4", source, begun_later), LEVELS[16:], set())


@pytest.mark.parametrize("position", [0, 1, 5, 23])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_one_wrong_presentation_time_loses_no_picture(tmp_path: Path, codec: str, position: int) -> None:
    def with_wrong_time(packets: list[Packet]) -> list[Packet]:
        packets[position].pts += round(3 / packets[position].time_base)
        return packets

    options = {"x265-params": "log-level=0:crf=10:bframes=3"} if codec == "libx265" else B_FRAMES
    source = painted(tmp_path / "source.mp4", LEVELS, codec=codec, options=options, rate=25)
    path = remuxed(tmp_path / "wrong.ts", source, with_wrong_time)
    assert_shows(path, LEVELS, set(), rate=25)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_pictures_with_equal_times_are_shown_in_decoder_order(tmp_path: Path, suffix: str) -> None:
    def with_shared_times(packets: list[Packet]) -> list[Packet]:
        order = sorted(packet.pts for packet in packets)
        for packet in packets[1::3]:
            packet.pts = max(order[order.index(packet.pts) - 1], packet.dts)
        return packets

    source = levels_in(tmp_path / "source.mp4", LEVELS, rate=25)
    clip, facts, report = decode(
        remuxed(tmp_path / f"shared.{suffix}", source, with_shared_times),
        EVERY_FRAME.model_copy(update={"frames_per_second": 100.0}),
    )
    assert shown(clip)[0] == pytest.approx(LEVELS, abs=4)
    assert facts.num_frames == 24
    assert "damaged_video" not in codes(report)


def test_gif_delays_of_a_hundredth_are_a_tenth_of_a_second_as_in_browsers(tmp_path: Path) -> None:
    path = painted(tmp_path / "fast.gif", LEVELS, codec="gif", pixel_format="rgb8", rate=100)
    clip, facts, _ = decode(path)
    assert shown(clip)[1] == pytest.approx([number / 10 for number in range(24)])
    assert facts.duration_seconds == pytest.approx(2.4)


# --- Pictures without a timestamp of their own ---


@pytest.mark.parametrize("pictures_per_packet", [1, 2, 3, 12])
@pytest.mark.parametrize("max_b_frames", ["0", "2"])
def test_all_pictures_of_a_packet_are_shown(tmp_path: Path, pictures_per_packet: int, max_b_frames: str) -> None:
    options = {"qp": "18", "preset": "medium", "bf": max_b_frames, "g": "12"}
    source = painted(tmp_path / "source.mp4", LEVELS, options=options, rate=25)
    path = program_stream(tmp_path / "packed.mpg", source, pictures_per_packet)
    assert_shows(path, LEVELS, set(), rate=25)


# --- Orientation ---

CORNERS = np.zeros((64, 64, 3), dtype=np.uint8)
CORNERS[:32, :32] = 240
CORNERS[:32, 32:] = 160
CORNERS[32:, :32] = 80
"""Four corners of different lightness, which show how the picture is rotated and mirrored."""
ORIENTATIONS = [(degrees, is_mirrored) for degrees in (0, 90, 180, 270) for is_mirrored in (False, True)]


def oriented(picture: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint8]:
    """Rotate and mirror the picture with plain numpy."""
    mirrored = picture[:, ::-1] if orientation.is_mirrored else picture
    return np.rot90(mirrored, -orientation.rotation_degrees // 90)


def assert_oriented(path: Path, expected: Orientation) -> None:
    clip, _, report = decode(path)
    assert Orientation(report.is_mirrored, report.rotation_degrees) == expected
    right = oriented(CORNERS, expected)[2::4, 2::4]
    for frame in clip.frames[clip.times.valid]:
        assert np.abs(frame.astype(int) - right).max() <= 8


@pytest.mark.parametrize(("degrees", "is_mirrored"), ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_the_whole_display_matrix_is_applied(tmp_path: Path, suffix: str, degrees: int, *, is_mirrored: bool) -> None:
    path = tmp_path / f"turned.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.set_display_rotation(degrees, hflip=is_mirrored)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(CORNERS, format="rgb24")))
        container.mux(stream.encode(None))
    # PyAV rotates counter-clockwise first, then mirrors, by its documentation.
    turned = np.rot90(CORNERS, degrees // 90)
    expected = Orientation(is_mirrored, (degrees if is_mirrored else -degrees) % 360)
    assert np.array_equal(oriented(CORNERS, expected), turned[:, ::-1] if is_mirrored else turned)
    assert_oriented(path, expected)


def side_data_of(frame: av.VideoFrame) -> dict[Type, bytes]:
    """The side data that PyAV reports for a frame."""
    # PyAV declares that the iterator yields strings.
    found: Any = frame.side_data
    return {data.type: bytes(data) for data in found}


@pytest.mark.parametrize(("degrees", "is_mirrored"), ORIENTATIONS)
def test_the_matroska_projection_is_applied(tmp_path: Path, degrees: int, *, is_mirrored: bool) -> None:
    source = encode(tmp_path / "source.mp4", [CORNERS] * 3)
    pose = projection(float(degrees if degrees <= 180 else degrees - 360), 180.0 if is_mirrored else 0.0)
    path = matroska(tmp_path / "turned.mkv", source, video={PROJECTION: pose})
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        by_type = side_data_of(frame)
    upright = np.array([1, 0, 0, 0, 1], dtype=np.int32).tobytes()
    a, b, _, c, d = (float(value) for value in np.frombuffer(by_type.get(Type.DISPLAYMATRIX, upright), np.int32)[:5])
    assert_oriented(path, Orientation.from_matrix((a, b, c, d)))


SEI = [(0, ""), (90, ""), (180, ""), (270, ""), (0, "horizontal"), (0, "vertical"), (90, "horizontal")]


@pytest.mark.parametrize(("degrees", "flip"), SEI)
@pytest.mark.parametrize("codec", ["h264"])
def test_an_orientation_message_applies_to_all_pictures(tmp_path: Path, codec: str, degrees: int, flip: str) -> None:
    source = encode(tmp_path / "source.mp4", [CORNERS] * 12, options={"g": "4"})
    message = f"{codec}_metadata=display_orientation=insert:rotate={degrees}" + (f":flip={flip}" if flip else "")
    path = remuxed(tmp_path / "turned.ts", source, filtered_by=message)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        by_type = side_data_of(frame)
    if Type.DISPLAYMATRIX in by_type:
        a, b, _, c, d = (float(value) for value in np.frombuffer(by_type[Type.DISPLAYMATRIX], dtype=np.int32)[:5])
        expected = Orientation.from_matrix((a, b, c, d))
    else:
        expected = Orientation()
    assert_oriented(path, expected)
    # The orientation also holds after a jump over the first pictures.
    spec = ClipSpec(num_frames=1, height=16, width=16, frames_per_second=0.4, stride_seconds=400)
    sparse, _, _ = decode(path, spec)
    every, _, _ = decode(path)
    assert np.array_equal(sparse.frames[0], every.frames[0])


@pytest.mark.parametrize(("quarter_turns", "is_mirrored"), [(0, True), (1, False), (2, False), (3, False), (1, True)])
def test_an_orientation_message_in_hevc_applies_to_all_pictures(
    tmp_path: Path, quarter_turns: int, *, is_mirrored: bool
) -> None:
    options = {"x265-params": "log-level=0:keyint=4:lossless=1"}
    source = encode(tmp_path / "source.ts", [CORNERS] * 12, codec="libx265", options=options)
    path = remuxed(tmp_path / "turned.ts", source, with_hevc_orientation(is_mirrored, quarter_turns))
    # The message mirrors first, then rotates anticlockwise.
    assert_oriented(path, Orientation(is_mirrored, -90 * quarter_turns % 360))


# --- Colours ---


@pytest.mark.parametrize("matrix", [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 200])
def test_colour_metadata_never_makes_a_picture_unreadable(tmp_path: Path, matrix: int) -> None:
    source = painted(tmp_path / "source.mp4", LEVELS)
    message = f"h264_metadata=matrix_coefficients={matrix}:colour_primaries=22:transfer_characteristics=18"
    path = remuxed(tmp_path / "tagged.mp4", source, filtered_by=message)
    is_common = matrix in (0, 1, 2, 4, 5, 6, 7, 9)
    assert_shows(path, LEVELS, set() if is_common else codes(decode(path)[2]) & {"assumed_colours"})
    if matrix in (8, 14):
        assert "assumed_colours" in codes(decode(path)[2])


# --- Tracks ---


def thumbnail(path: Path) -> Path:
    return encode(path, [grey(77)], codec="mjpeg", pixel_format="yuvj420p", rate=25)


@pytest.mark.parametrize("suffix", ["mov", "mkv"])
@pytest.mark.parametrize("default", [(), (0,), (1,), (0, 1)])
def test_a_thumbnail_track_is_not_decoded(tmp_path: Path, suffix: str, default: tuple[int, ...]) -> None:
    film = levels_in(tmp_path / "film.mp4", LEVELS)
    path = tracks(tmp_path / f"both.{suffix}", thumbnail(tmp_path / "thumbnail.mov"), film, default=default)
    assert_shows(path, LEVELS, {"other_tracks"})
    _, _, report = decode(path)
    (warning,) = (warning for warning in report.warnings if warning.code == "other_tracks")
    assert "track 1 (mjpeg, 64x48, 1 pictures)" in warning.message


@pytest.mark.parametrize(("default", "expected"), [((), 60), ((0,), 60), ((1,), 180), ((0, 1), 60)])
def test_the_default_track_of_two_is_decoded(tmp_path: Path, default: tuple[int, ...], expected: int) -> None:
    sources = [painted(tmp_path / f"{level}.mp4", [level] * 16) for level in (60, 180)]
    clip, _, report = decode(tracks(tmp_path / "two.mkv", *sources, default=default))
    assert shown(clip)[0] == pytest.approx([expected] * 16, abs=4)
    assert "other_tracks" in codes(report)


def test_a_track_without_pictures_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "empty_first.mp4"
    source = painted(tmp_path / "source.mp4", LEVELS)
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    with av.open(str(source)) as whole, av.open(str(path), "w", container_options=fragments) as out:
        track = whole.streams.video[0]
        out.add_stream_from_template(track)
        stream = out.add_stream_from_template(track)
        for packet in whole.demux(track):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    assert_shows(path, LEVELS, {"other_tracks"})


def test_a_video_with_an_unsupported_codec_is_refused_despite_its_thumbnail(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mkv", moving(12), codec="snow", options={"strict": "-2"})
    path = tracks(tmp_path / "both.mkv", thumbnail(tmp_path / "thumbnail.mov"), film)
    with pytest.raises(UnsupportedVideo, match="coded as snow"):
        decode(path)


# --- Durations ---


@pytest.mark.parametrize("shift_seconds", [0.0, 0.5, 7.0])
def test_a_matroska_file_that_starts_late_is_complete(tmp_path: Path, shift_seconds: float) -> None:
    source = painted(tmp_path / "source.mp4", LEVELS)
    path = matroska(tmp_path / "late.mkv", source, shift_seconds=shift_seconds, duration_seconds=3.0 + shift_seconds)
    assert_shows(path, LEVELS, set())


@pytest.mark.parametrize("kind", ["fragmented mp4", "nut", "asf"], ids=lambda name: name.replace(" ", "-"))
def test_a_live_recording_that_starts_late_is_complete(tmp_path: Path, kind: str) -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"} if kind == "fragmented mp4" else {}
    path = painted(
        tmp_path / f"late.{kind.rsplit(maxsplit=1)[-1]}",
        LEVELS,
        rate=25,
        options={"g": "8", "bf": "0"},
        container_options=fragments | {"output_ts_offset": "100"},
    )
    assert_shows(path, LEVELS, set(), rate=25)


@pytest.mark.parametrize("shift_seconds", [0.0, 7.0])
def test_the_last_picture_lasts_until_the_stated_end_of_a_complete_matroska_file(
    tmp_path: Path, shift_seconds: float
) -> None:
    source = painted(tmp_path / "source.mp4", LEVELS)
    path = matroska(
        tmp_path / "standing.mkv", source, shift_seconds=shift_seconds, duration_seconds=22.875 + shift_seconds
    )
    _, facts, report = decode(path)
    assert facts.duration_seconds == pytest.approx(22.875)
    assert facts.num_frames == 24
    assert not codes(report)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(path.read_bytes()[:-200])
    assert "truncated_video" in codes(decode(cut)[2])


# --- Cropping ---

FRAMED = np.zeros((64, 96, 3), dtype=np.uint8)
FRAMED[:, 16:80] = 128
"""A grey square between two black borders."""


def assert_grey_square(path: Path) -> None:
    clip, facts, _ = decode(path)
    assert (facts.width, facts.height) == (64, 64)
    assert np.abs(clip.frames[0].astype(int) - 128).max() <= 4


def test_the_clean_aperture_of_an_mp4_is_applied(tmp_path: Path) -> None:
    path = encode(tmp_path / "cropped.mp4", [FRAMED] * 3)
    assert_grey_square(with_box(path, SAMPLE_ENTRY, clean_aperture(64, 64)))


def test_a_clean_aperture_may_be_off_centre(tmp_path: Path) -> None:
    aside = np.roll(FRAMED, 16, axis=1)
    path = encode(tmp_path / "cropped.mp4", [aside] * 3)
    assert_grey_square(with_box(path, SAMPLE_ENTRY, clean_aperture(64, 64, right_by=16)))


def test_a_clean_aperture_outside_the_picture_is_ignored(tmp_path: Path) -> None:
    path = encode(tmp_path / "cropped.mp4", [FRAMED] * 3)
    _, facts, _ = decode(with_box(path, SAMPLE_ENTRY, clean_aperture(64, 64, right_by=40)))
    assert (facts.width, facts.height) == (96, 64)


def test_the_matroska_crop_is_applied(tmp_path: Path) -> None:
    source = encode(tmp_path / "source.mp4", [FRAMED] * 3)
    assert_grey_square(matroska(tmp_path / "cropped.mkv", source, video={CROP_LEFT: 16, CROP_RIGHT: 16}))
    standing = encode(tmp_path / "standing.mp4", [np.rot90(FRAMED)] * 3)
    assert_grey_square(matroska(tmp_path / "cropped.mkv", standing, video={CROP_TOP: 16, CROP_BOTTOM: 16}))


def test_the_crop_is_applied_before_pixels_are_made_square(tmp_path: Path) -> None:
    source = encode(tmp_path / "source.mp4", [FRAMED] * 3)
    display = {CROP_LEFT: 16, CROP_RIGHT: 16, 0x54B0: 128, 0x54BA: 64}
    path = matroska(tmp_path / "wide.mkv", source, video=display)
    spec = EVERY_FRAME.model_copy(update={"fit": "letterbox"})
    clip, facts, _ = decode(path, spec)
    assert (facts.width, facts.height) == (64, 64)
    # Twice as wide as high: a quarter at the top and at the bottom stays black.
    rows = clip.frames[0][:, 8, 0]
    assert rows.tolist() == pytest.approx([0] * 4 + [128] * 8 + [0] * 4, abs=4)


@pytest.mark.parametrize("left", [2, 8, 16, 30])
def test_cropping_at_the_left_edge_of_a_stream_is_exact(tmp_path: Path, left: int) -> None:
    picture = np.zeros((64, 96, 3), dtype=np.uint8)
    picture[:, left:] = 128
    source = encode(tmp_path / "source.mp4", [picture] * 3)
    path = remuxed(tmp_path / "cropped.mp4", source, filtered_by=f"h264_metadata=crop_left={left}:crop_right=0")
    clip, facts, _ = decode(path)
    assert (facts.width, facts.height) == (96 - left, 64)
    assert np.abs(clip.frames[0].astype(int) - 128).max() <= 4


# --- Packets that are never shown ---

CUT = {
    "h264": {"codec": "libx264", "options": {"qp": "18", "x264-params": "open-gop=1:keyint=8:bframes=3:scenecut=0"}},
    "mpeg2": {"codec": "mpeg2video", "options": {"g": "8", "bf": "2", "qscale": "2", "sc_threshold": "1000000000"}},
    "hevc": {
        "codec": "libx265",
        "options": {"x265-params": "log-level=0:open-gop=1:keyint=8:bframes=3:scenecut=0:crf=10"},
    },
}


@pytest.mark.parametrize("codec", CUT)
@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_a_recording_that_starts_in_an_open_group_starts_with_its_first_decodable_picture(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    source = painted(tmp_path / f"source.{suffix}", LEVELS, rate=25, **CUT[codec])
    path = remuxed(tmp_path / f"cut.{suffix}", source, begun_at_second_keyframe)
    with av.open(str(path)) as container:
        expected = [round(float(frame.to_ndarray(format="rgb24").mean())) for frame in container.decode(video=0)]
    assert 8 < len(expected) < 20
    assert_shows(path, expected, set(), rate=25)


# --- Formats and refusals ---

SUPPORTED = {
    "animated gif": ("gif", "gif", "rgb8"),
    "animated png": ("apng", "apng", "rgb24"),
    "animated avif": ("avif", "libsvtav1", "yuv420p"),
    "y4m": ("y4m", "rawvideo", "yuv420p"),
    "mxf": ("mxf", "mpeg2video", "yuv420p"),
    "ivf": ("ivf", "libvpx-vp9", "yuv420p"),
    "nut": ("nut", "ffv1", "yuv420p"),
    "raw pixels in avi": ("avi", "rawvideo", "bgr24"),
    "raw pixels in mov": ("mov", "rawvideo", "rgb24"),
    "raw pixels in matroska": ("mkv", "rawvideo", "yuv420p"),
    "huffyuv": ("avi", "huffyuv", "yuv422p"),
    "ffvhuff": ("avi", "ffvhuff", "yuv420p"),
    "ut video": ("avi", "utvideo", "yuv420p"),
    "ffv1 in avi": ("avi", "ffv1", "yuv420p"),
    "png in mov": ("mov", "png", "rgb24"),
    "quicktime animation": ("mov", "qtrle", "rgb24"),
    "cinepak": ("avi", "cinepak", "rgb24"),
    "cineform": ("mov", "cfhd", "yuv422p10le"),
    "jpeg 2000": ("mkv", "jpeg2000", "yuv420p"),
    "magicyuv": ("avi", "magicyuv", "yuv420p"),
    "v210": ("mov", "v210", "yuv422p10le"),
    "sorenson": ("mov", "svq1", "yuv410p"),
}


@pytest.mark.parametrize("kind", SUPPORTED, ids=lambda name: name.replace(" ", "-"))
def test_formats_of_laboratories_cameras_and_screen_recorders_are_decoded(tmp_path: Path, kind: str) -> None:
    suffix, codec, pixel_format = SUPPORTED[kind]
    rate = 25 if suffix == "mxf" else 8
    size = (128, 96) if codec == "cfhd" else (64, 48)
    path = encode(
        tmp_path / f"video.{suffix}",
        [grey(level, *size) for level in LEVELS],
        codec=codec,
        pixel_format=pixel_format,
        rate=rate,
    )
    clip, facts, report = decode(path, EVERY_FRAME.model_copy(update={"frames_per_second": 2.0 * rate}))
    levels, times = shown(clip)
    assert levels == pytest.approx(LEVELS, abs=12)
    assert np.diff(times) == pytest.approx(1 / rate, abs=0.006)
    assert facts.num_frames == 24
    assert not codes(report)


def test_dnxhd_is_decoded(tmp_path: Path) -> None:
    pictures = [grey(level, 1280, 720) for level in LEVELS[::6]]
    options = {"b": "90M", "profile": "dnxhr_sq"}
    path = encode(tmp_path / "video.mov", pictures, codec="dnxhd", pixel_format="yuv422p", options=options)
    clip, _, _ = decode(path)
    assert shown(clip)[0] == pytest.approx(LEVELS[::6], abs=4)


def test_dv_is_decoded(tmp_path: Path) -> None:
    pictures = [grey(level, 720, 576) for level in LEVELS[::6]]
    path = encode(tmp_path / "video.dv", pictures, codec="dvvideo", pixel_format="yuv420p", rate=25)
    clip, facts, _ = decode(path, EVERY_FRAME.model_copy(update={"frames_per_second": 50.0}))
    assert facts.container == "dv"
    assert shown(clip)[0] == pytest.approx(LEVELS[::6], abs=4)


def test_recordings_of_dahua_cameras_are_decoded(tmp_path: Path) -> None:
    path = dahua(tmp_path / "camera.dav", painted(tmp_path / "source.mp4", LEVELS, rate=25))
    assert assert_shows(path, LEVELS, set(), rate=25).container == "dav"


def assert_refused(path: Path, *words: str) -> None:
    with pytest.raises(UnsupportedVideo) as caught:
        decode(path)
    for word in words:
        assert word in str(caught.value)


CONVERSION_ADVICE = ("Supported containers: MP4", "ffmpeg -i INPUT")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", ("The file is empty", *CONVERSION_ADVICE), id="empty"),
        pytest.param(b"%PDF-1.4\n" + bytes(99), ("PDF", *CONVERSION_ADVICE), id="pdf"),
        pytest.param(b"PK\3\4" + bytes(99), ("ZIP", *CONVERSION_ADVICE), id="zip"),
        pytest.param(b".RMF\0\0\0\x12\0\1" + bytes(99), ("RealMedia", *CONVERSION_ADVICE), id="realmedia"),
        pytest.param(b"RIFF\x24\0\0\0WAVEfmt " + bytes(99), ("WAV", *CONVERSION_ADVICE), id="wav"),
        pytest.param(b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(99), ("JPEG", *CONVERSION_ADVICE), id="jpeg"),
        pytest.param(
            b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\2\0\0\0" + bytes(99),
            ("animated image (WEBP)", *CONVERSION_ADVICE),
            id="webp",
        ),
        pytest.param(b"Milk, eggs, bread.\n" * 9, ("text file", *CONVERSION_ADVICE), id="text"),
        pytest.param(b"<!DOCTYPE html>\n<html><body>Sign in" * 9, ("HTML page", *CONVERSION_ADVICE), id="html"),
        pytest.param(random.Random(7).randbytes(999), ("format is unknown", *CONVERSION_ADVICE), id="noise"),  # noqa: S311
    ],
)
def test_an_error_names_the_file_format_and_how_to_convert_it(
    tmp_path: Path, content: bytes, words: tuple[str, ...]
) -> None:
    path = tmp_path / "file.mp4"
    path.write_bytes(content)
    assert_refused(path, *words)
    # The message does not depend on previous calls.
    assert_refused(path, *words)


def test_an_error_names_the_unsupported_codec(tmp_path: Path) -> None:
    path = encode(tmp_path / "video.mkv", moving(4), codec="snow", options={"strict": "-2"})
    assert_refused(path, "coded as snow", *CONVERSION_ADVICE)


def test_an_encrypted_track_is_refused_as_encrypted(tmp_path: Path) -> None:
    source = levels_in(tmp_path / "source.mp4", LEVELS)
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "0123456789abcdef" * 2, "encryption_kid": "00" * 16}
    path = remuxed(tmp_path / "encrypted.mp4", source, container_options=key)
    assert_refused(path, "h264 track is encrypted", "without encryption")


def test_a_scrambled_transport_stream_is_refused_as_encrypted(tmp_path: Path) -> None:
    content = bytearray(painted(tmp_path / "clear.ts", LEVELS).read_bytes())
    for start in range(0, len(content), 188):
        if (content[start + 1] & 0x1F) << 8 | content[start + 2] == 0x100:
            content[start + 3] |= 0x80
            payload = start + 4 + (1 + content[start + 4] if content[start + 3] & 0x20 else 0)
            content[payload : start + 188] = bytes(byte ^ 0x5A for byte in content[payload : start + 188])
    path = tmp_path / "scrambled.ts"
    path.write_bytes(content)
    assert_refused(path, "h264 track is encrypted", "without encryption")


def test_an_encrypted_matroska_track_is_refused_as_encrypted(tmp_path: Path) -> None:
    source = painted(tmp_path / "source.mp4", LEVELS)
    assert_refused(matroska(tmp_path / "encrypted.mkv", source, is_encrypted=True), "h264 track is encrypted")


def test_the_error_for_sound_alone_says_how_to_convert_it(tmp_path: Path) -> None:
    assert_refused(audio_only(tmp_path / "sound.mp4"), "no video track", *CONVERSION_ADVICE)


@pytest.mark.parametrize("suffix", ["gif", "apng", "avif"])
def test_a_single_picture_is_a_still_image_in_each_format(tmp_path: Path, suffix: str) -> None:
    codec, pixel_format = {
        "gif": ("gif", "rgb8"),
        "apng": ("apng", "rgb24"),
        "avif": ("libsvtav1", "yuv420p"),
    }[suffix]
    path = encode(tmp_path / f"still.{suffix}", [grey(99)], codec=codec, pixel_format=pixel_format)
    assert_refused(path, "still image", *CONVERSION_ADVICE)


@pytest.mark.parametrize(
    "brand",
    ["avif", "jpeg", "jpgs", "miaf", "mif2", "avci", "vvic", "evbi", "j2ki", "heic", "isom", "mp42", "qt  ", "abcd"],
)
def test_an_image_file_is_a_still_image_whatever_brand_it_states(tmp_path: Path, brand: str) -> None:
    path = encode(tmp_path / "still.avif", [grey(99)], codec="libsvtav1", pixel_format="yuv420p")
    content = path.read_bytes()
    assert content[4:12] == b"ftypavif"
    path.write_bytes(content[:8] + brand.encode() + content[12:])
    assert_refused(path, "still image", *CONVERSION_ADVICE)


@pytest.mark.parametrize("brand", ["avis", "jpgs", "isom"])
def test_an_image_sequence_is_a_video_whatever_brand_it_states(tmp_path: Path, brand: str) -> None:
    path = encode(tmp_path / "moving.avif", moving(10, 32, 32), codec="libsvtav1", pixel_format="yuv420p")
    content = path.read_bytes()
    path.write_bytes(content[:8] + brand.encode() + content[12:])
    _, _, report = decode(path)
    assert "other_tracks" not in codes(report)


def test_a_movie_of_a_single_frame_is_a_video(tmp_path: Path) -> None:
    clip, _, _ = decode(painted(tmp_path / "one.mp4", [99]))
    assert len(shown(clip)[0]) == 1


def test_the_test_files_contain_all_units_of_the_source(tmp_path: Path) -> None:
    source = levels_in(tmp_path / "source.mp4", LEVELS)
    assert len(list(units(source))) == 24
