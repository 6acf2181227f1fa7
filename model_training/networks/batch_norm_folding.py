"""Batch normalisation worked into the convolutions before it: for answering, which no longer learns from batches.

A convolution and the normalisation of what it puts out are both linear, so one convolution with a bias does the same.
Training keeps them apart, so that the statistics can be tuned; the exported graph has that much less to compute.
"""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from model_training.config import TrainConfig
from model_training.networks.features import build_features
from model_training.networks.network import Network


def fold_batch_norm(network: Network, config: TrainConfig) -> Network:
    """A network that answers as the one that `config` describes does when it is not training.

    The head is the same; the backbone's numbers are copies, rounded to float32 once.
    """
    backbone = _folded(network.backbone)
    return Network(build_features(backbone, config), network.head, backbone, network.kind)


def _folded(backbone: Any) -> Any:
    # Every backbone calls a convolution `X_conv` and what normalises it `X_bn`.
    norm_of = {
        f"{layer.name.removesuffix('_bn')}_conv": layer
        for layer in backbone.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }

    def with_bias(layer: Any) -> Any:
        knobs = layer.get_config()
        return type(layer).from_config(knobs | {"use_bias": True} if layer.name in norm_of else knobs)

    def call(layer: Any, *given: Any, **named: Any) -> Any:
        return given[0] if isinstance(layer, keras.layers.BatchNormalization) else layer(*given, **named)

    plain = keras.models.clone_model(backbone, clone_function=with_bias, call_function=call)
    missing = norm_of.keys() - {layer.name for layer in plain.layers}
    assert not missing, f"batch normalisation without its convolution: {sorted(missing)}"
    for layer in plain.layers:
        original, norm = backbone.get_layer(layer.name), norm_of.get(layer.name)
        layer.set_weights(original.get_weights() if norm is None else _kernel_and_bias(original, norm))
    return plain


def _kernel_and_bias(convolution: Any, norm: Any) -> list[NDArray[np.float32]]:
    """What the convolution and then the norm do, as one: computed in float64."""
    mean, variance = (np.float64(moment) for moment in (norm.moving_mean.numpy(), norm.moving_variance.numpy()))
    scale = (1.0 if norm.gamma is None else np.float64(norm.gamma.numpy())) / np.sqrt(variance + norm.epsilon)
    shift = (0.0 if norm.beta is None else np.float64(norm.beta.numpy())) - mean * scale
    (kernel,) = convolution.get_weights()
    # A depthwise kernel is [h, w, channels in, multiplier]; others end with the channels that they put out.
    is_depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    per_channel = scale.reshape(kernel.shape[-2:]) if is_depthwise else scale
    return [(kernel * per_channel).astype(np.float32), shift.astype(np.float32)]
