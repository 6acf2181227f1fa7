"""The comparison of architectures and its recommendation."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Any

import pytest

from model_training.datasets.clip_cache import CachedClip
from model_training.evaluation.results import Interval
from tests.support.training.fold_data import FROZEN, fold_data
from tests.support.training.small_config import small_config

pytestmark = pytest.mark.tensorflow


def _metrics(architecture: str, accuracy: float, shuffling_low: float) -> Any:
    from model_training.cross_validation.architectures import ArchitectureMetrics

    return ArchitectureMetrics(
        architecture=architecture,  # type: ignore[arg-type]
        accuracy=accuracy,
        accuracy_by_seed=(accuracy,),
        accuracy_deviation=0,
        shuffled_accuracy=accuracy - 0.1,
        shuffling_costs=0.1,
        shuffling_costs_interval=Interval(low=shuffling_low, high=0.3),
        milliseconds_per_clip=1,
        num_parameters=1,
    )


def _difference(architecture: str, than: str, low: float) -> Any:
    from model_training.cross_validation.architectures import Difference

    interval = Interval(low=low, high=low + 0.2)
    return Difference(architecture=architecture, than=than, accuracy_difference=low + 0.1, interval=interval)  # type: ignore[arg-type]


def test_three_architectures_are_compared_on_the_same_videos(clips: list[CachedClip], tmp_path: Path) -> None:
    from model_training.cross_validation.architectures import compare_architectures

    stage = FROZEN.model_copy(update={"num_epochs": 1})
    comparison = compare_architectures(
        small_config(stages=(stage,)), fold_data(clips, tmp_path), folds=(1,), seeds=(1,)
    )
    assert [one.architecture for one in comparison.architectures] == ["cnn", "cnn_bilstm", "cnn_bilstm_attention"]
    assert comparison.num_videos == 8
    assert comparison.num_groups == 4
    assert all(one.milliseconds_per_clip > 0 and one.accuracy_interval is not None for one in comparison.architectures)
    assert [(pair.architecture, pair.than) for pair in comparison.differences] == [
        ("cnn_bilstm", "cnn"),
        ("cnn_bilstm_attention", "cnn"),
        ("cnn_bilstm_attention", "cnn_bilstm"),
    ]
    assert comparison.advice.startswith("Use cnn")


def test_a_costlier_architecture_is_recommended_only_if_it_is_significantly_better() -> None:
    from model_training.cross_validation.architectures import advise

    architectures = [
        _metrics("cnn", 0.7, -0.1),
        _metrics("cnn_bilstm", 0.75, 0.02),
        _metrics("cnn_bilstm_attention", 0.76, 0.1),
    ]
    insignificant = [
        _difference("cnn_bilstm", "cnn", -0.05),
        _difference("cnn_bilstm_attention", "cnn", -0.04),
        _difference("cnn_bilstm_attention", "cnn_bilstm", -0.09),
    ]
    advice = advise(architectures, insignificant)
    assert advice.startswith("Use cnn (")
    assert "no architecture with a longer view over time is significantly better" in advice
    assert "the order of frames does not matter significantly" in advice
    significant = [_difference("cnn_bilstm", "cnn", 0.01), *insignificant[1:]]
    advice = advise(architectures, significant)
    assert advice.startswith("Use cnn_bilstm (")
    assert "the order of frames matters: shuffling the frames costs 0.100" in advice
