"""Arithmetic over the time steps of a clip. `keras.ops` only.

A step is one frame, or the several frames that a backbone with temporal convolutions reduces to one.
"""

from typing import Any

from keras import ops

_MIN_VARIANCE = 1e-6


def valid_steps_of(valid: Any, num_steps: int) -> Any:
    """Bool [B,S]: which steps contain a valid frame, from `valid` bool [B,T] of the frames."""
    num_frames = valid.shape[1]
    if num_steps == num_frames:
        return valid
    return ops.any(ops.reshape(valid, (-1, num_steps, num_frames // num_steps)), axis=-1)


def spread_over_frames(attention: Any, valid: Any) -> Any:
    """Attention float32 [B,T] of frames from `attention` [B,S] of steps, split equally among a step's valid frames."""
    num_frames, num_steps = valid.shape[1], attention.shape[1]
    if num_steps == num_frames:
        return attention
    weights = ops.reshape(ops.cast(valid, "float32"), (-1, num_steps, num_frames // num_steps))
    fractions = weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1.0)
    return ops.reshape(attention[:, :, None] * fractions, (-1, num_frames))


def weighted_mean(x: Any, weights: Any) -> Any:
    """The mean [B,F] of `x` [B,S,F], weighted by `weights` [B,S], which sum to 1."""
    return ops.sum(x * weights[:, :, None], axis=1)


def time_statistics(features: Any, valid: Any) -> Any:
    """Mean, standard deviation and mean absolute change over time of `features` [B,S,F], as [B,3F].

    Covers valid steps; changes are between two consecutive valid steps.
    """
    weights = ops.cast(valid, "float32")
    weights = weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1.0)
    mean = weighted_mean(features, weights)
    variance = weighted_mean(ops.square(features - mean[:, None, :]), weights)
    pairs = ops.cast(ops.logical_and(valid[:, 1:], valid[:, :-1]), "float32")
    pairs = pairs / ops.maximum(ops.sum(pairs, axis=-1, keepdims=True), 1.0)
    change = weighted_mean(ops.abs(features[:, 1:] - features[:, :-1]), pairs)
    return ops.concatenate([mean, ops.sqrt(variance + _MIN_VARIANCE), change], axis=-1)


def step_differences(x: Any, valid: Any) -> Any:
    """The difference of `x` [B,S,...] from the previous step; 0 at the first step and if either step is invalid."""
    pairs = ops.cast(ops.logical_and(valid[:, 1:], valid[:, :-1]), x.dtype)
    change = (x[:, 1:] - x[:, :-1]) * ops.reshape(pairs, (-1, pairs.shape[1], *(1,) * (len(x.shape) - 2)))
    return ops.pad(change, ((0, 0), (1, 0), *((0, 0),) * (len(x.shape) - 2)))


def repeat_last_valid(frames: Any, valid: Any) -> Any:
    """Replace each invalid frame of `frames` [B,T,H,W,3] by the last valid one before it, or the first valid one."""
    num_frames = valid.shape[1]
    indices = ops.where(valid, ops.arange(num_frames), -1)
    is_not_later = ops.arange(num_frames)[None, :] <= ops.arange(num_frames)[:, None]
    last = ops.max(ops.where(is_not_later[None], indices[:, None, :], -1), axis=-1)
    last = ops.where(last < 0, ops.argmax(ops.cast(valid, "int32"), axis=-1)[:, None], last)
    return ops.take_along_axis(frames, ops.cast(last, "int32")[:, :, None, None, None], axis=1)
