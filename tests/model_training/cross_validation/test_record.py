"""The record of a cross-validation: which configs, data and records it fits."""

import json
from pathlib import Path

import pytest

from model_training.cross_validation.record import (
    CrossValidationRecord,
    VideoOutcome,
    compute_advantage,
    read_cross_validation,
    read_record,
)
from model_training.datasets.examples import Example
from model_training.errors import TrainingDataError
from model_training.evaluation.results import CrossValidation
from tests.support.training.small_config import small_config


def _record(path: Path, *videos: VideoOutcome) -> Path:
    """A record of a cross-validation of the small config: labels a and b, four videos in fold 0."""
    values = {
        **dict.fromkeys(("accuracy", "macro_f1", "expected_calibration_error", "model_milliseconds_per_clip"), 0.5),
        **dict.fromkeys(("accuracy_deviation", "accuracy_deviation_over_folds", "macro_f1_deviation"), 0.1),
        "expected_calibration_error_deviation": 0.1,
        "folds": [0],
        "seeds": [1],
        "num_videos": 4,
        "num_groups": 4,
        "command": "a test",
    }
    metrics = CrossValidation.model_validate(values)
    record = CrossValidationRecord(config=small_config(), labels=("a", "b"), metrics=metrics, videos=videos)
    path.write_text(record.model_dump_json())
    return path


def _examples(labels: str, num_folds: int = 1) -> list[Example]:
    return [Example(Path(f"{i}.mp4"), (label,), str(i), i % num_folds) for i, label in enumerate(labels)]


def _outcome(number: int, seed: int, *, is_right: bool) -> VideoOutcome:
    """Video `number`, of label a and group `number`."""
    probabilities = (0.9, 0.1) if is_right else (0.1, 0.9)
    return VideoOutcome(
        path=f"{number}.mp4", labels=("a",), group=str(number), fold=0, seed=seed, probabilities=probabilities
    )


def test_a_record_of_another_dataset_is_rejected(tmp_path: Path) -> None:
    record, config = _record(tmp_path / "folds.json"), small_config()
    # The held-out fold may differ, and so may the videos of folds outside the record.
    held = config.model_copy(update={"held_out_fold": 1})
    assert read_cross_validation(held, _examples("aabbaabb", 2), record, skip_unreadable=False).num_videos == 4
    with pytest.raises(TrainingDataError, match="this record has the labels a, b, and the data a, b, c"):
        read_cross_validation(config, _examples("aabc"), record, skip_unreadable=False)
    with pytest.raises(TrainingDataError, match="this record has 4 videos, and the data 3 in the same folds"):
        read_cross_validation(config, _examples("aab"), record, skip_unreadable=True)
    with pytest.raises(TrainingDataError, match="this record has 4 videos, and the data 5 in the same folds"):
        read_cross_validation(config, _examples("aabba"), record, skip_unreadable=False)


def test_a_record_may_have_fewer_videos_if_unreadable_ones_are_left_out(tmp_path: Path) -> None:
    record = _record(tmp_path / "folds.json")
    assert read_cross_validation(small_config(), _examples("aabba"), record, skip_unreadable=True).num_videos == 4


def test_an_advantage_is_measured_on_the_videos_in_both_records(tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    _record(one, *(_outcome(number, seed, is_right=True) for number in range(8) for seed in (1, 2)))
    # One seed, four other videos, and half of the shared videos wrong.
    _record(other, *(_outcome(number, 1, is_right=number % 2 == 0) for number in range(4, 12)))
    better, worse = (CrossValidationRecord.model_validate_json(path.read_bytes()) for path in (one, other))
    advantage = compute_advantage(better, worse, other)
    assert (advantage.than, advantage.num_videos, advantage.accuracy_difference) == ("other.json", 4, 0.5)
    assert advantage.interval is not None
    assert 0 <= advantage.interval.low < 0.5 < advantage.interval.high <= 1
    back = compute_advantage(worse, better, one)
    assert back.accuracy_difference == -0.5


def test_an_advantage_needs_shared_videos_and_the_same_labels(tmp_path: Path) -> None:
    path = _record(tmp_path / "one.json", _outcome(1, 1, is_right=True))
    one = CrossValidationRecord.model_validate_json(path.read_bytes())
    elsewhere = one.model_copy(update={"videos": (_outcome(2, 1, is_right=True),)})
    with pytest.raises(TrainingDataError, match=r"one\.json: this record has no video in common with the data"):
        compute_advantage(elsewhere, one, path)
    with pytest.raises(TrainingDataError, match=r"one\.json: this record has the labels a, b, not a, c"):
        compute_advantage(one.model_copy(update={"labels": ("a", "c")}), one, path)


def test_a_record_with_the_former_key_figures_can_be_read(tmp_path: Path) -> None:
    path = _record(tmp_path / "folds.json")
    content = json.loads(path.read_text())
    content["figures"] = content.pop("metrics")
    path.write_text(json.dumps(content))
    assert read_record(path).metrics.num_videos == 4
