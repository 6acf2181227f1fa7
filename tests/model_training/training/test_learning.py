"""The effect of steps and epochs on the weights of a small network."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_training.config import HeadConfig, OptimiserConfig, StageConfig, TrainConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.errors import TrainingInterrupted
from model_training.progress import RunProgress
from model_training.training.checkpoint import Arrays, read_checkpoint
from tests.support.training.noise_clips import noise_clips
from tests.support.training.small_config import small_config

pytestmark = pytest.mark.tensorflow

NUM_TRAINING = 7
STEADY = OptimiserConfig(decay="none", warmup_fraction=0)
STAGE = StageConfig(name="all", num_epochs=1, learning_rate=1e-2, backbone="all", batch_norm="frozen")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[CachedClip]:
    """Ten clips; the first seven are for training."""
    return noise_clips(tmp_path_factory.mktemp("clips"), 10)


def _config(stage: StageConfig = STAGE, **changes: Any) -> TrainConfig:
    head = HeadConfig(feature_width=8, dropout=0.0)
    return small_config(**{"architecture": "cnn", "head": head, "stages": (stage,), "optimiser": STEADY, **changes})


def _train(
    config: TrainConfig, clips: list[CachedClip], directory: Path, is_stopping: Callable[[], bool] = lambda: False
) -> tuple[Any, list[dict[str, Any]]]:
    from model_training.training.loop import train_network
    from model_training.training.plan import TrainingPlan

    directory.mkdir(exist_ok=True)
    training, validation = clips[:NUM_TRAINING], clips[NUM_TRAINING:]
    with RunProgress() as display:
        return train_network(TrainingPlan(config, ("a", "b"), training, validation, directory, display, is_stopping))


def _numbers(network: Any) -> Arrays:
    return [variable.numpy() for variable in network.variables]


def test_stage_stops_after_its_patience_with_the_weights_of_its_best_epoch(
    clips: list[CachedClip], tmp_path: Path
) -> None:
    # The validation labels are swapped, so the validation loss soon rises.
    swapped = {"a": "b", "b": "a"}
    misled = clips[:NUM_TRAINING] + [
        replace(clip, example=replace(clip.example, labels=(swapped[clip.example.label],)))
        for clip in clips[NUM_TRAINING:]
    ]
    stage = STAGE.model_copy(update={"num_epochs": 40, "patience_epochs": 3})
    stopped, history = _train(_config(stage), misled, tmp_path / "stopped")
    best = int(np.argmin([epoch["validation_loss"] for epoch in history]))
    assert len(history) == best + 1 + 3
    assert [number for number, epoch in enumerate(history) if epoch["is_kept"]][-1] == best
    # The learning rate does not decay, so a run of exactly this many epochs takes the same steps.
    short, _ = _train(_config(STAGE.model_copy(update={"num_epochs": best + 1})), misled, tmp_path / "short")
    for one, other in zip(_numbers(stopped), _numbers(short), strict=True):
        np.testing.assert_array_equal(one, other)


def test_averaged_weights_equal_the_ema_of_every_step(clips: list[CachedClip], tmp_path: Path) -> None:
    config = _config(optimiser=STEADY.model_copy(update={"ema_decay": 0.9}))
    steps: list[Arrays] = []
    for _ in range(3):
        with pytest.raises(TrainingInterrupted):
            _train(config, clips, tmp_path, is_stopping=lambda: True)
        checkpoint = read_checkpoint(tmp_path / "checkpoint.npz")
        assert checkpoint is not None
        steps.append(checkpoint.weights)
        before = checkpoint.best_weights
    averaged, _ = _train(config, clips, tmp_path)
    moved = 0
    for start, *own, found in zip(before, *steps, _numbers(averaged), strict=True):
        expected = start
        for step, weights in enumerate(own):
            decay = (1 + step) / (10 + step)
            expected = decay * expected + (1 - decay) * weights
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        moved += not np.allclose(found, own[-1], rtol=1e-3)
    assert moved > 4


@pytest.mark.parametrize("batch_norm", ["frozen", "updated"])
def test_batch_norm_is_updated_only_if_configured(batch_norm: str, clips: list[CachedClip], tmp_path: Path) -> None:
    import keras

    network, _ = _train(_config(STAGE.model_copy(update={"batch_norm": batch_norm})), clips, tmp_path)
    layers = [layer for layer in network.backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(layers) == 4
    for layer in layers:
        # Initial scale, offset, mean and variance.
        fresh = [1, 0, 0, 1]
        has_moved = [not np.all(value == first) for value, first in zip(layer.get_weights(), fresh, strict=True)]
        assert has_moved == [batch_norm == "updated"] * 4


def test_only_the_backbone_computes_in_half_precision(clips: list[CachedClip], tmp_path: Path) -> None:
    from model_training.networks.network import build_network

    config = _config(precision="mixed_bfloat16")
    network = build_network(config, 2, is_pretrained=False)
    assert {layer.compute_dtype for layer in network.backbone.layers if layer.weights} == {"bfloat16"}
    assert {layer.compute_dtype for layer in network.head.layers if layer.weights} == {"float32"}
    assert {variable.dtype for variable in network.backbone.variables} == {"float32"}
    (half,), (full,) = (
        _train(_config(precision=precision), clips, tmp_path / precision)[1]
        for precision in ("mixed_bfloat16", "float32")
    )
    assert half["loss"] != full["loss"]
    assert half["loss"] == pytest.approx(full["loss"], rel=0.05)
