"""Motion crop: finds the square of a clip with the most motion and scales it to the backbone's size.

People far from a camera cover few pixels. With a motion crop the clip's frames can be larger than the backbone's
input. `keras.ops` only, because it is part of the exported graph.
"""

from typing import Any

from keras import ops

from model_training.config import MotionCropConfig
from model_training.networks.temporal import repeat_last_valid

_NUM_CELLS = 80
"""Motion is measured in cells; this is about how many lie along the shorter side."""
_NUM_SIDES = 8
"""Number of square sizes to try."""
_NOISE = 2.0
"""Grey levels. Changes below it are camera noise."""
_MEDIAN_FACTOR = 3.0
"""A cell moves if its change exceeds this factor times the median change; a shaking camera changes all cells."""
_MAX_CHANGE = 40.0
"""Grey levels. Changes are clipped to it, so that a cut or a flash does not outweigh all other motion."""
_NUM_HALVINGS = 25
_CENTRE_BIAS = 1e-3
"""Grey levels of motion added towards the centre; decides where nothing moves."""


def backbone_frames(frames: Any, valid: Any, config: MotionCropConfig | None) -> Any:
    """The frames for the backbone, from clips [B,T,H,W,3] and valid [B,T]: whole, or cropped as `config` says.

    An invalid frame repeats the last valid one, so it has no motion.
    """
    repeated = repeat_last_valid(frames, valid)
    return repeated if config is None else motion_crop(repeated, config)


def motion_crop(frames: Any, config: MotionCropConfig) -> Any:
    """The square with the most motion of each clip [B,T,H,W,3], 0..255, as float32 [B,T,size,size,3].

    All frames of a clip share the square: of several sizes, the smallest that holds `movement_fraction` of all
    motion, or else the largest. Pixels are averaged when the square shrinks and interpolated when it grows.
    """
    height, width = frames.shape[2:4]
    pictures = ops.cast(frames, "float32")
    cell = max(1, min(height, width) // _NUM_CELLS)
    top, left, side = _busiest_square(movement(pictures, cell), config)
    rows = _resampling(top * cell, side * cell, height, config.size)
    columns = _resampling(left * cell, side * cell, width, config.size)
    fewer_rows = ops.matmul(rows[:, None], ops.reshape(pictures, (-1, frames.shape[1], height, width * 3)))
    return ops.einsum(
        "bsw,btrwc->btrsc", columns, ops.reshape(fewer_rows, (-1, frames.shape[1], config.size, width, 3))
    )


def movement(pictures: Any, cell: int) -> Any:
    """The motion in each cell of `cell` x `cell` pixels: grey levels float32 [B,h,w], from float32 [B,T,H,W,3]."""
    num_frames, height, width = pictures.shape[1:4]
    grey = ops.reshape(ops.mean(pictures, axis=-1), (-1, height, width, 1))
    cells = ops.average_pool(grey, cell, cell, padding="valid")
    # Blurred, to reduce noise of camera and codec.
    cells = ops.average_pool(cells, 3, 1, padding="same")
    cells = ops.reshape(cells, (-1, num_frames, *cells.shape[1:3]))
    change = ops.abs(cells[:, 1:] - cells[:, :-1])
    typical = median(ops.reshape(change, (-1, num_frames - 1, change.shape[2] * change.shape[3])))
    typical = typical[:, :, None, None]
    return ops.mean(ops.clip(change - _MEDIAN_FACTOR * typical - _NOISE, 0.0, _MAX_CHANGE), axis=1)


def median(grey_levels: Any) -> Any:
    """The upper median over the last axis of values 0..256, accurate to 1e-5.

    Uses bisection: `ops.median` tests for NaN with bit operations that OpenVINO does not support, and its sort is slow.
    """
    num_below = grey_levels.shape[-1] // 2
    low = ops.zeros_like(grey_levels[..., 0])
    width = 256.0
    for _ in range(_NUM_HALVINGS):
        width /= 2
        is_above = ops.sum(ops.cast(grey_levels < (low + width)[..., None], "float32"), axis=-1) <= num_below
        low = ops.where(is_above, low + width, low)
    return low


def _busiest_square(moving: Any, config: MotionCropConfig) -> tuple[Any, Any, Any]:
    """Top, left and side of the square, float32 [B] in cells, from the motion float32 [B,h,w] of each cell."""
    height, width = moving.shape[1:]
    moving = (moving + _CENTRE_BIAS * _bump(height, width))[..., None]
    fractions = [config.min_side + (1 - config.min_side) * index / (_NUM_SIDES - 1) for index in range(_NUM_SIDES)]
    sides = sorted({max(1, round(fraction * min(height, width))) for fraction in fractions})
    tops, lefts, sums_held = [], [], []
    for side in sides:
        sums = ops.average_pool(moving, side, 1, padding="valid") * side**2
        flat = ops.reshape(sums, (-1, sums.shape[1] * sums.shape[2]))
        # Not `ops.argmax`, which reads sign bits: OpenVINO does not support that.
        most, index = (one[:, 0] for one in ops.top_k(flat, 1))
        tops.append(index // sums.shape[2])
        lefts.append(index % sums.shape[2])
        sums_held.append(most)
    is_enough = ops.stack(sums_held, axis=-1) >= config.movement_fraction * ops.sum(moving, axis=(1, 2))
    # A larger square holds at least as much, so the number of too small squares is the index of the first that fits.
    num_too_small = ops.sum(ops.cast(ops.logical_not(is_enough[:, :-1]), "int32"), axis=-1)
    chosen = ops.one_hot(num_too_small, len(sides), dtype="float32")
    top, left = (ops.sum(ops.cast(ops.stack(all_, axis=-1), "float32") * chosen, axis=-1) for all_ in (tops, lefts))
    return top, left, ops.sum(chosen * ops.convert_to_tensor(sides, "float32"), axis=-1)


def _bump(height: int, width: int) -> Any:
    """1 in the middle of [h,w], falling linearly outward."""
    across, down = (ops.abs(2 * (ops.arange(n, dtype="float32") + 0.5) / n - 1) for n in (width, height))
    return 1 - (down[:, None] + across[None, :]) / 2


def _resampling(first: Any, length: Any, num_pixels: int, size: int) -> Any:
    """The matrix [B,size,num_pixels] that resamples `length` pixels from `first` on, float32 [B], to `size` pixels.

    Linear interpolation when enlarging; a triangle filter as wide as the new pixels when reducing.
    """
    step = (length / size)[:, None, None]
    centres = first[:, None, None] + (ops.arange(size, dtype="float32")[None, :, None] + 0.5) * step - 0.5
    # The edge pixel is repeated beyond the edge.
    centres = ops.clip(centres, 0.0, num_pixels - 1.0)
    distances = ops.abs(ops.arange(num_pixels, dtype="float32")[None, None, :] - centres)
    weights = ops.maximum(1 - distances / ops.maximum(step, 1.0), 0.0)
    return weights / ops.sum(weights, axis=-1, keepdims=True)
