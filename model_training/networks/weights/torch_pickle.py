"""Reads tensors from a legacy PyTorch weight file without PyTorch, and without running the file.

The format: three pickles (magic number, version, machine), a pickle of the tensors that refers to storages by key, a
pickle of the keys in file order, then for each key an int64 count and the raw values. Each argument of a tensor is
checked against its storage before memory is read.
"""

import io
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from model_training.errors import TrainingError
from model_training.networks.weights.files import MAX_FILE_BYTES, read_weight_file
from model_training.networks.weights.layers import array_named, set_weights
from model_training.networks.weights.strict_pickle import (
    MAX_SHARED_TUPLE_LENGTH,
    Grammar,
    MalformedPickle,
    Name,
    read_pickle,
    refuse_state,
)

MAX_TENSOR_BYTES = MAX_FILE_BYTES
"""Bytes of all tensors together: several tensors may show the same values of the file."""

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_MAX_DIMENSIONS = MAX_SHARED_TUPLE_LENGTH
_TYPES: dict[str, np.dtype[Any]] = {"torch.FloatStorage": np.dtype("<f4"), "torch.LongStorage": np.dtype("<i8")}


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a weight file, by name.

    Raises:
        TrainingError: the file cannot be read, is not in this format, or contains anything but tensors.
    """
    content = read_weight_file(path)
    try:
        return _tensors_of(content)
    except MalformedPickle as error:
        raise TrainingError(f"{path}: not a legacy PyTorch weight file: {error}") from error


def load_layers(model: Any, tensors: Mapping[str, NDArray[Any]], source_of: Callable[[str], str]) -> None:
    """Set the weights of every layer of a Keras model from `tensors`.

    `source_of` maps a layer name, which ends in `_bn`, `_depthwise_conv` or `_conv`, to the prefix of its tensors.
    PyTorch stores kernels as [out, in, height, width], Keras as [height, width, in, out].

    Raises:
        TrainingError: a tensor is missing or has another shape.
    """
    for layer in model.layers:
        if not layer.weights:
            continue
        source = source_of(layer.name)
        if layer.name.endswith("_bn"):
            kinds = ("weight", "bias", "running_mean", "running_var")
            set_weights(layer, [array_named(tensors, f"{source}.{kind}", 1) for kind in kinds])
        else:
            axes = (2, 3, 0, 1) if layer.name.endswith("_depthwise_conv") else (2, 3, 1, 0)
            set_weights(layer, [array_named(tensors, f"{source}.weight", len(axes)).transpose(axes)])


@dataclass(frozen=True, slots=True)
class _Storage:
    """The values of `key`, which come later in the file."""

    key: str
    dtype: np.dtype[Any]
    num_values: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor whose values come later in the file; `offset` and `strides` count values, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensors_of(content: bytes) -> dict[str, NDArray[Any]]:
    if content.startswith(b"PK"):
        raise MalformedPickle("it is a ZIP archive, the format of PyTorch 1.6 and later")
    file = io.BytesIO(content)
    _check_machine(file)
    tensors = _described_tensors(read_pickle(file, _GRAMMAR))
    storages = _read_storages(file, tensors)
    return {name: _values(name, tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _check_machine(file: BinaryIO) -> None:
    """Read what comes before the tensors: the magic number, the version, the machine that wrote the file."""
    if read_pickle(file, _PLAIN) != _MAGIC_NUMBER:
        raise MalformedPickle("it does not begin with the magic number")
    if read_pickle(file, _PLAIN) != _VERSION:
        raise MalformedPickle(f"its version is not {_VERSION}")
    machine = read_pickle(file, _PLAIN)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise MalformedPickle("its values are not little-endian")


def _described_tensors(named: object) -> dict[str, _Tensor]:
    """Check that `named` is a dict of tensors, of one description per storage, and of bounded size."""
    if not isinstance(named, dict) or not named:
        raise MalformedPickle("it holds no dict of tensors")
    tensors: dict[str, _Tensor] = {}
    storages: dict[str, _Storage] = {}
    num_bytes = 0
    for name, tensor in named.items():
        if not isinstance(tensor, _Tensor):
            raise MalformedPickle(f"{name!a} is a {type(tensor).__name__} instead of a tensor")
        if storages.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise MalformedPickle(f"two tensors disagree on their storage {tensor.storage.key!a}")
        num_bytes += math.prod(tensor.shape) * tensor.storage.dtype.itemsize
        tensors[name] = tensor
    if num_bytes > MAX_TENSOR_BYTES:
        raise MalformedPickle(f"its tensors have {num_bytes} bytes; the limit is {MAX_TENSOR_BYTES}")
    return tensors


def _read_storages(file: io.BytesIO, tensors: Mapping[str, _Tensor]) -> dict[str, NDArray[Any]]:
    """The values of each storage, which are all that is left of the file."""
    described = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    keys = read_pickle(file, _PLAIN)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise MalformedPickle("the storages have no list of keys")
    if len(keys) != len(described) or set(keys) != set(described):
        raise MalformedPickle("the list of storages differs from those of the tensors")
    values = {}
    for key in keys:
        storage = described[key]
        num_values = int.from_bytes(file.read(8), "little")
        if num_values != storage.num_values:
            raise MalformedPickle(f"the storage {key!a} has {num_values} values instead of {storage.num_values}")
        content = file.read(num_values * storage.dtype.itemsize)
        if len(content) != num_values * storage.dtype.itemsize:
            raise MalformedPickle(f"the file ends in the storage {key!a}")
        values[key] = np.frombuffer(content, storage.dtype)
    if file.read(1):
        raise MalformedPickle("bytes follow the last storage")
    return values


def _values(name: str, tensor: _Tensor, storage: NDArray[Any]) -> NDArray[Any]:
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    if last >= len(storage) or math.prod(tensor.shape) > len(storage):
        raise MalformedPickle(f"the tensor {name!a} reaches outside its storage")
    size = storage.itemsize
    strides = [stride * size for stride in tensor.strides]
    # This constructor checks shape, offset and strides against the buffer once more.
    return np.ndarray(tensor.shape, storage.dtype, storage.data, tensor.offset * size, strides).copy()


def _sequence(value: object, least: int, meaning: str) -> tuple[int, ...]:
    """Check that `value` is a tuple of a few numbers of at least `least`."""
    numbers = value if isinstance(value, tuple) else (None,)
    checked = tuple(number for number in numbers[: _MAX_DIMENSIONS + 1] if type(number) is int and number >= least)
    if len(checked) != len(numbers) or len(checked) > _MAX_DIMENSIONS:
        raise MalformedPickle(f"a tensor whose {meaning} is not a tuple of up to {_MAX_DIMENSIONS} numbers >= {least}")
    return checked


def _new_tensor(arguments: tuple[object, ...]) -> _Tensor:
    match arguments:
        case (_Storage() as storage, int(offset), shape, strides, bool(), OrderedDict() as hooks) if not hooks:
            pass
        case _:
            raise MalformedPickle("a tensor has other arguments than PyTorch writes")
    if offset < 0:
        raise MalformedPickle("a tensor begins before its storage")
    lengths, steps = _sequence(shape, 1, "shape"), _sequence(strides, 0, "strides")
    if len(lengths) != len(steps):
        raise MalformedPickle(f"a tensor of {len(lengths)} dimensions with {len(steps)} strides")
    return _Tensor(storage, int(offset), lengths, steps)


def _new_dict(arguments: tuple[object, ...]) -> OrderedDict[str, object]:
    if arguments:
        raise MalformedPickle("a dict is made with arguments")
    return OrderedDict()


def _storage(reference: object) -> _Storage:
    match reference:
        case ("storage", Name(kind), str(key), str(), int(num_values), None) if kind in _TYPES and num_values > 0:
            return _Storage(key, _TYPES[kind], num_values)
        case _:
            raise MalformedPickle("the file refers to something that is not a storage of PyTorch")


def _set_state(target: object, state: object) -> None:
    """Accept the versions of the layers, which PyTorch keeps as an attribute of the dict; they are not needed."""
    if not isinstance(target, OrderedDict) or not isinstance(state, dict) or list(state) != ["_metadata"]:
        refuse_state(target, state)


_PLAIN = Grammar()
_GRAMMAR = Grammar(
    names=frozenset(_TYPES),
    calls={"collections.OrderedDict": _new_dict, "torch._utils._rebuild_tensor_v2": _new_tensor},
    set_state=_set_state,
    resolve=_storage,
    shareable=(_Storage,),
)
