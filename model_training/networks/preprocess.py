"""The preprocessing of pixels for each backbone, as a layer of the exported graph."""

from typing import Any

import keras

from model_training.config import BackboneName

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STANDARD_DEVIATION = (0.229, 0.224, 0.225)


def preprocessing_layer(backbone: BackboneName) -> Any:
    """A layer from uint8 RGB 0..255 to float32, scaled as in the training of the backbone's weights.

    `tiny` and `efficientnet_lite0`: (x - 127) / 128, exact for every pixel value. `mobilenet_v2`: ImageNet's mean
    and standard deviation of each channel. `i3d`: x / 127.5 - 1.
    """
    match backbone:
        case "tiny" | "efficientnet_lite0":
            return keras.layers.Rescaling(scale=1 / 128, offset=-127 / 128, name="preprocess")
        case "mobilenet_v2":
            scale = [1 / (255 * deviation) for deviation in _IMAGENET_STANDARD_DEVIATION]
            pairs = zip(_IMAGENET_MEAN, _IMAGENET_STANDARD_DEVIATION, strict=True)
            return keras.layers.Rescaling(scale, [-mean / deviation for mean, deviation in pairs], name="preprocess")
        case "i3d":
            return keras.layers.Rescaling(scale=1 / 127.5, offset=-1.0, name="preprocess")
