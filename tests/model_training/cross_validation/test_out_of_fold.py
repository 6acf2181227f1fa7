"""Out-of-fold predictions of exported models and of the baselines."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_training.datasets.decoding import decode_examples
from model_training.datasets.examples import Example
from model_training.evaluation.baselines import baselines_over_folds
from model_training.progress import RunProgress
from tests.support.training.fold_data import FROZEN
from tests.support.training.small_config import small_config

pytestmark = pytest.mark.tensorflow


def test_baselines_predict_each_fold_from_the_other_folds(videos: list[Example], tmp_path: Path) -> None:
    decoded = decode_examples(videos, small_config().clip, tmp_path / "cache").videos
    both, one = (baselines_over_folds(decoded, folds, ("a", "b")) for folds in ((0, 1), (1,)))
    assert (both.num_videos, one.num_videos) == (8, 4)
    assert both.mean_frame.accuracy == 1
    assert both.majority.accuracy == 0.5
    # With swapped labels in the training fold, the predictions are swapped.
    swapped = [
        replace(video, example=replace(video.example, labels=("ab"[video.example.labels == ("a",)],)))
        if video.example.fold == 0
        else video
        for video in decoded
    ]
    assert baselines_over_folds(swapped, (1,), ("a", "b")).mean_frame.accuracy == 0


def test_exported_models_predict_each_video_of_their_held_out_fold(videos: list[Example], tmp_path: Path) -> None:
    from model_training.cross_validation.fold_data import FoldData
    from model_training.cross_validation.metrics import cross_validation_metrics
    from model_training.cross_validation.out_of_fold import out_of_fold_predictions

    config = small_config(architecture="cnn", stages=(FROZEN.model_copy(update={"num_epochs": 2}),))
    decoded = decode_examples(videos, config.clip, tmp_path / "cache").videos
    clips = [clip for video in decoded for clip in video.clips]
    directory = tmp_path / "folds"
    directory.mkdir()

    def predict_folds(is_stopping: Any) -> Any:
        data = FoldData(videos, ("a", "b"), clips, directory, RunProgress(), is_stopping)
        return out_of_fold_predictions(config, data, None, folds=(0, 1), seeds=(1, 2))

    runs = predict_folds(lambda: False)
    assert [(one.seed, one.fold) for one in runs] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert all(example.fold == one.fold for one in runs for example in one.examples)
    # Finished folds are read from disk: a run that is interrupted before its first step returns the same predictions.
    for one, other in zip(runs, predict_folds(lambda: True), strict=True):
        for prediction, again in zip(one.predictions, other.predictions, strict=True):
            for name in ("probabilities", "clip_probabilities", "attention", "times_seconds", "valid"):
                np.testing.assert_array_equal(getattr(prediction, name), getattr(again, name))
    metrics = cross_validation_metrics(config, ("a", "b"), runs, "command")
    correct = [
        "ab"[int(prediction.probabilities.argmax())] == example.label
        for one in runs
        for prediction, example in zip(one.predictions, one.examples, strict=True)
    ]
    assert metrics.accuracy == pytest.approx(np.mean(correct), abs=1e-4)
    assert metrics.num_videos == len(videos)
    assert metrics.accuracy_deviation == pytest.approx(
        np.std([np.mean(correct[: len(videos)]), np.mean(correct[len(videos) :])], ddof=1), abs=1e-4
    )
