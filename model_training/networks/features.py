"""From pixels to the features of each step: the half of a network that can be run once and stored."""

from typing import Any

import keras
from keras import ops

from model_training.config import TrainConfig, backbone_clip, num_frames_per_step
from model_training.networks.backbones.build import split_backbone
from model_training.networks.motion_crop import backbone_frames
from model_training.networks.preprocess import preprocessing_layer
from model_training.networks.temporal import step_differences, valid_steps_of


def build_features(backbone: Any, config: TrainConfig) -> Any:
    """What each step shows and what moved in it since the step before: (frames, valid) -> float32 [B, S, F].

    For each of the backbone's maps: its mean over the picture (if `sees_appearance`), and the mean over
    the picture of its absolute change since the step before (if `sees_motion`), 0 where either step is
    invalid or there is none before. With `input = "differences"` the backbone sees not frames but how
    each differs from the one before.

    With a `motion_crop`, the backbone sees the square of the frames in which most moves, enlarged.

    To a backbone that sees time, an invalid frame is the last valid one again, as if the video stood still:
    a cut to black would be motion.
    """
    frames, valid = _inputs(config)
    maps = backbone(_pictures(frames, valid, config))
    return keras.Model([frames, valid], _summed_up(maps, valid, config), name="features")


def split_features(backbone: Any, config: TrainConfig, num_backbone_blocks: int) -> tuple[Any, Any]:
    """The same in two parts: what lies below the last blocks, and what they make of it.

    The first maps (frames, valid) to float16 [B, T or S, h, w, c], half as large to keep; the second that and
    `valid` to the features. Both share their layers with `backbone`.

    Raises:
        InvalidConfig: one of the backbone's maps lies below the last blocks.
    """
    frames, valid = _inputs(config)
    below, above = split_backbone(backbone, num_backbone_blocks)
    between = below(_pictures(frames, valid, config))
    shape = between.shape[1:]
    sees_time = num_frames_per_step(config.backbone) > 1
    if not sees_time:
        between = ops.reshape(between, (-1, config.clip.num_frames, *shape))
    kept = keras.Input(between.shape[1:], dtype="float16", name="kept")
    given = ops.cast(kept, "float32")
    if not sees_time:
        given = ops.reshape(given, (-1, *shape))
    return (
        keras.Model([frames, valid], ops.cast(between, "float16"), name="below"),
        keras.Model([kept, valid], _summed_up(above(given), valid, config), name="above"),
    )


def _pictures(frames: Any, valid: Any, config: TrainConfig) -> Any:
    """What the backbone is given: pictures [B * T, H, W, 3], or clips [B, T, H, W, 3] if it sees time."""
    preprocess = preprocessing_layer(config.backbone)
    sees_time = num_frames_per_step(config.backbone) > 1
    if sees_time or config.motion_crop is not None:
        frames = backbone_frames(frames, valid, config.motion_crop)
    if sees_time:
        return preprocess(frames)
    spec = backbone_clip(config.clip, config.motion_crop)
    shape = (spec.height, spec.width, 3)
    seen = ops.where(valid[:, :, None, None, None], frames, ops.zeros_like(frames))
    pictures = preprocess(ops.reshape(seen, (-1, *shape)))
    if config.input == "differences":
        pictures = ops.reshape(
            step_differences(ops.reshape(pictures, (-1, spec.num_frames, *shape)), valid), (-1, *shape)
        )
    return pictures


def _summed_up(backbone_maps: Any, valid: Any, config: TrainConfig) -> Any:
    """The features float32 [B, S, F] of a backbone's maps."""
    maps = backbone_maps if isinstance(backbone_maps, list) else [backbone_maps]
    if num_frames_per_step(config.backbone) == 1:
        maps = [ops.reshape(flat, (-1, config.clip.num_frames, *flat.shape[1:])) for flat in maps]
    valid_steps = valid_steps_of(valid, maps[-1].shape[1])
    parts = []
    for half in maps:
        one = ops.cast(half, "float32")
        parts += [ops.mean(one, axis=(2, 3))] if config.head.sees_appearance else []
        parts += [ops.mean(ops.abs(step_differences(one, valid_steps)), axis=(2, 3))] if config.head.sees_motion else []
    return ops.concatenate(parts, axis=-1) * ops.cast(valid_steps, "float32")[:, :, None]


def _inputs(config: TrainConfig) -> tuple[Any, Any]:
    spec = config.clip
    frames = keras.Input((spec.num_frames, spec.height, spec.width, 3), dtype="uint8", name="frames")
    return frames, keras.Input((spec.num_frames,), dtype="bool", name="valid")
