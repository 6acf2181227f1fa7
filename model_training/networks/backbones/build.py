"""Builds a backbone by name, and splits one into blocks.

A backbone maps preprocessed frames float32 [N, H, W, 3] to feature maps [N, h, w, c], shallow to deep. A backbone
with temporal convolutions maps clips [B, T, H, W, 3] to maps [B, S, h, w, c] with T / S frames a step. Layers are
named `block_NN_*` from input to output, which identifies the last blocks.
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
    """Build the named CNN for clips of `spec`; `is_pretrained` loads its published weights, if there are any.

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
    """The number of channels of the teacher's last map."""
    return {"i3d": NUM_CHANNELS}[teacher]


def split_backbone(backbone: Any, num_blocks: int) -> tuple[Any, Any]:
    """Split `backbone` into all but the last blocks, and the last blocks; both share its layers.

    Raises:
        InvalidConfig: an output map of the backbone lies below the last blocks.
    """
    blocks = blocks_of(backbone)
    first = blocks[-min(num_blocks, len(blocks))]
    between = next(layer.input for layer in backbone.layers if block_of(layer.name) == first)
    try:
        above = keras.Model(between, backbone.outputs)
    except ValueError as error:
        raise InvalidConfig(
            f"the last {num_blocks} blocks of {backbone.name} cannot be trained alone: one of its output maps comes"
            " from below them; increase num_backbone_blocks, or set are_lower_blocks_stored=False"
        ) from error
    return keras.Model(backbone.input, between), above


def blocks_of(backbone: Any) -> list[int]:
    """The indices of the backbone's blocks, from input to output."""
    return sorted({block_of(layer.name) for layer in backbone.layers if layer.weights})


def block_of(layer_name: str) -> int:
    """The block index of a backbone layer, counted from the input; -1 outside of all blocks."""
    parts = layer_name.split("_")
    return int(parts[1]) if parts[0] == "block" else -1


def _tiny(frames: Any) -> Any:
    """Four strided convolutions without pretrained weights, for simple pictures."""
    x = frames
    maps = []
    for index, channels in enumerate(_TINY_CHANNELS):
        prefix = f"block_{index:02d}"
        x = keras.layers.Conv2D(channels, 3, 2, "same", use_bias=False, name=f"{prefix}_conv")(x)
        x = keras.layers.BatchNormalization(momentum=0.95, name=f"{prefix}_bn")(x)
        x = keras.layers.ReLU(name=f"{prefix}_relu")(x)
        maps.append(x)
    return keras.Model(frames, maps[-2:], name="tiny")
