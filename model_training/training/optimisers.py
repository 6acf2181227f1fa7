"""Optimisers, learning-rate schedules and gradient clipping."""

from collections.abc import Sequence
from math import cos, pi
from typing import Any

import keras
from keras import ops

from model_training.config import OptimiserConfig


def clipped_gradients(gradients: Sequence[Any], max_norm: float | None) -> list[Any]:
    """The gradients, all scaled by one factor so that their global norm is at most `max_norm`."""
    if max_norm is None:
        return list(gradients)
    norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in gradients))
    scale = max_norm / ops.maximum(norm, max_norm)
    return [gradient * scale for gradient in gradients]


def build_optimiser(config: OptimiserConfig) -> Any:
    """AdamW, or SGD with Nesterov momentum; without gradient clipping, see `clipped_gradients`."""
    if config.kind == "sgd":
        return keras.optimizers.SGD(
            0.0, momentum=config.momentum, nesterov=True, weight_decay=config.weight_decay or None
        )
    return keras.optimizers.AdamW(0.0, weight_decay=config.weight_decay)


def ema_decay_at(step: int, config: OptimiserConfig) -> float:
    """The EMA decay at `step` of a stage; lower at first, so that the initial weights lose influence quickly."""
    return min(config.ema_decay or 0.0, (1 + step) / (10 + step))


def learning_rate_at(step: int, num_steps: int, peak: float, config: OptimiserConfig) -> float:
    """The learning rate at `step` 0..num_steps-1: a linear warm-up to `peak`, then the decay.

    `cosine` decays to 0 along half a cosine wave. `step` multiplies by `step_decay_factor` at `num_step_decays`
    evenly spaced steps. `none` stays at `peak`.
    """
    num_warmup = round(config.warmup_fraction * num_steps)
    if step < num_warmup:
        return peak * (step + 1) / (num_warmup + 1)
    progress = (step - num_warmup) / max(num_steps - num_warmup, 1)
    match config.decay:
        case "cosine":
            return peak * (1 + cos(pi * progress)) / 2
        case "step":
            return float(peak * config.step_decay_factor ** int(progress * (config.num_step_decays + 1)))
        case "none":
            return peak
