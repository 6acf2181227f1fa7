"""Interruption, pruning, weight clipping and logging of training runs, on a small network."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_training.config import HeadConfig, OptimiserConfig, StageConfig, TrainConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.errors import TrainingError, TrainingInterrupted
from model_training.export.card import pruning_effects
from model_training.progress import RunProgress
from model_training.training.checkpoint import Checkpoint, read_checkpoint
from tests.support.training.full_disk import full_disk
from tests.support.training.noise_clips import noise_clips
from tests.support.training.small_config import STAGES, small_config

pytestmark = pytest.mark.tensorflow

NUM_TRAINING = 7
# `cnn` is the fastest to trace, and it has all kinds of state that a run must restore.
CONFIG = small_config(
    architecture="cnn",
    stages=(
        STAGES[0],
        StageConfig(
            name="pruned", num_epochs=2, learning_rate=1e-3, backbone="all", batch_norm="updated", pruned_fraction=0.5
        ),
    ),
    optimiser=OptimiserConfig(ema_decay=0.9),
    head=HeadConfig(feature_width=8, lstm_units=4, attention_width=4, num_attention_heads=2, max_weight_norm=0.5),
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[CachedClip]:
    """Ten clips of noise, brighter where the label is `b`; one of them is short."""
    return noise_clips(tmp_path_factory.mktemp("clips"), 10)


def _never() -> bool:
    return False


def _train(
    clips: list[CachedClip], directory: Path, config: TrainConfig = CONFIG, is_stopping: Callable[[], bool] = _never
) -> tuple[Any, list[dict[str, Any]]]:
    from model_training.training.loop import train_network
    from model_training.training.plan import TrainingPlan

    directory.mkdir(exist_ok=True)
    with RunProgress() as display:
        return train_network(
            TrainingPlan(
                config, ("a", "b"), clips[:NUM_TRAINING], clips[NUM_TRAINING:], directory, display, is_stopping
            )
        )


def _checkpoint(directory: Path) -> Checkpoint:
    checkpoint = read_checkpoint(directory / "checkpoint.npz")
    assert checkpoint is not None
    return checkpoint


@pytest.fixture(scope="module")
def whole(clips: list[CachedClip], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    directory = tmp_path_factory.mktemp("whole")
    _train(clips, directory)
    return directory


def test_run_interrupted_in_every_stage_ends_with_the_weights_of_an_uninterrupted_run(
    whole: Path, clips: list[CachedClip], tmp_path: Path
) -> None:
    # `is_stopping` is polled for each of three batches of features and after each of an epoch's three steps. The run
    # stops while it computes features, inside the first stage, and at the last step of an epoch of the second.
    for num_polls in (1, 4, 6):
        answers = iter([False] * num_polls)
        with pytest.raises(TrainingInterrupted, match="run the same command again"):
            _train(clips, tmp_path, is_stopping=lambda answers=answers: next(answers, True))  # type: ignore[misc]
    assert not _checkpoint(tmp_path).state.is_finished
    _train(clips, tmp_path)
    resumed, expected = _checkpoint(tmp_path), _checkpoint(whole)
    assert resumed.state.history == expected.state.history
    for one, other in zip(resumed.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_pruning_reaches_the_configured_sparsity(whole: Path) -> None:
    history = _checkpoint(whole).state.history
    (effect,) = pruning_effects(history, ["pruned"])
    assert effect["before"]["sparsity"] < 0.05
    assert 0.4 < effect["after"]["sparsity"] < 0.55
    assert effect["after"]["validation_loss"] > 0
    assert [entry["is_kept"] for entry in history if entry["stage"] == "pruned"][-1]


def test_weight_clipping_limits_every_column_of_the_head(clips: list[CachedClip], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"stages": STAGES[:1], "optimiser": OptimiserConfig()})
    network, _ = _train(clips, tmp_path, config)
    norms = [np.linalg.norm(v.numpy(), axis=0).max() for v in network.head.trainable_variables if len(v.shape) > 1]
    assert max(norms) <= 0.5 + 1e-5
    assert len(norms) > 1


def test_run_writes_tensorboard_events(whole: Path) -> None:
    import tensorflow as tf

    found: dict[str, list[int]] = {}
    for file in (whole / "tensorboard").iterdir():
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
                assert value.metadata.plugin_data.plugin_name == "scalars"
    # Two stages of two epochs of three steps.
    assert found["loss"] == found["learning_rate"] == list(range(12))
    assert found["validation_loss"] == found["sparsity"] == [2, 5, 8, 11]


def test_tensorboard_write_error_is_one_sentence(tmp_path: Path) -> None:
    from model_training.training.tensorboard import EventFile

    with (
        pytest.raises(TrainingError, match=rf"^{tmp_path}: cannot write TensorBoard events: File too large$"),
        full_disk(1),
        EventFile(tmp_path) as events,
    ):
        events.write(1, {"loss": 1.0})


def test_loss_that_is_not_finite_ends_the_run(clips: list[CachedClip], tmp_path: Path) -> None:
    stage = StageConfig(name="wild", num_epochs=9, learning_rate=1e30, backbone="frozen", num_feature_views=1)
    config = CONFIG.model_copy(update={"stages": (stage,)})
    with pytest.raises(TrainingError, match=r"^stage 'wild', epoch \d: the loss is (nan|inf); give the stage a lower"):
        _train(clips, tmp_path / "run", config)


def test_trained_network_is_in_float32(clips: list[CachedClip], tmp_path: Path) -> None:
    config = small_config(architecture="cnn", precision="mixed_bfloat16", stages=STAGES[1:])
    network, history = _train(clips, tmp_path, config)
    assert {layer.compute_dtype for layer in network.backbone.layers} == {"float32"}
    assert all(np.isfinite(entry["loss"]) for entry in history)
    for one, other in zip(network.variables, _checkpoint(tmp_path).best_weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other)


def test_stage_keeps_its_best_or_its_last_epoch(clips: list[CachedClip], tmp_path: Path) -> None:
    stage = StageConfig(name="all", num_epochs=6, learning_rate=0.05, backbone="all", batch_norm="updated")
    for kept in ("best", "last"):
        config = small_config(architecture="cnn", stages=(stage.model_copy(update={"kept_epoch": kept}),))
        _, history = _train(clips, tmp_path / kept, config)
        losses = [epoch["validation_loss"] for epoch in history]
        ends_with = [number for number, epoch in enumerate(history) if epoch["is_kept"]][-1]
        assert len(history) == 6
        assert ends_with == (5 if kept == "last" else int(np.argmin(losses)))
        assert _checkpoint(tmp_path / kept).state.best_loss == losses[ends_with]
