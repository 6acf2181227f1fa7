"""From pixels to the features of each step: the half of a network that can be run once and stored."""

from typing import Any

import keras
from keras import ops

from model_training.config import TrainConfig
from model_training.preprocess import preprocessing_layer
from model_training.time_steps import held_frames, since_step_before, steps_with_a_frame


def frame_features(backbone: Any, config: TrainConfig) -> Any:
    """What each frame shows and what moved in it since the frame before.

    For each of the backbone's maps: its mean over the picture (if `sees_appearance`), and the mean over
    the picture of its absolute change since the frame before (if `sees_motion`), 0 where either frame is
    invalid or there is none before. With `input = "differences"` the backbone sees not frames but how
    each differs from the one before.
    """
    spec = config.clip
    frames, valid = _inputs(config)
    shape = (spec.height, spec.width, 3)
    seen = ops.where(valid[:, :, None, None, None], frames, ops.zeros_like(frames))
    pictures = preprocessing_layer(config.backbone)(ops.reshape(seen, (-1, *shape)))
    if config.input == "differences":
        pictures = ops.reshape(
            since_step_before(ops.reshape(pictures, (-1, spec.num_frames, *shape)), valid), (-1, *shape)
        )
    maps = [ops.reshape(flat, (-1, spec.num_frames, *flat.shape[1:])) for flat in _as_list(backbone(pictures))]
    return _features_model(frames, valid, valid, maps, config)


def clip_features(backbone: Any, config: TrainConfig) -> Any:
    """What each step of a backbone that sees time shows, and what moved since the step before.

    The features are those of `frame_features`. In place of an invalid frame the backbone sees the last valid
    one, as if the video stood still: a cut to black would be motion.
    """
    frames, valid = _inputs(config)
    pictures = preprocessing_layer(config.backbone)(held_frames(frames, valid))
    maps = _as_list(backbone(pictures))
    return _features_model(frames, valid, steps_with_a_frame(valid, maps[-1].shape[1]), maps, config)


def _features_model(frames: Any, valid: Any, valid_steps: Any, maps: list[Any], config: TrainConfig) -> Any:
    parts = []
    for half in maps:
        one = ops.cast(half, "float32")
        parts += [ops.mean(one, axis=(2, 3))] if config.head.sees_appearance else []
        parts += (
            [ops.mean(ops.abs(since_step_before(one, valid_steps)), axis=(2, 3))] if config.head.sees_motion else []
        )
    features = ops.concatenate(parts, axis=-1) * ops.cast(valid_steps, "float32")[:, :, None]
    return keras.Model([frames, valid], features, name="features")


def _inputs(config: TrainConfig) -> tuple[Any, Any]:
    spec = config.clip
    frames = keras.Input((spec.num_frames, spec.height, spec.width, 3), dtype="uint8", name="frames")
    return frames, keras.Input((spec.num_frames,), dtype="bool", name="valid")


def _as_list(maps: Any) -> list[Any]:
    return maps if isinstance(maps, list) else [maps]
