"""Cross-validation in memory: out-of-fold predictions, stored results and shuffled frames."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_training.cross_validation.correctness import is_correct
from model_training.datasets.clip_cache import CachedClip
from model_training.errors import TrainingInterrupted
from tests.support.training.fold_data import FROZEN, fold_data, separable_features
from tests.support.training.small_config import small_config

pytestmark = pytest.mark.tensorflow


def test_each_video_is_predicted_by_a_network_that_was_not_trained_on_its_fold(
    clips: list[CachedClip], tmp_path: Path
) -> None:
    from model_training.cross_validation.folds import held_out_predictions

    config = small_config(architecture="cnn", stages=(FROZEN,))
    data = fold_data(clips, tmp_path)
    predictions = held_out_predictions(config, data, separable_features(clips), folds=(0, 1), seeds=(1,))
    assert [prediction.example for prediction in predictions] == [clip.example for clip in clips]
    assert all(is_correct(one.probabilities, one.example.labels, data.labels, sums_to_one=True) for one in predictions)
    assert not any(
        is_correct(one.shuffled_probabilities, one.example.labels, data.labels, sums_to_one=True) for one in predictions
    )
    # Finished folds are read from disk: a run that is interrupted before its first step returns the same predictions.
    again = held_out_predictions(
        config, fold_data(clips, tmp_path, lambda: True), separable_features(clips), folds=(0, 1), seeds=(1,)
    )
    for one, other in zip(again, predictions, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz", ".npz"]


@pytest.mark.parametrize("changed", ["fold", "event_seconds"])
def test_stored_predictions_of_other_folds_or_events_are_not_used(
    clips: list[CachedClip], tmp_path: Path, changed: str
) -> None:
    from model_training.cross_validation.folds import held_out_predictions

    def changed_clip(clip: CachedClip) -> CachedClip:
        swapped = {"group-0": 1, "group-4": 0}.get(clip.example.group, clip.example.fold)
        change = {"fold": swapped} if changed == "fold" else {"event_seconds": (0.0, 1.0)}
        return replace(clip, example=replace(clip.example, **change))

    config = small_config(architecture="cnn", stages=(FROZEN.model_copy(update={"num_epochs": 1}),))
    held_out_predictions(config, fold_data(clips, tmp_path), separable_features(clips), folds=(0, 1), seeds=(1,))
    others = [changed_clip(clip) for clip in clips]
    # These folds are not on disk, and this run is interrupted before it can train them.
    with pytest.raises(TrainingInterrupted):
        held_out_predictions(
            config, fold_data(others, tmp_path, lambda: True), separable_features(others), folds=(0, 1), seeds=(1,)
        )


def test_shuffled_clips_keep_the_frames_and_change_their_order(clips: list[CachedClip]) -> None:
    from model_training.cross_validation.fold_data import ShuffledClip

    clip = clips[3]
    short = np.array([True, True, True, False])
    shuffled = ShuffledClip(clip.example, clip.cache_file, clip.index, short, clip.times_seconds).frames()
    levels = shuffled[:, 0, 0, 0].tolist()
    assert sorted(levels[:3]) == [3, 53, 103]
    assert levels[3] == 153
    orders = {
        tuple(ShuffledClip(c.example, c.cache_file, c.index, c.valid, c.times_seconds).frames()[:, 0, 0, 0] - c.index)
        for c in clips
    }
    assert len(orders) > 1


def test_independent_labels_are_correct_only_if_all_are() -> None:
    for probabilities, expected in (([0.9, 0.1, 0.6], True), ([0.9, 0.6, 0.6], False), ([0.9, 0.1, 0.2], False)):
        assert is_correct(np.array(probabilities), ("a", "c"), ("a", "b", "c"), sums_to_one=False) is expected
