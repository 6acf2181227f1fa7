"""A step that learns from a batch and one that only looks, as graphs; and what follows each step learnt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_training.config import StageConfig, TrainConfig
from model_training.input_pipeline.batches import ARRAYS, Batch
from model_training.networks.network import Network
from model_training.training.distribution import own_share, summed_over_replicas
from model_training.training.losses import clip_losses, num_right
from model_training.training.optimisers import clipped_gradients
from model_training.training.pruning import kernels_of, pruned

Step = Callable[[Batch], tuple[float, int]]
"""Works on a batch: the sum of its clips' losses, and how many of its answers were right."""

Settle = Callable[[float, float], None]
"""After a step learnt, with the share to prune and the decay of averages: clips, prunes and averages weights."""


class Answer(Protocol):
    """What a head says of what a batch holds and of `valid`."""

    def __call__(self, inputs: Any, valid: Any, *, training: bool) -> Sequence[Any]:
        """Logits and attention, and, with a teacher, the lesson."""
        ...


@dataclass(frozen=True, slots=True)
class Learning:
    """What a stage changes: the variables that learn, their optimiser, and their averages (none without EMA).

    `answer` maps what the stage's batches hold, frames or what is stored of them, to what the head says.
    `label_weights` float32 [K]. `lesson_scale`: mean and deviation float32 [D] of the lessons; None without.
    """

    config: TrainConfig
    stage: StageConfig
    network: Network
    answer: Answer
    variables: Sequence[Any]
    optimiser: Any
    averages: Sequence[Any]
    label_weights: NDArray[Any]
    lesson_scale: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None


def learning_step(learning: Learning, strategy: Any) -> Step:
    """A step that learns; each replica takes its share of the batch, and all apply the same gradients."""
    num_replicas, limit = strategy.num_replicas_in_sync, learning.config.optimiser.max_gradient_norm

    def learn_share(*whole: Any) -> tuple[Any, Any]:
        arrays, counts = own_share(whole, num_replicas)
        batch, num_clips = Batch(*arrays), tf.cast(tf.shape(whole[0])[0], tf.float32)
        with tf.GradientTape() as tape:
            answers = learning.answer(batch.inputs, batch.valid, training=True)
            losses, is_right = _answers_judged(learning, batch, answers)
            losses += _lessons_judged(learning, batch, answers)
            loss = tf.reduce_sum(losses * counts) / num_clips
        gradients = summed_over_replicas(tape.gradient(loss, learning.variables))
        # Each replica holds the sum already, and the optimiser sums once more.
        gradients = [gradient / num_replicas for gradient in clipped_gradients(gradients, limit)]
        learning.optimiser.apply(gradients, learning.variables)
        return tf.reduce_sum(losses * counts), tf.reduce_sum(is_right * counts)

    def learn(*arrays: Any) -> tuple[Any, Any]:
        losses, right = strategy.run(learn_share, arrays)
        sums = [strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for value in (losses, right)]
        return sums[0], sums[1]

    return _as_step(learn)


def looking_step(learning: Learning) -> Step:
    """A step that changes nothing."""

    def look(*arrays: Any) -> tuple[Any, Any]:
        batch = Batch(*arrays)
        losses, is_right = _answers_judged(learning, batch, learning.answer(batch.inputs, batch.valid, training=False))
        return tf.reduce_sum(losses), tf.reduce_sum(is_right)

    return _as_step(look)


def settling(learning: Learning) -> Settle:
    """What keeps weights small, sparse and averaged, as asked. No part of the step: it is the same on every replica."""
    max_norm, is_pruning = learning.config.head.max_weight_norm, learning.stage.pruned_fraction > 0
    heads = {id(variable) for variable in learning.network.head.trainable_variables}
    kernels = kernels_of(learning.variables)

    def settle(share: Any, decay: Any) -> None:
        for kernel in kernels:
            value = kernel.value
            if max_norm is not None and id(kernel) in heads:
                value = tf.clip_by_norm(value, max_norm, axes=[0])
            if is_pruning:
                value = pruned(value, share)
            if value is not kernel.value:
                kernel.assign(value)
        for average, variable in zip(learning.averages, learning.variables, strict=bool(learning.averages)):
            average.assign(decay * average.value + (1 - decay) * variable.value)

    return one_graph(settle)


def one_graph(work: Callable[..., Any]) -> Callable[..., Any]:
    """`work` as one graph for batches of any size.

    A graph per size rounds differently, and which sizes have had one depends on where a run was resumed.
    """
    graphs: list[Any] = []

    def call(*arrays: Any) -> Any:
        tensors = [tf.convert_to_tensor(array) for array in arrays]
        if not graphs:
            signature = [tf.TensorSpec([None, *one.shape[1:]] if one.shape.rank else [], one.dtype) for one in tensors]
            graphs.append(tf.function(work, input_signature=signature).get_concrete_function())
        return graphs[0](*tensors)

    return call


def _lessons_judged(learning: Learning, batch: Batch, answers: Sequence[Any]) -> Any:
    """What each clip's lesson adds to its loss, float32 [B]; validation does without: labels are what counts."""
    teacher = learning.config.teacher
    if teacher is None or learning.lesson_scale is None:
        return 0.0
    mean, deviation = learning.lesson_scale
    return teacher.weight * tf.reduce_mean(tf.square(answers[2] - (batch.lessons - mean) / deviation), axis=-1)


def _answers_judged(learning: Learning, batch: Batch, answers: Sequence[Any]) -> tuple[Any, Any]:
    """The loss float32 [B] of each clip, and 1 for those answered rightly."""
    kind = learning.network.kind
    losses = clip_losses(
        (answers[0], answers[1]),
        batch.targets,
        batch.is_in_event,
        learning.label_weights,
        config=learning.config.loss,
        kind=kind,
    )
    return losses, num_right(answers[0], batch.targets, kind)


def _as_step(work: Callable[..., tuple[Any, Any]]) -> Step:
    graph = one_graph(work)

    def step(batch: Batch) -> tuple[float, int]:
        loss_sum, right = graph(*(getattr(batch, name) for name in ARRAYS))
        return float(loss_sum), round(float(right))

    return step
