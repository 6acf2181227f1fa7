"""Gives arrays from a file to the layers of a Keras model."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from model_training.errors import TrainingError


def array_named(arrays: Mapping[str, NDArray[Any]], name: str, num_dimensions: int) -> NDArray[Any]:
    """The array of that name.

    Raises:
        TrainingError: there is none, or it has another number of dimensions.
    """
    if name not in arrays:
        raise TrainingError(f"the weight file has no array {name!a}")
    if arrays[name].ndim != num_dimensions:
        raise TrainingError(
            f"{name!a} has {arrays[name].ndim} dimensions in the weight file instead of {num_dimensions}"
        )
    return arrays[name]


def set_weights(layer: Any, arrays: Sequence[NDArray[Any]]) -> None:
    """Set the weights of a layer.

    Raises:
        TrainingError: the layer has other weights.
    """
    needed, found = [tuple(weight.shape) for weight in layer.weights], [array.shape for array in arrays]
    if found != needed:
        raise TrainingError(f"the weight file has arrays {found} for the layer {layer.name}, which needs {needed}")
    layer.set_weights(arrays)
