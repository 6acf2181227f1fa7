"""Warnings about black, frozen and unusual pictures."""

from pathlib import Path

import numpy as np
import pytest

from service.video.appearance import clip_appearance, luminance, sharpness
from service.video.clip import ClipSpec, DecodeLimits
from service.video.decode import open_video
from service.video.quality import Appearance, PictureEnvelope, PictureQuality, is_black, median_appearance, sampled_rows
from tests.support.videos import encode, grey, moving, painted

SPEC = ClipSpec(num_frames=8, height=32, width=32, frames_per_second=4, stride_seconds=1)


def codes(path: Path) -> list[str]:
    with open_video(path, DecodeLimits()) as video:
        assert list(video.clips(SPEC, video.plan(SPEC)))
        return [warning.code for warning in video.report().warnings]


def test_luminance_is_the_mean_grey() -> None:
    assert luminance(grey(77)) == pytest.approx(77)


def test_blur_lowers_sharpness() -> None:
    (sharp,) = moving(1)
    blurred = (sharp.astype(int) + np.roll(sharp, 1, 1) + np.roll(sharp, 2, 1)) // 3
    assert sharpness(blurred.astype(np.uint8)) < 0.7 * sharpness(sharp)
    assert sharpness(grey(9)) == 0


def test_sharpness_is_exactly_the_mean_step_between_neighbours() -> None:
    random = np.random.default_rng(0)
    for height, width in ((32, 32), (33, 7), (1, 2), (160, 224)):
        wider = random.integers(0, 256, (height, width + 5, 3), dtype=np.uint8)
        for picture in (wider, wider[:, 3:-2], wider[::-1]):
            steps = np.abs(np.diff(picture[::4, :, 1].astype(np.int16), axis=1))
            assert sharpness(picture) == float(steps.mean())


def test_a_picture_one_pixel_wide_has_no_steps() -> None:
    assert sharpness(np.full((8, 1, 3), 200, dtype=np.uint8)) == 0


@pytest.mark.parametrize(("level", "black"), [(0, True), (16, True), (23, True), (24, False), (200, False)])
def test_a_picture_is_black_below_the_threshold(level: int, *, black: bool) -> None:
    assert is_black(sampled_rows(grey(level))) is black


def test_a_dark_picture_with_a_light_is_not_black() -> None:
    picture = grey(2)
    picture[8:16, 8:16] = 90
    assert not is_black(sampled_rows(picture))


def test_a_dark_video_is_reported(tmp_path: Path) -> None:
    assert codes(painted(tmp_path / "dark.mp4", [3] * 12 + [90, 120, 150, 200])) == ["black_video"]


def test_a_frozen_video_is_reported(tmp_path: Path) -> None:
    assert codes(painted(tmp_path / "still.mp4", [120] * 16)) == ["frozen_video"]


def test_a_moving_video_has_no_warning(tmp_path: Path) -> None:
    assert codes(encode(tmp_path / "moving.mp4", moving(16))) == []


def test_a_single_frame_is_not_frozen(tmp_path: Path) -> None:
    assert codes(painted(tmp_path / "one.mp4", [120])) == []


def test_no_pictures_give_no_warning() -> None:
    assert not list(PictureQuality().warnings())


ENVELOPE = PictureEnvelope.of(Appearance(float(level), level / 10) for level in range(101))


def test_an_envelope_holds_the_percentiles_of_its_clips() -> None:
    assert ENVELOPE.num_clips == 101
    assert ENVELOPE.luminance.model_dump() == {"p1": 1, "p5": 5, "p95": 95, "p99": 99}
    assert ENVELOPE.sharpness.model_dump() == {"p1": 0.1, "p5": 0.5, "p95": 9.5, "p99": 9.9}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Appearance(50, 5), []),
        (Appearance(1, 0.1), []),
        (Appearance(99, 1e9), []),
        (Appearance(0.9, 5), ["darker_than_training"]),
        (Appearance(99.1, 5), ["brighter_than_training"]),
        (Appearance(50, 0.09), ["blurrier_than_training"]),
        (Appearance(0, 0), ["darker_than_training", "blurrier_than_training"]),
    ],
)
def test_pictures_outside_the_envelope_give_warnings(seen: Appearance, expected: list[str]) -> None:
    warnings = list(ENVELOPE.warnings(seen))
    assert [warning.code for warning in warnings] == expected
    assert all("than 99 % of the training clips" in warning.message for warning in warnings)


def test_the_appearance_of_a_clip_is_the_mean_of_its_valid_frames() -> None:
    frames = np.stack([grey(10), grey(30), grey(255)])
    assert clip_appearance(frames, np.array([True, True, False])) == Appearance(20, 0)


def test_the_appearance_of_a_video_is_the_median_of_its_clips() -> None:
    clips = [Appearance(10, 1), Appearance(200, 9), Appearance(20, 2)]
    assert median_appearance(clips) == Appearance(20, 2)
