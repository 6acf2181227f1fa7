"""Changed videos: frames, times and pixels, and the predictions of the grey model."""

from pathlib import Path

import av
import numpy as np
import pytest

from model_training.datasets.examples import Example
from model_training.evaluation.changed_video import Change, write_changed
from model_training.evaluation.robustness import CHANGES, measure_robustness
from service.inference.manifest import read_manifest
from tests.support.videos import encode, grey, painted


def _frames(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(float(frame.time or 0), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def test_kept_frames_keep_their_times_and_pixels(tmp_path: Path) -> None:
    source = painted(tmp_path / "source.mp4", range(40, 200, 10))
    write_changed(source, tmp_path / "half.mp4", CHANGES["half the frame rate"])
    clean, half = _frames(source), _frames(tmp_path / "half.mp4")
    assert [time for time, _ in half] == pytest.approx([time for time, _ in clean[::2]], abs=1e-3)
    for (_, one), (_, other) in zip(half, clean[::2], strict=True):
        assert abs(float(one.mean()) - float(other.mean())) < 3


@pytest.mark.parametrize("rate", [8, 30])
def test_only_frames_on_screen_in_a_segment_are_written(rate: int, tmp_path: Path) -> None:
    # The grey level identifies a frame; B-frames are decoded in another order than they are shown.
    levels = [10 + 20 * (number % 12) for number in range(120)]
    source = painted(tmp_path / "source.mp4", levels, rate=rate, options={"bf": "3", "g": "12"})
    start, end = 50.5 / rate, 60 / rate
    write_changed(source, tmp_path / "part.mp4", Change(), (start, end))
    part = _frames(tmp_path / "part.mp4")
    assert [picture.mean() for _, picture in part] == pytest.approx(levels[50:60], abs=6)
    expected = [0.0, *(number / rate - start for number in range(51, 60))]
    assert [time for time, _ in part] == pytest.approx(expected, abs=1e-3)


def test_a_segment_past_the_end_of_its_video_is_written_up_to_the_end(tmp_path: Path) -> None:
    source = painted(tmp_path / "source.mp4", range(10, 34))
    for start, levels in ((2.0, range(26, 34)), (2.99, [33])):
        write_changed(source, tmp_path / "part.mp4", Change(), (start, 9.0))
        assert [round(picture.mean()) for _, picture in _frames(tmp_path / "part.mp4")] == pytest.approx(levels, abs=2)


def test_frames_are_scaled_and_darkened(tmp_path: Path) -> None:
    source = encode(tmp_path / "source.mp4", [grey(200, 70, 46)] * 4)
    write_changed(source, tmp_path / "small.mp4", Change(scale=0.5, brightness=0.5))
    pictures = [picture for _, picture in _frames(tmp_path / "small.mp4")]
    assert pictures[0].shape == (22, 34, 3)
    assert pictures[0].mean() == pytest.approx(100, abs=3)


def test_a_rotated_video_is_written_upright(tmp_path: Path) -> None:
    source = encode(tmp_path / "turned.mp4", [grey(90, 64, 48)] * 4, rotation_degrees=90)
    write_changed(source, tmp_path / "upright.mp4", Change())
    assert _frames(tmp_path / "upright.mp4")[0][1].shape[:2] == (64, 48)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_same_change_gives_the_same_bytes(change: Change, tmp_path: Path) -> None:
    source = painted(tmp_path / "source.mp4", range(40, 200, 20))
    written = [tmp_path / f"{number}{change.suffix}" for number in range(2)]
    for path in written:
        write_changed(source, path, change)
    one, other = ([picture for _, picture in _frames(path)] for path in written)
    np.testing.assert_array_equal(one, other)


@pytest.mark.tensorflow
def test_the_grey_model_is_sensitive_to_darkening_only(grey_models_dir: Path, tmp_path: Path) -> None:
    from model_training.evaluation.exported_model import ExportedModel  # noqa: PLC0415

    directory = grey_models_dir / "grey" / "1"
    examples = [
        Example(painted(tmp_path / f"{level}.mp4", [level] * 8), (label,), str(level))
        for level, label in ((30, "dark"), (170, "bright"), (200, "bright"))
    ]
    found = measure_robustness(ExportedModel(directory), read_manifest(directory), examples)
    assert found.num_videos == 3
    assert found.clean_accuracy == 1
    assert found.changes["darkened to 40 %"].agreement == pytest.approx(1 / 3, abs=1e-3)
    assert found.changes["half the frame rate"].accuracy == 1
    assert found.changes["half the frame rate"].mean_probability_shift < 0.02
