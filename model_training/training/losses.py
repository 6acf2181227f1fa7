"""What training makes small and by which steps: losses, optimisers, learning-rate decay."""

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from model_training.config import HeadKind, LossConfig

_LEAST_MASS = 1e-6
_MOST_WEIGHT = 20.0
_HALF = 0.5


def label_weights(targets: NDArray[np.float32], kind: HeadKind, config: LossConfig) -> NDArray[np.float32]:
    """Weight float32 [K] of each label, by `targets` [N,K] of the training clips; all 1 unless balanced.

    Where clips have one label each: inverse to its share of the clips, mean 1 over them. Where labels stand
    for themselves: how many clips lack the label for each that has it, at most `_MOST_WEIGHT` either way.
    """
    num_clips, num_labels = targets.shape
    if not config.is_class_balanced:
        return np.ones(num_labels, np.float32)
    counts = np.maximum(targets.sum(axis=0), 1)
    if kind == "multi_label":
        return np.asarray(np.clip((num_clips - counts) / counts, 1 / _MOST_WEIGHT, _MOST_WEIGHT), np.float32)
    return np.asarray(num_clips / (num_labels * counts), np.float32)


def clip_losses(
    answers: tuple[Any, Any], targets: Any, is_in_event: Any, weights: Any, *, config: LossConfig, kind: HeadKind
) -> Any:
    """The loss float32 [B] of each clip; `answers` are a network's logits [B,K] and attention [B,T].

    `targets` float32 [B,K] say how much of a clip each label is; they sum to 1 unless labels stand for
    themselves (`multi_label`). Cross-entropy against smoothed labels, or its focal form, times the label's
    weight; and, where frames are known to be in the event, `attention_weight` times -log of the attention
    they get.
    """
    logits, attention = answers
    judge = _each_label_for_itself if kind == "multi_label" else _one_label_of_all
    losses = judge(logits, targets, ops.convert_to_tensor(weights), config)
    if config.attention_weight > 0:
        inside = ops.cast(is_in_event, "float32")
        mass = ops.sum(attention * inside, axis=-1)
        is_known = ops.cast(ops.any(is_in_event, axis=-1), "float32")
        losses = losses - config.attention_weight * is_known * ops.log(ops.maximum(mass, _LEAST_MASS))
    return losses


def num_right(logits: Any, targets: Any, kind: HeadKind) -> Any:
    """1 float32 [B] for each clip whose likeliest label is the true one; with `multi_label`, whose every label is."""
    if kind == "multi_label":
        return ops.cast(ops.all((logits > 0) == (targets > _HALF), axis=-1), "float32")
    return ops.cast(ops.argmax(logits, axis=-1) == ops.argmax(targets, axis=-1), "float32")


def _one_label_of_all(logits: Any, targets: Any, weights: Any, config: LossConfig) -> Any:
    smoothed = targets * (1 - config.label_smoothing) + config.label_smoothing / logits.shape[-1]
    log_probabilities = ops.log_softmax(logits, axis=-1)
    losses = -ops.sum(smoothed * log_probabilities, axis=-1)
    if config.kind == "focal":
        probability = ops.sum(targets * ops.exp(log_probabilities), axis=-1)
        losses = losses * ops.power(1 - probability, config.focal_gamma)
    return losses * ops.sum(weights * targets, axis=-1)


def _each_label_for_itself(logits: Any, targets: Any, weights: Any, config: LossConfig) -> Any:
    smoothed = targets * (1 - config.label_smoothing) + config.label_smoothing / 2
    losses = -(smoothed * ops.log_sigmoid(logits) + (1 - smoothed) * ops.log_sigmoid(-logits))
    if config.kind == "focal":
        probability = ops.sigmoid(logits)
        miss = targets * (1 - probability) + (1 - targets) * probability
        losses = losses * ops.power(miss, config.focal_gamma)
    return ops.mean(losses * (targets * weights + 1 - targets), axis=-1)
