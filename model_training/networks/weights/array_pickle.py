"""Reads arrays of floats from a pickle of nested dicts, without running the file.

The pickle may contain dicts, and arrays as NumPy pickles them: `_reconstruct`, a `dtype` of floats, and a state. Each
argument is compared with the one that NumPy writes.
"""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.errors import TrainingError
from model_training.networks.weights.files import read_weight_file
from model_training.networks.weights.strict_pickle import (
    MAX_SHARED_TUPLE_LENGTH,
    Grammar,
    MalformedPickle,
    Name,
    read_pickle,
)

MAX_DEPTH = 16
"""Nested dicts; the published file has four."""

_MAX_DIMENSIONS = MAX_SHARED_TUPLE_LENGTH
_TYPES = ("f2", "f4", "f8")
_BYTE_ORDERS = ("<", ">")


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the floating-point arrays of a file, by their nested keys joined with `/`; they are read-only.

    Raises:
        TrainingError: the file cannot be read, is not such a pickle, or contains anything but arrays of floats.
    """
    content = read_weight_file(path)
    try:
        return _arrays_of(content)
    except MalformedPickle as error:
        raise TrainingError(f"{path}: not a file of arrays: {error}") from error


@dataclass(slots=True)
class _Type:
    """A type of floats; `byte_order` is unknown until the pickle sets the state."""

    code: str
    byte_order: str | None = None


@dataclass(slots=True)
class _Array:
    """An array; it has no content until the pickle sets the state."""

    content: NDArray[Any] | None = None


def _arrays_of(content: bytes) -> dict[str, NDArray[Any]]:
    file = io.BytesIO(content)
    tree = read_pickle(file, _GRAMMAR)
    if file.tell() != len(content):
        raise MalformedPickle(f"{len(content) - file.tell()} bytes follow the end of the pickle")
    arrays: dict[str, NDArray[Any]] = {}
    _collect(tree, "", 0, arrays)
    if not arrays:
        raise MalformedPickle("it holds no arrays")
    return arrays


def _collect(tree: object, name: str, depth: int, arrays: dict[str, NDArray[Any]]) -> None:
    if isinstance(tree, _Array) and tree.content is not None:
        if name in arrays:
            raise MalformedPickle(f"two arrays have the name {name!a}")
        arrays[name] = tree.content
        return
    if not isinstance(tree, dict):
        kind = "unfinished array" if isinstance(tree, _Array) else type(tree).__name__
        raise MalformedPickle(f"{f'{name!a}' if name else 'the file'} holds a value of type {kind}")
    if depth == MAX_DEPTH:
        raise MalformedPickle(f"more than {MAX_DEPTH} dicts are nested")
    for key, branch in tree.items():
        _collect(branch, f"{name}/{key}" if name else key, depth + 1, arrays)


def _new_type(arguments: tuple[object, ...]) -> _Type:
    match arguments:
        case (str(code), *_) if code not in _TYPES:
            raise MalformedPickle(f"an array of the type {code!a}; supported are {', '.join(_TYPES)}")
        case (str(code), False, True):
            return _Type(code)
        case _:
            raise MalformedPickle("the type of an array has other arguments than NumPy writes")


def _new_array(arguments: tuple[object, ...]) -> _Array:
    if arguments != (Name("numpy.ndarray"), (0,), b"b"):
        raise MalformedPickle("an array has other arguments than NumPy writes")
    return _Array()


def _set_state(target: object, state: object) -> None:
    match target, state:
        case _Type(byte_order=None), (3, str(order), None, None, None, -1, -1, 0) if order in _BYTE_ORDERS:
            target.byte_order = order
        case _Array(content=None), (
            1,
            tuple(shape),
            _Type(byte_order=str(order), code=code),
            bool(is_fortran),
            bytes(content),
        ):
            target.content = _array(shape, np.dtype(f"{order}{code}"), content, "F" if is_fortran else "C")
        case _:
            raise MalformedPickle("an array has another state than NumPy writes for floats")


def _array(shape: tuple[object, ...], dtype: np.dtype[Any], content: bytes, order: str) -> NDArray[Any]:
    sides = [side for side in shape if type(side) is int and side > 0]
    if len(sides) != len(shape) or len(sides) > _MAX_DIMENSIONS:
        raise MalformedPickle(f"an array without 0 to {_MAX_DIMENSIONS} dimensions of a positive length each")
    if math.prod(sides) * dtype.itemsize != len(content):
        raise MalformedPickle("an array whose shape differs from its number of bytes")
    return np.ndarray(sides, dtype, content, order="F" if order == "F" else "C")


_GRAMMAR = Grammar(
    names=frozenset({"numpy.ndarray"}),
    calls={
        # NumPy before 2, which wrote the published file, and since.
        "numpy.core.multiarray._reconstruct": _new_array,
        "numpy._core.multiarray._reconstruct": _new_array,
        "numpy.dtype": _new_type,
    },
    set_state=_set_state,
    shareable=(_Type,),
)
