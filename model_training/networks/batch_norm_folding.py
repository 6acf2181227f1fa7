"""Folds batch normalisation into the convolutions before it, for export.

In inference a convolution and the normalisation after it are both linear, so one convolution with a bias replaces
them. Training keeps them apart, so that the statistics can be tuned.
"""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from model_training.config import TrainConfig
from model_training.networks.features import build_features
from model_training.networks.network import Network


def fold_batch_norm(network: Network, config: TrainConfig) -> Network:
    """A copy of `network` for inference, with batch normalisation folded; `config` is the network's config.

    The head is shared. The backbone's parameters are copies, computed in float64 and rounded to float32 once.
    """
    backbone = _folded(network.backbone)
    return Network(build_features(backbone, config), network.head, backbone, network.kind)


def _folded(backbone: Any) -> Any:
    # In every backbone the normalisation `X_bn` follows the convolution `X_conv`.
    norm_of = {
        f"{layer.name.removesuffix('_bn')}_conv": layer
        for layer in backbone.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }

    def with_bias(layer: Any) -> Any:
        options = layer.get_config()
        return type(layer).from_config(options | {"use_bias": True} if layer.name in norm_of else options)

    def call(layer: Any, *inputs: Any, **options: Any) -> Any:
        return inputs[0] if isinstance(layer, keras.layers.BatchNormalization) else layer(*inputs, **options)

    folded = keras.models.clone_model(backbone, clone_function=with_bias, call_function=call)
    missing = norm_of.keys() - {layer.name for layer in folded.layers}
    assert not missing, f"batch normalisation without its convolution: {sorted(missing)}"
    for layer in folded.layers:
        original, norm = backbone.get_layer(layer.name), norm_of.get(layer.name)
        layer.set_weights(original.get_weights() if norm is None else _kernel_and_bias(original, norm))
    return folded


def _kernel_and_bias(convolution: Any, norm: Any) -> list[NDArray[np.float32]]:
    """The weights of one convolution that replaces `convolution` and `norm`, computed in float64."""
    mean, variance = (np.float64(statistic) for statistic in (norm.moving_mean.numpy(), norm.moving_variance.numpy()))
    scale = (1.0 if norm.gamma is None else np.float64(norm.gamma.numpy())) / np.sqrt(variance + norm.epsilon)
    shift = (0.0 if norm.beta is None else np.float64(norm.beta.numpy())) - mean * scale
    (kernel,) = convolution.get_weights()
    # A depthwise kernel is [h, w, channels in, multiplier]; the last axis of all other kernels is the output channels.
    is_depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    per_channel = scale.reshape(kernel.shape[-2:]) if is_depthwise else scale
    return [(kernel * per_channel).astype(np.float32), shift.astype(np.float32)]
