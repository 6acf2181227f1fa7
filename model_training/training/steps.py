"""The compiled functions of the training loop: train step, evaluation step and post-update."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from model_training.input_pipeline.batch import ARRAYS, Batch
from model_training.training.distribution import replica_slice, sum_over_replicas
from model_training.training.graph import compile_graph
from model_training.training.losses import clip_losses, correct_predictions
from model_training.training.optimisers import clipped_gradients
from model_training.training.pruning import kernels_of, pruned
from model_training.training.train_state import TrainState

Step = Callable[[Batch], tuple[float, int]]
"""Processes a batch; returns the sum of the clips' losses and the number of correct predictions."""

PostUpdate = Callable[[float, float], None]
"""Applies weight constraints and the EMA update, given the fraction to prune and the EMA decay."""


def build_train_step(state: TrainState, strategy: Any) -> Step:
    """A step that updates the weights; each replica takes a part of the batch, and all apply the same gradients."""
    num_replicas, max_norm = strategy.num_replicas_in_sync, state.config.optimiser.max_gradient_norm

    def replica_step(*global_batch: Any) -> tuple[Any, Any]:
        arrays, clip_weights = replica_slice(global_batch, num_replicas)
        batch, num_clips = Batch(*arrays), tf.cast(tf.shape(global_batch[0])[0], tf.float32)
        with tf.GradientTape() as tape:
            outputs = state.forward(batch.inputs, batch.valid, training=True)
            losses, is_correct = _label_losses(state, batch, outputs)
            losses += _distillation_losses(state, batch, outputs)
            loss = tf.reduce_sum(losses * clip_weights) / num_clips
        gradients = sum_over_replicas(tape.gradient(loss, state.variables))
        # Every replica already holds the sum, and the optimiser sums over replicas again.
        gradients = [gradient / num_replicas for gradient in clipped_gradients(gradients, max_norm)]
        state.optimiser.apply(gradients, state.variables)
        return tf.reduce_sum(losses * clip_weights), tf.reduce_sum(is_correct * clip_weights)

    def train_step(*arrays: Any) -> tuple[Any, Any]:
        loss_sum, num_correct = strategy.run(replica_step, arrays)
        sums = [strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for value in (loss_sum, num_correct)]
        return sums[0], sums[1]

    return _as_step(train_step)


def build_eval_step(state: TrainState) -> Step:
    """A step that changes nothing; its loss leaves out distillation, because only labels count in validation."""

    def eval_step(*arrays: Any) -> tuple[Any, Any]:
        batch = Batch(*arrays)
        losses, is_correct = _label_losses(state, batch, state.forward(batch.inputs, batch.valid, training=False))
        return tf.reduce_sum(losses), tf.reduce_sum(is_correct)

    return _as_step(eval_step)


def build_post_update(state: TrainState) -> PostUpdate:
    """The function to call after each train step: weight clipping, pruning and the EMA update.

    It stays outside the train step, because it is the same on every replica.
    """
    max_norm, is_pruning = state.config.head.max_weight_norm, state.stage.pruned_fraction > 0
    head_ids = {id(variable) for variable in state.network.head.trainable_variables}
    kernels = kernels_of(state.variables)

    def post_update(pruned_fraction: Any, ema_decay: Any) -> None:
        for kernel in kernels:
            value = kernel.value
            if max_norm is not None and id(kernel) in head_ids:
                value = tf.clip_by_norm(value, max_norm, axes=[0])
            if is_pruning:
                value = pruned(value, pruned_fraction)
            if value is not kernel.value:
                kernel.assign(value)
        for average, variable in zip(state.averages, state.variables, strict=bool(state.averages)):
            average.assign(ema_decay * average.value + (1 - ema_decay) * variable.value)

    return compile_graph(post_update)


def _label_losses(state: TrainState, batch: Batch, outputs: Sequence[Any]) -> tuple[Any, Any]:
    """The loss of each clip against its labels, and 1 for each correct prediction, both float32 [B]."""
    kind = state.network.kind
    losses = clip_losses(
        (outputs[0], outputs[1]),
        batch.targets,
        batch.is_in_event,
        state.label_weights,
        config=state.config.loss,
        kind=kind,
    )
    return losses, correct_predictions(outputs[0], batch.targets, kind)


def _distillation_losses(state: TrainState, batch: Batch, outputs: Sequence[Any]) -> Any:
    """The weighted mean squared error float32 [B] of the predicted teacher features; 0 without a teacher."""
    teacher = state.config.teacher
    if teacher is None or state.distillation_scale is None:
        return 0.0
    mean, standard_deviation = state.distillation_scale
    targets = (batch.distillation_targets - mean) / standard_deviation
    return teacher.weight * tf.reduce_mean(tf.square(outputs[2] - targets), axis=-1)


def _as_step(function: Callable[..., tuple[Any, Any]]) -> Step:
    graph = compile_graph(function)

    def step(batch: Batch) -> tuple[float, int]:
        loss_sum, num_correct = graph(*(getattr(batch, name) for name in ARRAYS))
        return float(loss_sum), round(float(num_correct))

    return step
