"""uint8 pixels -> what the CNN expects: the one preprocessing, a layer inside the exported graph."""

from typing import Any

import keras

from model_training.config import BackboneName

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def preprocessing_layer(backbone: BackboneName) -> Any:
    """A layer from uint8 0..255 RGB to float32, as the backbone's weights were trained to see it.

    `tiny` and `efficientnet_lite0`: (x - 127) / 128, exact for every pixel value; `mobilenet_v2`: ImageNet's
    mean and deviation of each channel; `i3d`: x / 127.5 - 1.
    """
    match backbone:
        case "tiny" | "efficientnet_lite0":
            return keras.layers.Rescaling(scale=1 / 128, offset=-127 / 128, name="preprocess")
        case "mobilenet_v2":
            scale = [1 / (255 * deviation) for deviation in _IMAGENET_DEVIATION]
            pairs = zip(_IMAGENET_MEAN, _IMAGENET_DEVIATION, strict=True)
            return keras.layers.Rescaling(scale, [-mean / deviation for mean, deviation in pairs], name="preprocess")
        case "i3d":
            return keras.layers.Rescaling(scale=1 / 127.5, offset=-1.0, name="preprocess")
