"""The lower half of a network, from pixels to the features of each step; its output can be computed once and stored."""

from typing import Any

import keras
from keras import ops

from model_training.config import TrainConfig, backbone_clip, num_frames_per_step
from model_training.networks.backbones.build import split_backbone
from model_training.networks.motion_crop import backbone_frames
from model_training.networks.preprocess import preprocessing_layer
from model_training.networks.temporal import step_differences, valid_steps_of


def build_features(backbone: Any, config: TrainConfig) -> Any:
    """A model from frames uint8 [B,T,H,W,3] and valid bool [B,T] to features float32 [B,S,F].

    Each of the backbone's maps gives its spatial mean (`sees_appearance`) and the spatial mean of its absolute
    change since the previous step (`sees_motion`); the change is 0 if either step is invalid and at the first step.
    With `input = "differences"` the input of the backbone is the difference of each frame from the previous one.
    With a `motion_crop` it is the enlarged square of the frames with the most motion.

    For a backbone with temporal convolutions an invalid frame repeats the last valid one: a black frame would be
    motion.
    """
    frames, valid = _inputs(config)
    maps = backbone(_backbone_input(frames, valid, config))
    return keras.Model([frames, valid], _pooled(maps, valid, config), name="features")


def split_features(backbone: Any, config: TrainConfig, num_backbone_blocks: int) -> tuple[Any, Any]:
    """The model of `build_features` in two parts, below and above the input of the last blocks.

    The first maps (frames, valid) to float16 [B, T or S, h, w, c], which halves its size on disk. The second maps
    that and `valid` to the features. Both share their layers with `backbone`.

    Raises:
        InvalidConfig: an output map of the backbone lies below the last blocks.
    """
    frames, valid = _inputs(config)
    below, above = split_backbone(backbone, num_backbone_blocks)
    between = below(_backbone_input(frames, valid, config))
    shape = between.shape[1:]
    sees_time = num_frames_per_step(config.backbone) > 1
    if not sees_time:
        between = ops.reshape(between, (-1, config.clip.num_frames, *shape))
    stored = keras.Input(between.shape[1:], dtype="float16", name="stored")
    maps = ops.cast(stored, "float32")
    if not sees_time:
        maps = ops.reshape(maps, (-1, *shape))
    return (
        keras.Model([frames, valid], ops.cast(between, "float16"), name="below"),
        keras.Model([stored, valid], _pooled(above(maps), valid, config), name="above"),
    )


def _backbone_input(frames: Any, valid: Any, config: TrainConfig) -> Any:
    """Preprocessed frames [B * T, H, W, 3], or clips [B, T, H, W, 3] for a backbone with temporal convolutions."""
    preprocess = preprocessing_layer(config.backbone)
    sees_time = num_frames_per_step(config.backbone) > 1
    if sees_time or config.motion_crop is not None:
        frames = backbone_frames(frames, valid, config.motion_crop)
    if sees_time:
        return preprocess(frames)
    spec = backbone_clip(config.clip, config.motion_crop)
    shape = (spec.height, spec.width, 3)
    masked = ops.where(valid[:, :, None, None, None], frames, ops.zeros_like(frames))
    pictures = preprocess(ops.reshape(masked, (-1, *shape)))
    if config.input == "differences":
        pictures = ops.reshape(
            step_differences(ops.reshape(pictures, (-1, spec.num_frames, *shape)), valid), (-1, *shape)
        )
    return pictures


def _pooled(backbone_maps: Any, valid: Any, config: TrainConfig) -> Any:
    """The features float32 [B, S, F] of the backbone's maps."""
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
