"""Tensors of an inference request: from JSON or raw bytes to NumPy arrays."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.open_inference.errors import MalformedInference
from service.open_inference.schemas import InputTensor

_MAX_AXES = 8


_DTYPES: dict[str, type[np.uint8 | np.bool_]] = {"UINT8": np.uint8, "BOOL": np.bool_}


def read_tensors(inputs: list[InputTensor], binary: memoryview) -> dict[str, NDArray[Any]]:
    """The tensors of a request by name; `binary` holds the raw bytes that follow its JSON.

    Raises:
        MalformedInference: a tensor has a wrong type, shape or size.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for tensor in inputs:
        if tensor.name in tensors:
            raise MalformedInference(f"The input {tensor.name[:64]!r} is given twice.")
        if tensor.datatype not in _DTYPES:
            raise MalformedInference(f"The datatype {tensor.datatype[:64]!r} is not one of {', '.join(_DTYPES)}.")
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            tensors[tensor.name] = _from_json(tensor)
            continue
        if type(size) is not int or not 0 <= size <= len(binary) or tensor.data is not None:
            raise MalformedInference(f"The binary data of {tensor.name[:64]!r} is not there.")
        # A byte that is neither 0 nor 1 is no BOOL, but true enough.
        values: NDArray[Any] = np.frombuffer(binary[:size], dtype=np.uint8).astype(_DTYPES[tensor.datatype])
        tensors[tensor.name] = _shaped(tensor, values)
        binary = binary[size:]
    if len(binary):
        raise MalformedInference("Bytes follow that belong to no tensor.")
    return tensors


def _from_json(tensor: InputTensor) -> NDArray[Any]:
    wanted = _DTYPES[tensor.datatype]
    flat = tensor.data if type(tensor.data) is list else [tensor.data]
    while flat and type(flat[0]) is list:
        if {len(row) if type(row) is list else -1 for row in flat} != {len(flat[0])}:
            raise MalformedInference(f"The data of {tensor.name[:64]!r} is no tensor.")
        flat = [value for row in flat for value in row]
    # Types are looked at before numpy sees the data: it gives each of a list of strings the room of the longest.
    if set(map(type, flat)) != {bool if wanted is np.bool_ else int}:
        raise MalformedInference(f"The data of {tensor.name[:64]!r} is not all {tensor.datatype}.")
    if wanted is np.uint8 and not (min(flat) >= 0 and max(flat) <= np.iinfo(np.uint8).max):
        raise MalformedInference(f"The data of {tensor.name[:64]!r} is not all {tensor.datatype}.")
    return _shaped(tensor, np.array(flat, dtype=wanted))


def _shaped(tensor: InputTensor, values: NDArray[Any]) -> NDArray[Any]:
    shape = tensor.shape
    # Checked before multiplied: numpy takes neither any number of axes nor any length of one.
    if len(shape) > _MAX_AXES or min(shape, default=0) < 0 or math.prod(shape) != values.size:
        raise MalformedInference(f"The data of {tensor.name[:64]!r} is not of the shape it claims.")
    return values.reshape(shape)
