"""Trains one stage of a run: its epochs, their validation and their checkpoints."""

import math
from dataclasses import dataclass
from typing import Any

from model_training.config import StageConfig
from model_training.errors import TrainingError, TrainingInterrupted
from model_training.input_pipeline.batch import BatchDataset, num_steps
from model_training.networks.network import Network
from model_training.run_state import EpochMetrics, RunState
from model_training.training.checkpoint import Arrays, Checkpoint, assign, checkpoint_path, values_of, write_checkpoint
from model_training.training.distribution import is_chief
from model_training.training.optimisers import ema_decay_at, learning_rate_at
from model_training.training.plan import TrainingPlan
from model_training.training.pruning import pruned_fraction_at, sparsity_of
from model_training.training.stage_datasets import stage_datasets
from model_training.training.steps import PostUpdate, Step, build_eval_step, build_post_update, build_train_step
from model_training.training.tensorboard import EventFile
from model_training.training.train_state import TrainState, averaged_weights, build_train_state


@dataclass(frozen=True, slots=True)
class Run:
    """A run in progress; `state` changes as it goes."""

    plan: TrainingPlan
    strategy: Any
    network: Network
    state: RunState
    events: EventFile

    def save(self, best_weights: Arrays, optimiser_state: Arrays) -> None:
        """Write the checkpoint, if this process is the chief."""
        if is_chief(self.plan.config):
            checkpoint = Checkpoint(self.state, values_of(self.network.variables), best_weights, optimiser_state)
            write_checkpoint(checkpoint_path(self.plan.run_directory), checkpoint)


@dataclass(frozen=True, slots=True)
class _Stage:
    """The objects that the epochs of a stage share; `first_step` is the run's step at which the stage starts."""

    config: StageConfig
    state: TrainState
    training: BatchDataset
    validation: BatchDataset
    train_step: Step
    eval_step: Step
    post_update: PostUpdate
    steps_per_epoch: int
    first_step: int

    @property
    def num_steps(self) -> int:
        """Steps of the stage, if it runs all its epochs."""
        return self.config.num_epochs * self.steps_per_epoch

    def pruned_fraction_at(self, step: int) -> float:
        """The fraction of each kernel to prune after `step` of the stage."""
        return pruned_fraction_at(step, self.num_steps, self.config.pruned_fraction)


def train_stage(run: Run, best_weights: Arrays, optimiser_state: Arrays | None) -> Arrays:
    """Train the present stage until its epochs or its patience end; return the best weights so far.

    `optimiser_state` is that of the checkpoint when a run is resumed inside the stage, else None.

    Raises:
        TrainingInterrupted: `is_stopping()` returned True; the checkpoint is saved.
        TrainingError: the loss is not finite.
    """
    config, state = run.plan.config.stages[run.state.stage], run.state
    stage = _set_up_stage(run, config, optimiser_state)
    run.plan.display.start_stage(config, stage.steps_per_epoch, state)
    if config.pruned_fraction and state.is_at_start:
        state.best_loss = math.inf
    while state.epoch < config.num_epochs and state.epochs_since_best < config.patience_epochs:
        _train_epoch(run, stage, best_weights)
        best_weights = _end_epoch(run, stage, best_weights)
        run.plan.display.show_epoch(state)
        run.save(best_weights, values_of(stage.state.optimiser_variables))
    return best_weights


def _set_up_stage(run: Run, config: StageConfig, optimiser_state: Arrays | None) -> _Stage:
    plan, index = run.plan, run.state.stage
    state = build_train_state(plan, run.network, config, run.strategy)
    if optimiser_state:
        assign(state.optimiser_variables, optimiser_state)
    training, validation = stage_datasets(plan, run.network, index)
    steps_per_epoch = num_steps(len(plan.training), plan.config.batch_size)
    return _Stage(
        config=config,
        state=state,
        training=training,
        validation=validation,
        train_step=build_train_step(state, run.strategy),
        eval_step=build_eval_step(state),
        post_update=build_post_update(state),
        steps_per_epoch=steps_per_epoch,
        first_step=steps_per_epoch * sum(before.num_epochs for before in plan.config.stages[:index]),
    )


def _train_epoch(run: Run, stage: _Stage, best_weights: Arrays) -> None:
    """Train on the remaining batches of the present epoch."""
    plan, state, config = run.plan, run.state, run.plan.config
    for batch in plan.display.timed_batches(stage.training.batches(state.epoch, config.batch_size, state.step)):
        step = state.epoch * stage.steps_per_epoch + state.step
        rate = learning_rate_at(step, stage.num_steps, stage.config.learning_rate, config.optimiser)
        stage.state.optimiser.learning_rate = rate
        loss_sum, num_correct = stage.train_step(batch)
        stage.post_update(stage.pruned_fraction_at(step), ema_decay_at(step, config.optimiser))
        state.add_step(loss_sum, num_correct, len(batch.targets))
        _check_is_finite(state, stage.config)
        run.events.write(stage.first_step + step, {"loss": loss_sum / len(batch.targets), "learning_rate": rate})
        plan.display.show_step(state)
        if plan.is_stopping():
            run.save(best_weights, values_of(stage.state.optimiser_variables))
            raise TrainingInterrupted("interrupted: the checkpoint is saved; run the same command again to continue")


def _end_epoch(run: Run, stage: _Stage, best_weights: Arrays) -> Arrays:
    """Validate the epoch that ends; return its weights if they are the best so far, else `best_weights`."""
    state, fraction = run.state, stage.config.pruned_fraction
    last_step = (state.epoch + 1) * stage.steps_per_epoch - 1
    is_pruned = stage.pruned_fraction_at(last_step) == fraction
    with averaged_weights(stage.state, fraction if is_pruned else 0.0):
        loss, accuracy = _evaluate(stage.eval_step, stage.validation, run.plan.config.batch_size)
        metrics = EpochMetrics(loss, accuracy, sparsity_of(run.network.variables))
        is_newest_kept = stage.config.kept_epoch == "last"
        if state.end_epoch(stage.config.name, metrics, may_be_best=is_pruned, is_newest_kept=is_newest_kept):
            best_weights = values_of(run.network.variables)
    run.events.write(stage.first_step + last_step, metrics.as_dict())
    return best_weights


def _evaluate(eval_step: Step, dataset: BatchDataset, batch_size: int) -> tuple[float, float]:
    """Mean loss and accuracy over the clips of `dataset`, without augmentation."""
    loss_sum, num_correct, num_clips = 0.0, 0, 0
    for batch in dataset.batches(None, batch_size):
        loss, correct = eval_step(batch)
        loss_sum, num_correct, num_clips = loss_sum + loss, num_correct + correct, num_clips + len(batch.targets)
    return loss_sum / num_clips, num_correct / num_clips


def _check_is_finite(state: RunState, stage: StageConfig) -> None:
    if not math.isfinite(state.loss_sum):
        raise TrainingError(
            f"stage {stage.name!r}, epoch {state.epoch + 1}: the loss is {state.loss_sum}; give the stage a lower"
            " learning_rate"
        )
