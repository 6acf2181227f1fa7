"""Losses of clips against their labels and events."""

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from model_training.config import HeadKind, LossConfig

_MIN_MASS = 1e-6
_MAX_WEIGHT = 20.0
_HALF = 0.5


def label_weights(targets: NDArray[np.float32], kind: HeadKind, config: LossConfig) -> NDArray[np.float32]:
    """The weight float32 [K] of each label, from `targets` [N,K] of the training clips; all 1 unless class-balanced.

    With one label a clip: the inverse of its fraction of the clips, with mean 1 over the clips. With `multi_label`:
    the ratio of clips without the label to clips with it, limited to 1/20..20.
    """
    num_clips, num_labels = targets.shape
    if not config.is_class_balanced:
        return np.ones(num_labels, np.float32)
    counts = np.maximum(targets.sum(axis=0), 1)
    if kind == "multi_label":
        return np.asarray(np.clip((num_clips - counts) / counts, 1 / _MAX_WEIGHT, _MAX_WEIGHT), np.float32)
    return np.asarray(num_clips / (num_labels * counts), np.float32)


def clip_losses(
    outputs: tuple[Any, Any], targets: Any, is_in_event: Any, weights: Any, *, config: LossConfig, kind: HeadKind
) -> Any:
    """The loss float32 [B] of each clip; `outputs` are the network's logits [B,K] and attention [B,T].

    `targets` float32 [B,K] sum to 1 for each clip unless `kind` is `multi_label`. The loss is the cross-entropy
    against smoothed labels, or its focal form, times the label's weight. For clips with a known event it adds
    `attention_weight` times -log of the attention inside the event.
    """
    logits, attention = outputs
    label_losses = _sigmoid_losses if kind == "multi_label" else _softmax_losses
    losses = label_losses(logits, targets, ops.convert_to_tensor(weights), config)
    if config.attention_weight > 0:
        inside = ops.cast(is_in_event, "float32")
        mass = ops.sum(attention * inside, axis=-1)
        is_known = ops.cast(ops.any(is_in_event, axis=-1), "float32")
        losses = losses - config.attention_weight * is_known * ops.log(ops.maximum(mass, _MIN_MASS))
    return losses


def correct_predictions(logits: Any, targets: Any, kind: HeadKind) -> Any:
    """1 for each clip whose top label is correct, else 0, float32 [B]; `multi_label` needs all labels correct."""
    if kind == "multi_label":
        return ops.cast(ops.all((logits > 0) == (targets > _HALF), axis=-1), "float32")
    return ops.cast(ops.argmax(logits, axis=-1) == ops.argmax(targets, axis=-1), "float32")


def _softmax_losses(logits: Any, targets: Any, weights: Any, config: LossConfig) -> Any:
    smoothed = targets * (1 - config.label_smoothing) + config.label_smoothing / logits.shape[-1]
    log_probabilities = ops.log_softmax(logits, axis=-1)
    losses = -ops.sum(smoothed * log_probabilities, axis=-1)
    if config.kind == "focal":
        probability = ops.sum(targets * ops.exp(log_probabilities), axis=-1)
        losses = losses * ops.power(1 - probability, config.focal_gamma)
    return losses * ops.sum(weights * targets, axis=-1)


def _sigmoid_losses(logits: Any, targets: Any, weights: Any, config: LossConfig) -> Any:
    smoothed = targets * (1 - config.label_smoothing) + config.label_smoothing / 2
    losses = -(smoothed * ops.log_sigmoid(logits) + (1 - smoothed) * ops.log_sigmoid(-logits))
    if config.kind == "focal":
        probability = ops.sigmoid(logits)
        error = targets * (1 - probability) + (1 - targets) * probability
        losses = losses * ops.power(error, config.focal_gamma)
    return ops.mean(losses * (targets * weights + 1 - targets), axis=-1)
