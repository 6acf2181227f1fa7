"""The training loop: deterministic, and resumable at any step.

A run that was interrupted and resumed ends with exactly the weights of an uninterrupted run.
"""

from typing import Any

import keras
import tensorflow as tf

from model_training.networks.network import Network, build_network
from model_training.run_state import RunState
from model_training.training.checkpoint import assign, checkpoint_path, read_checkpoint, values_of
from model_training.training.distribution import strategy_of
from model_training.training.plan import TrainingPlan
from model_training.training.stage import Run, train_stage
from model_training.training.stage_datasets import worker_directory
from model_training.training.tensorboard import EventFile


def train_network(plan: TrainingPlan) -> tuple[Network, list[dict[str, Any]]]:
    """Train a network; return it with the weights of the epoch that was kept, and the metrics of each epoch.

    Resumes from the checkpoint in `plan.run_directory`, if there is one. Writes a checkpoint after each epoch and
    when `plan.is_stopping()` returns True, and TensorBoard events to the same folder.

    Raises:
        TrainingInterrupted: `plan.is_stopping()` returned True; the checkpoint is saved.
        TrainingError: the loss is not finite, or a file cannot be written.
    """
    config = plan.config
    strategy = strategy_of(config)
    keras.utils.set_random_seed(config.seed)
    if config.is_deterministic:
        tf.config.experimental.enable_op_determinism()
    checkpoint = read_checkpoint(checkpoint_path(plan.run_directory))
    with strategy.scope():
        network = build_network(config, len(plan.labels), is_pretrained=checkpoint is None)
    state, best_weights, optimiser_state = RunState(), values_of(network.variables), None
    if checkpoint is not None:
        state, best_weights, optimiser_state = checkpoint.state, checkpoint.best_weights, checkpoint.optimiser_state
        assign(network.variables, checkpoint.weights)
    with EventFile(worker_directory(plan) / "tensorboard") as events:
        run = Run(plan, strategy, network, state, events)
        while not state.is_finished:
            best_weights = train_stage(run, best_weights, optimiser_state)
            optimiser_state = None
            assign(network.variables, best_weights)
            state.end_stage(is_last=state.stage + 1 == len(config.stages))
            run.save(best_weights, [])
    return _single_device_copy(network, plan), state.history


def _single_device_copy(network: Network, plan: TrainingPlan) -> Network:
    """The network in float32 and outside of any distribution strategy."""
    config = plan.config.model_copy(update={"precision": "float32"})
    copy = build_network(config, len(plan.labels), is_pretrained=False)
    assign(copy.variables, values_of(network.variables))
    return copy
