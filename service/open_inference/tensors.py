"""Converts the tensors of an inference request from JSON or raw bytes to NumPy arrays."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.open_inference.errors import MalformedInference
from service.open_inference.schemas import InputTensor

_MAX_AXES = 8
_DTYPES: dict[str, type[np.uint8 | np.bool_]] = {"UINT8": np.uint8, "BOOL": np.bool_}


def read_tensors(inputs: list[InputTensor], binary: memoryview) -> dict[str, NDArray[Any]]:
    """The tensors of a request by name; `binary` holds the bytes that follow the JSON.

    Raises:
        MalformedInference: a tensor has an unsupported type, or data that do not match its type or shape.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for tensor in inputs:
        if tensor.name in tensors:
            raise MalformedInference(f"The request contains the input {tensor.name[:64]!r} twice.")
        if tensor.datatype not in _DTYPES:
            raise MalformedInference(
                f"The datatype {tensor.datatype[:64]!r} is not supported; use {' or '.join(_DTYPES)}."
            )
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            tensors[tensor.name] = _from_json(tensor)
            continue
        if type(size) is not int or not 0 <= size <= len(binary) or tensor.data is not None:
            raise MalformedInference(
                f"The binary data of {tensor.name[:64]!r} is missing: binary_data_size must be a number of bytes that "
                "follow the JSON, and data must be absent."
            )
        # Any byte but 0 counts as true.
        values: NDArray[Any] = np.frombuffer(binary[:size], dtype=np.uint8).astype(_DTYPES[tensor.datatype])
        tensors[tensor.name] = _shaped(tensor, values)
        binary = binary[size:]
    if len(binary):
        raise MalformedInference(f"{len(binary)} bytes follow that belong to no tensor.")
    return tensors


def _from_json(tensor: InputTensor) -> NDArray[Any]:
    wanted = _DTYPES[tensor.datatype]
    flat = tensor.data if type(tensor.data) is list else [tensor.data]
    while flat and type(flat[0]) is list:
        if {len(row) if type(row) is list else -1 for row in flat} != {len(flat[0])}:
            raise MalformedInference(f"The data of {tensor.name[:64]!r} is not a tensor: its rows differ in length.")
        flat = [value for row in flat for value in row]
    # Types are checked first: NumPy would allocate room for the longest string for every string of a list.
    if set(map(type, flat)) != {bool if wanted is np.bool_ else int}:
        raise MalformedInference(f"The data of {tensor.name[:64]!r} is not all {tensor.datatype}.")
    if wanted is np.uint8 and not (min(flat) >= 0 and max(flat) <= np.iinfo(np.uint8).max):
        raise MalformedInference(f"The data of {tensor.name[:64]!r} is not all {tensor.datatype}.")
    return _shaped(tensor, np.array(flat, dtype=wanted))


def _shaped(tensor: InputTensor, values: NDArray[Any]) -> NDArray[Any]:
    shape = tensor.shape
    # NumPy limits the number of axes and the length of each, so both are checked before `reshape`.
    if len(shape) > _MAX_AXES or min(shape, default=0) < 0 or math.prod(shape) != values.size:
        raise MalformedInference(f"The data of {tensor.name[:64]!r} does not have the declared shape.")
    return values.reshape(shape)
