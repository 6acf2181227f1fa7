"""The training loop: deterministic, and resumable at any step.

A run that was interrupted ends with the very weights of one that was not.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_training.config import StageConfig, TrainConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.labels import clip_targets
from model_training.errors import TrainingError, TrainingInterrupted
from model_training.input_pipeline.batches import Source, num_steps
from model_training.networks.features import split_features
from model_training.networks.network import Network, build_network
from model_training.run_state import EpochMetrics, RunState
from model_training.training.checkpoint import Arrays, Checkpoint, assign, read_checkpoint, values_of, write_checkpoint
from model_training.training.distillation import lesson_scale
from model_training.training.distribution import is_chief, strategy_of
from model_training.training.freezing import set_trainable, trainable_variables
from model_training.training.losses import label_weights
from model_training.training.optimisers import average_decay_at, build_optimiser, learning_rate_at
from model_training.training.plan import TrainingPlan
from model_training.training.pruning import kernels_of, pruned, pruned_share_at, sparsity_of
from model_training.training.sources import own_directory, sources
from model_training.training.steps import Answer, Learning, Step, learning_step, looking_step, one_graph, settling
from model_training.training.tensorboard import EventFile

CHECKPOINT_NAME = "checkpoint.npz"


@dataclass(frozen=True, slots=True)
class _Run:
    """A run under way."""

    plan: TrainingPlan
    strategy: Any
    network: Network
    progress: RunState
    events: EventFile


def train_network(plan: TrainingPlan) -> tuple[Network, list[dict[str, Any]]]:
    """The network of the epoch that the stages keep, and each epoch's figures.

    Goes on from the checkpoint in the plan's `run_directory`, where there is one, and leaves one there
    after each epoch and when `is_stopping()` turns true. Figures for TensorBoard go there too.

    Raises:
        TrainingInterrupted: it did; the checkpoint is saved.
    """
    config = plan.config
    strategy = strategy_of(config)
    keras.utils.set_random_seed(config.seed)
    if config.is_deterministic:
        tf.config.experimental.enable_op_determinism()
    checkpoint = read_checkpoint(plan.run_directory / CHECKPOINT_NAME)
    with strategy.scope():
        network = build_network(config, len(plan.labels), is_pretrained=checkpoint is None)
    progress, best_weights, moments = RunState(), values_of(network.variables), None
    if checkpoint is not None:
        progress, best_weights, moments = checkpoint.progress, checkpoint.best_weights, checkpoint.moments
        assign(network.variables, checkpoint.weights)
    with EventFile(own_directory(plan) / "tensorboard") as events:
        run = _Run(plan, strategy, network, progress, events)
        while not progress.is_finished:
            best_weights = _run_stage(run, best_weights, moments)
            moments = None
            assign(network.variables, best_weights)
            progress.end_stage(is_last=progress.stage + 1 == len(config.stages))
            _save(run, best_weights, [])
    return _as_float32(network, plan), progress.history


def _run_stage(run: _Run, best_weights: Arrays, moments: Arrays | None) -> Arrays:
    """Train until the stage's epochs or its patience end, moving the progress on; the best weights so far.

    `moments` are what the optimiser and the averages held when the run was interrupted.
    """
    plan, progress, config = run.plan, run.progress, run.plan.config
    stage = config.stages[progress.stage]
    learning, changing = _learning(run, stage)
    if moments:
        assign(changing, moments)
    source, held = sources(plan, run.network, progress.stage)
    learn, look, settle = learning_step(learning, run.strategy), looking_step(learning), settling(learning)
    steps_per_epoch = num_steps(len(plan.training), config.batch_size)
    num_stage_steps = stage.num_epochs * steps_per_epoch
    first_event = steps_per_epoch * sum(before.num_epochs for before in config.stages[: progress.stage])
    plan.display.start_stage(stage, steps_per_epoch, progress)
    if stage.pruned_fraction and progress.is_at_start:
        progress.best_loss = math.inf

    while progress.epoch < stage.num_epochs and progress.epochs_since_best < stage.patience_epochs:
        for batch in plan.display.timed_batches(source.batches(progress.epoch, config.batch_size, progress.step)):
            number = progress.epoch * steps_per_epoch + progress.step
            rate = learning_rate_at(number, num_stage_steps, stage.learning_rate, config.optimiser)
            learning.optimiser.learning_rate = rate
            loss_sum, num_correct = learn(batch)
            settle(
                pruned_share_at(number, num_stage_steps, stage.pruned_fraction),
                average_decay_at(number, config.optimiser),
            )
            progress.add_step(loss_sum, num_correct, len(batch.targets))
            _check_is_finite(progress, stage)
            run.events.write(first_event + number, {"loss": loss_sum / len(batch.targets), "learning_rate": rate})
            plan.display.show_step(progress)
            if plan.is_stopping():
                _save(run, best_weights, changing)
                raise TrainingInterrupted("interrupted: the checkpoint is saved; the same command goes on from it")
        last = (progress.epoch + 1) * steps_per_epoch - 1
        is_pruned = pruned_share_at(last, num_stage_steps, stage.pruned_fraction) == stage.pruned_fraction
        with _averaged(learning, stage.pruned_fraction if is_pruned else 0.0):
            figures = EpochMetrics(*_validate(look, held, config.batch_size), sparsity_of(run.network.variables))
            is_newest_kept = stage.kept_epoch == "last"
            if progress.end_epoch(stage.name, figures, may_be_best=is_pruned, is_newest_kept=is_newest_kept):
                best_weights = values_of(run.network.variables)
        run.events.write(first_event + last, figures.as_dict())
        plan.display.show_epoch(progress)
        _save(run, best_weights, changing)
    return best_weights


def _check_is_finite(progress: RunState, stage: StageConfig) -> None:
    """Nothing, if the epoch's loss so far is a number.

    Raises:
        TrainingError: it is not.
    """
    if not math.isfinite(progress.loss_sum):
        raise TrainingError(
            f"stage {stage.name!r}, epoch {progress.epoch + 1}: the loss is {progress.loss_sum}; give the stage a lower"
            " learning_rate"
        )


def _learning(run: _Run, stage: StageConfig) -> tuple[Learning, list[Any]]:
    """A stage's learning, and all that it changes beside the network, in a fixed order."""
    config, plan = run.plan.config, run.plan
    set_trainable(run.network, stage)
    variables = trainable_variables(run.network, stage)
    with run.strategy.scope():
        optimiser = build_optimiser(config.optimiser)
        optimiser.build(variables)
        averages = [keras.Variable(variable.value.numpy(), trainable=False) for variable in variables]
    averages = averages if config.optimiser.ema_decay else []
    targets = clip_targets(plan.training, plan.labels, config.head.kind)
    weights = label_weights(targets, config.head.kind, config.loss)
    answer = _answer_of(run.network, config, stage)
    scale = None if config.teacher is None else lesson_scale(plan.training)
    learning = Learning(config, stage, run.network, answer, variables, optimiser, averages, weights, scale)
    return learning, [*optimiser.variables, *averages]


def _answer_of(network: Network, config: TrainConfig, stage: StageConfig) -> Answer:
    """What the head says of what the stage's batches hold: frames, or what is stored of them."""
    num_blocks = stage.num_blocks_above_stored
    if num_blocks == 0:
        return lambda features, valid, *, training: network.head([features, valid], training=training)
    above = network.features if num_blocks is None else split_features(network.backbone, config, num_blocks)[1]
    return lambda inputs, valid, *, training: network.head(
        [above([inputs, valid], training=training), valid], training=training
    )


@contextmanager
def _averaged(learning: Learning, pruned_fraction: float) -> Iterator[None]:
    """Within, the network has its averaged weights, pruned as its own are; none but its own without EMA."""
    if not learning.averages:
        yield
        return
    own = values_of(learning.variables)
    for variable, average in zip(learning.variables, learning.averages, strict=True):
        is_pruned = pruned_fraction > 0 and kernels_of([variable])
        variable.assign(pruned(average.value, pruned_fraction) if is_pruned else average.value)
    yield
    assign(learning.variables, own)


def clip_logits(network: Network, clips: Sequence[CachedClip], batch_size: int = 8) -> NDArray[np.float32]:
    """What the network answers for each clip, float32 [N, K], before any calibration."""
    answer = one_graph(lambda frames, valid: network(frames, valid)[0])
    groups = [clips[start : start + batch_size] for start in range(0, len(clips), batch_size)]
    answers = [
        answer(np.stack([clip.frames() for clip in group]), np.stack([clip.valid for clip in group])).numpy()
        for group in groups
    ]
    return np.concatenate(answers)


def _validate(step: Step, source: Source, batch_size: int) -> tuple[float, float]:
    """Mean loss and accuracy over the clips of `source`, without augmentation."""
    loss_sum, num_correct, num_seen = 0.0, 0, 0
    for batch in source.batches(None, batch_size):
        loss, correct = step(batch)
        loss_sum, num_correct, num_seen = loss_sum + loss, num_correct + correct, num_seen + len(batch.targets)
    return loss_sum / num_seen, num_correct / num_seen


def _as_float32(network: Network, plan: TrainingPlan) -> Network:
    """The same network, no part of it on several devices or in half precision."""
    config = plan.config.model_copy(update={"precision": "float32"})
    plain = build_network(config, len(plan.labels), is_pretrained=False)
    assign(plain.variables, values_of(network.variables))
    return plain


def _save(run: _Run, best_weights: Arrays, changing: Sequence[Any]) -> None:
    if is_chief(run.plan.config):
        checkpoint = Checkpoint(run.progress, values_of(run.network.variables), best_weights, values_of(changing))
        write_checkpoint(run.plan.run_directory / CHECKPOINT_NAME, checkpoint)
