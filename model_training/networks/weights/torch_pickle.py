"""Reads tensors from a legacy PyTorch weight file without PyTorch, and without trusting the file.

The format: three pickles (magic number, version, machine), a pickle of the tensors that refers to
storages by key, a pickle of the keys in file order, then for each key an int64 count and raw values.
The unpickler allows only five names, so a malicious file cannot run code.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from model_training.errors import TrainingError

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True, slots=True)
class _Unrestored:
    """A tensor whose values come later in the file; `offset` and `strides` count values, not bytes."""

    key: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a weight file, by name.

    Raises:
        TrainingError: the file is not in this format, or it contains anything but tensors.
    """
    try:
        with path.open("rb") as file:
            if _Unpickler(file).load() != _MAGIC_NUMBER:
                raise TrainingError(f"{path}: not a legacy PyTorch weight file")
            _Unpickler(file).load()
            _Unpickler(file).load()
            unrestored = _Unpickler(file).load()
            storage_keys = _Unpickler(file).load()
            dtypes = {tensor.key: tensor.dtype for tensor in unrestored.values()}
            values = {key: _read_storage(file, dtypes[key]) for key in storage_keys}
        return {name: _restored(tensor, values[tensor.key]) for name, tensor in unrestored.items()}
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError, AttributeError) as error:
        raise TrainingError(f"{path}: not a legacy PyTorch weight file: {error}") from error


def load_layers(model: Any, tensors: Mapping[str, NDArray[Any]], source_of: Callable[[str], str]) -> None:
    """Set the weights of every layer of a Keras model from `tensors`.

    `source_of` maps a layer name, which ends in `_bn`, `_depthwise_conv` or `_conv`, to the prefix of its tensors.
    PyTorch stores kernels as [out, in, height, width], Keras as [height, width, in, out].
    """
    for layer in model.layers:
        if not layer.weights:
            continue
        source = source_of(layer.name)
        if layer.name.endswith("_bn"):
            kinds = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([tensors[f"{source}.{kind}"] for kind in kinds])
        else:
            axes = (2, 3, 0, 1) if layer.name.endswith("_depthwise_conv") else (2, 3, 1, 0)
            layer.set_weights([tensors[f"{source}.weight"].transpose(axes)])


def _read_storage(file: BinaryIO, dtype: np.dtype[Any]) -> NDArray[Any]:
    count = int.from_bytes(file.read(8), "little")
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count)


def _restored(tensor: _Unrestored, values: NDArray[Any]) -> NDArray[Any]:
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    if min(tensor.shape, default=1) < 1 or min(tensor.strides, default=0) < 0 or not 0 <= last < len(values):
        raise pickle.UnpicklingError("a tensor that reaches outside its storage")
    byte_strides = tuple(stride * values.itemsize for stride in tensor.strides)
    return as_strided(values[tensor.offset :], tensor.shape, byte_strides).copy()


def _rebuild_tensor(
    storage: tuple[str, np.dtype[Any]], offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> _Unrestored:
    return _Unrestored(storage[0], storage[1], offset, tuple(shape), tuple(stride))


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise pickle.UnpicklingError(f"the file asks for {module}.{name}")

    def persistent_load(self, reference: Any) -> tuple[str, np.dtype[Any]]:
        kind, dtype, key, *_ = reference
        if kind != "storage":
            raise pickle.UnpicklingError(f"the file refers to a {kind}")
        return key, dtype
