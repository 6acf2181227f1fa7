"""The CNNs that look at frames: the one place that knows them all.

A backbone maps preprocessed frames float32 [N, H, W, 3] to feature maps [N, h, w, c], shallow to deep;
one that sees time maps clips [B, T, H, W, 3] to maps [B, S, h, w, c], T / S frames to a step. Its layers
are named `block_NN_*` from input to output, so that the last blocks can be told.
"""

from typing import Any, Literal

import keras

from model_training.config import BackboneName, num_frames_per_step
from model_training.errors import InvalidConfig
from model_training.networks.backbones.efficientnet import efficientnet_lite0, load_efficientnet_lite0
from model_training.networks.backbones.i3d import NUM_CHANNELS, i3d, load_i3d
from model_training.networks.backbones.mobilenet import load_mobilenet_v2, mobilenet_v2
from service.video.clip import ClipSpec

_TINY_CHANNELS = (12, 24, 32, 48)


def build_backbone(name: BackboneName, spec: ClipSpec, *, is_pretrained: bool = True) -> Any:
    """The named CNN for frames of this size, with its published weights where it has some.

    Raises:
        MissingPackage: the package with the weights is not installed.
    """
    frame_shape = (spec.height, spec.width, 3)
    sees_time = num_frames_per_step(name) > 1
    frames = keras.Input((spec.num_frames, *frame_shape) if sees_time else frame_shape, name="frames")
    match name:
        case "tiny":
            return _tiny(frames)
        case "efficientnet_lite0":
            model, load = efficientnet_lite0(frames), load_efficientnet_lite0
        case "mobilenet_v2":
            model, load = mobilenet_v2(frames), load_mobilenet_v2
        case "i3d":
            model, load = i3d(frames), load_i3d
    if is_pretrained:
        load(model)
    return model


def teacher_feature_width(teacher: Literal["i3d"]) -> int:
    """How many numbers a teacher's last map has for a place."""
    return {"i3d": NUM_CHANNELS}[teacher]


def split_backbone(backbone: Any, num_blocks: int) -> tuple[Any, Any]:
    """All but the last blocks, and the last blocks: one map between them. They share the backbone's layers.

    Raises:
        InvalidConfig: one of the backbone's maps comes from below.
    """
    blocks = blocks_of(backbone)
    first = blocks[-min(num_blocks, len(blocks))]
    between = next(layer.input for layer in backbone.layers if block_of(layer.name) == first)
    try:
        above = keras.Model(between, backbone.outputs)
    except ValueError as error:
        raise InvalidConfig(
            f"the last {num_blocks} blocks of {backbone.name} cannot be taught alone: it has a map that comes from"
            " below them; take more blocks, or leave the ones below unstored"
        ) from error
    return keras.Model(backbone.input, between), above


def blocks_of(backbone: Any) -> list[int]:
    """The numbers of the backbone's blocks, from the input."""
    return sorted({block_of(layer.name) for layer in backbone.layers if layer.weights})


def block_of(layer_name: str) -> int:
    """Which block, counted from the input, a backbone's layer belongs to; -1 for none."""
    parts = layer_name.split("_")
    return int(parts[1]) if parts[0] == "block" else -1


def _tiny(frames: Any) -> Any:
    """Four strided convolutions, learnt from scratch: for pictures without much to know."""
    x = frames
    maps = []
    for index, channels in enumerate(_TINY_CHANNELS):
        prefix = f"block_{index:02d}"
        x = keras.layers.Conv2D(channels, 3, 2, "same", use_bias=False, name=f"{prefix}_conv")(x)
        x = keras.layers.BatchNormalization(momentum=0.95, name=f"{prefix}_bn")(x)
        x = keras.layers.ReLU(name=f"{prefix}_relu")(x)
        maps.append(x)
    return keras.Model(frames, maps[-2:], name="tiny")
