"""Where in the picture most moves, and that part of it enlarged. `keras.ops` only, inside the exported graph.

People far from a camera are a few pixels of a small picture. A clip's frames may be larger than what a
backbone is given, and the backbone be given the square of them in which most moves.
"""

from typing import Any

from keras import ops

from model_training.config import MotionCropConfig
from model_training.networks.temporal import repeat_last_valid

_NUM_CELLS = 80
"""Movement is looked for in cells: about so many along the shorter side."""
_NUM_SIDES = 8
"""How many sizes of square are tried."""
_NOISE = 2.0
"""Grey levels by which a cell of a still picture may differ from one frame to the next."""
_OF_THE_WHOLE = 3.0
"""A cell moves if it changes so many times as much as the median cell: a shaking camera moves them all."""
_MOST = 40.0
"""Grey levels beyond which a change counts no more: a cut or a flash is not all the movement there is."""
_NUM_HALVINGS = 25
_TO_THE_CENTRE = 1e-3
"""Grey levels that decide where nothing moves."""


def backbone_frames(frames: Any, valid: Any, config: MotionCropConfig | None) -> Any:
    """What a backbone is to see of clips [B,T,H,W,3] and valid [B,T]: all of each frame, or the square in `config`.

    An invalid frame is the last valid one again: nothing moves there.
    """
    pictures = repeat_last_valid(frames, valid)
    return pictures if config is None else motion_crop(pictures, config)


def motion_crop(frames: Any, config: MotionCropConfig) -> Any:
    """Of clips [B,T,H,W,3] of 0 to 255 the square of each in which most moves: float32 [B,T,size,size,3].

    The same square for all frames of a clip: of several sizes, the smallest that holds `movement_fraction` of
    all movement, or else the largest. The picture's own pixels are averaged where there are more of them,
    and interpolated where there are fewer.
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
    """How much moves in each cell of `cell` x `cell` pixels, grey levels float32 [B,h,w], of float32 [B,T,H,W,3]."""
    num_frames, height, width = pictures.shape[1:4]
    grey = ops.reshape(ops.mean(pictures, axis=-1), (-1, height, width, 1))
    cells = ops.average_pool(grey, cell, cell, padding="valid")
    # Blurred, so that noise of the camera and of the codec counts less than what moves as a whole.
    cells = ops.average_pool(cells, 3, 1, padding="same")
    cells = ops.reshape(cells, (-1, num_frames, *cells.shape[1:3]))
    change = ops.abs(cells[:, 1:] - cells[:, :-1])
    of_the_whole = median(ops.reshape(change, (-1, num_frames - 1, change.shape[2] * change.shape[3])))
    of_the_whole = of_the_whole[:, :, None, None]
    return ops.mean(ops.clip(change - _OF_THE_WHOLE * of_the_whole - _NOISE, 0.0, _MOST), axis=1)


def median(grey_levels: Any) -> Any:
    """The upper median over the last axis of numbers from 0 to 256, to a hundred-thousandth.

    By halving: `ops.median` looks for NaN bit by bit, which OpenVINO cannot, and it sorts so many numbers slowly.
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
    """Top, left and side of the square, float32 [B] in cells, for movement float32 [B,h,w]."""
    height, width = moving.shape[1:]
    moving = (moving + _TO_THE_CENTRE * _bump(height, width))[..., None]
    shares = [config.min_side + (1 - config.min_side) * place / (_NUM_SIDES - 1) for place in range(_NUM_SIDES)]
    sides = sorted({max(1, round(share * min(height, width))) for share in shares})
    tops, lefts, held = [], [], []
    for side in sides:
        sums = ops.average_pool(moving, side, 1, padding="valid") * side**2
        flat = ops.reshape(sums, (-1, sums.shape[1] * sums.shape[2]))
        # Not `ops.argmax`, which looks at a number's sign bit: OpenVINO does not know how.
        most, place = (one[:, 0] for one in ops.top_k(flat, 1))
        tops.append(place // sums.shape[2])
        lefts.append(place % sums.shape[2])
        held.append(most)
    is_enough = ops.stack(held, axis=-1) >= config.movement_fraction * ops.sum(moving, axis=(1, 2))
    # A larger square holds no less, so the first that is enough comes after all that are not; or else the largest.
    num_too_small = ops.sum(ops.cast(ops.logical_not(is_enough[:, :-1]), "int32"), axis=-1)
    chosen = ops.one_hot(num_too_small, len(sides), dtype="float32")
    top, left = (ops.sum(ops.cast(ops.stack(all_, axis=-1), "float32") * chosen, axis=-1) for all_ in (tops, lefts))
    return top, left, ops.sum(chosen * ops.convert_to_tensor(sides, "float32"), axis=-1)


def _bump(height: int, width: int) -> Any:
    """1 in the middle of [h,w], less and less outward."""
    across, down = (ops.abs(2 * (ops.arange(n, dtype="float32") + 0.5) / n - 1) for n in (width, height))
    return 1 - (down[:, None] + across[None, :]) / 2


def _resampling(first: Any, length: Any, num_pixels: int, size: int) -> Any:
    """The matrix [B,size,num_pixels] that makes `size` pixels of the `length` from `first` on, both float32 [B].

    Linear between pixels; a triangle as wide as the new pixels where they are wider than the old ones.
    """
    step = (length / size)[:, None, None]
    centres = first[:, None, None] + (ops.arange(size, dtype="float32")[None, :, None] + 0.5) * step - 0.5
    # Beyond the picture's edge its last pixel goes on.
    centres = ops.clip(centres, 0.0, num_pixels - 1.0)
    apart = ops.abs(ops.arange(num_pixels, dtype="float32")[None, None, :] - centres)
    weights = ops.maximum(1 - apart / ops.maximum(step, 1.0), 0.0)
    return weights / ops.sum(weights, axis=-1, keepdims=True)
