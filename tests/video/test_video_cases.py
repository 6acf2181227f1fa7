"""Sample recordings beside the repository, each with its expected frames, duration and warnings."""

from dataclasses import dataclass, field

import pytest

from service.video.clip import ClipSpec, DecodeLimits
from service.video.decode import open_video
from service.video.errors import UnsupportedVideo
from tests.support.shared_data import shared_data

pytestmark = pytest.mark.slow

SPEC = ClipSpec(num_frames=400, height=16, width=16, frames_per_second=16, stride_seconds=400)
RISING = tuple(range(10, 250, 10))
"""The grey levels of most samples, 24 frames."""
JOINED_LEVELS = tuple(level + 10 for level in RISING)


@dataclass(frozen=True)
class Expected:
    """Expected values of a sample; `levels` are empty if unknown."""

    num_frames: int
    seconds: float
    warnings: set[str] = field(default_factory=set)
    levels: tuple[int, ...] = ()
    size: tuple[int, int] = (64, 48)


JOINED, STILL = {"clock_jumped"}, {"frozen_video"}
SAMPLES = {
    "portrait_4k.mp4": Expected(8, 1.0, size=(2160, 3840)),
    "concat.webm": Expected(24, 3.0, JOINED, JOINED_LEVELS),
    "concat.mpg": Expected(24, 0.96, JOINED),
    "concat.ts": Expected(24, 3.0, JOINED, JOINED_LEVELS),
    "concat_still_then_jump.webm": Expected(196, 7.84, JOINED, size=(320, 240)),
    "noctts_libx264.mp4": Expected(24, 3.0, levels=RISING),
    "ps264_bf0_every2.mpg": Expected(60, 2.4, size=(160, 96)),
    "ps264_bf2_every2.mpg": Expected(60, 2.4, size=(160, 96)),
    "matrix_hflip.mp4": Expected(8, 1.0, STILL, size=(96, 64)),
    "matrix_vflip.mp4": Expected(8, 1.0, STILL, size=(96, 64)),
    "matrix_transpose.mp4": Expected(8, 1.0, STILL, size=(96, 64)),
    "matrix_sei_rot90.ts": Expected(8, 1.0, STILL, size=(96, 64)),
    "matrixcoef_ycgco.mp4": Expected(8, 1.0, {"assumed_colours"}),
    "matrixcoef_bt2020c.mp4": Expected(8, 1.0, {"assumed_colours"}),
    "jump_forward.ts": Expected(24, 3.0, JOINED, JOINED_LEVELS),
    "thumb_first.mov": Expected(24, 3.0, {"other_tracks"}, RISING),
    "first_track_empty.mp4": Expected(24, 0.96, {"other_tracks"}),
    "late7s.mkv": Expected(24, 3.0, levels=RISING),
    "last_20s.mp4": Expected(24, 22.875, levels=RISING),
    "last_20s.mkv": Expected(24, 22.875, levels=RISING),
    "crop_clap.mp4": Expected(8, 1.0, STILL, (128,) * 8, size=(64, 64)),
    "crop_mkv.mkv": Expected(8, 1.0, STILL, (128,) * 8, size=(64, 64)),
    "opengop_start_264.ts": Expected(36, 1.44),
    "stts_zero.mp4": Expected(24, 3.0, {"assumed_frame_rate"}, RISING),
    "kind_avif.avif": Expected(24, 3.0, levels=RISING),
    "kind_gif.gif": Expected(24, 3.01, levels=RISING),
    "kind_apng.apng": Expected(24, 3.0, levels=RISING),
    "dahua.dav": Expected(24, 0.96),
    "kind_raw264.h264": Expected(24, 3.0, {"assumed_frame_rate"}, RISING),
    "kind_rawvideo.avi": Expected(24, 3.0, levels=RISING),
    "kind_png.mov": Expected(24, 3.0, levels=RISING),
    "kind_huffyuv.avi": Expected(24, 3.0, levels=RISING),
    "kind_mxf.mxf": Expected(75, 3.0),
    "kind_y4m.y4m": Expected(24, 3.0, levels=RISING),
    "kind_cinepak.avi": Expected(24, 3.0, levels=RISING),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_decodes_as_players_show_it(name: str) -> None:
    expected = SAMPLES[name]
    with open_video(shared_data("video_cases") / name, DecodeLimits()) as video:
        (clip,) = video.clips(SPEC, video.plan(SPEC))
        report = video.report()
    assert video.facts.num_frames == expected.num_frames
    assert video.facts.duration_seconds == pytest.approx(expected.seconds, abs=0.015)
    assert (video.facts.width, video.facts.height) == expected.size
    assert {warning.code for warning in report.warnings} == expected.warnings
    assert report.num_frames_missing == 0
    if expected.levels:
        firsts = [list(clip.times.frame_indices).index(number) for number in range(len(expected.levels))]
        assert [float(clip.frames[position].mean()) for position in firsts] == pytest.approx(expected.levels, abs=4)


def test_an_encrypted_sample_is_refused_as_encrypted() -> None:
    path = shared_data("video_cases") / "cenc_moving.mp4"
    with pytest.raises(UnsupportedVideo, match="encrypted"), open_video(path, DecodeLimits()):
        pass
