"""Writes weight files with any contents: pickles with chosen calls and arguments, which no library would write."""

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


@dataclass(frozen=True)
class Named:
    """A name that the pickle refers to."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """The result of a call, with a state where there is one."""

    called: Any
    arguments: Any
    state: Any = None


@dataclass(frozen=True)
class Reference:
    """A persistent id."""

    identifier: Any


@dataclass(frozen=True)
class Instructions:
    """Instructions that stand for a value as they are."""

    content: bytes


@functools.singledispatch
def instructions(value: Any) -> bytes:
    """The instructions of protocol 2 and later that make `value`; each value anew, without the memo."""
    raise TypeError(type(value).__name__)


@instructions.register
def _(value: Instructions) -> bytes:
    return value.content


@instructions.register
def _(_: None) -> bytes:
    return b"N"


@instructions.register
def _(value: bool) -> bytes:  # noqa: FBT001
    return b"\x88" if value else b"\x89"


@instructions.register
def _(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


@instructions.register
def _(value: str) -> bytes:
    content = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(content)) + content


@instructions.register
def _(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


@instructions.register
def _(value: tuple) -> bytes:  # type: ignore[type-arg]
    return b"(" + b"".join(map(instructions, value)) + b"t"


@instructions.register
def _(value: list) -> bytes:  # type: ignore[type-arg]
    return b"](" + b"".join(map(instructions, value)) + b"e"


@instructions.register
def _(value: dict) -> bytes:  # type: ignore[type-arg]
    return b"}(" + b"".join(instructions(key) + instructions(each) for key, each in value.items()) + b"u"


@instructions.register
def _(value: Named) -> bytes:
    return f"c{value.module}\n{value.name}\n".encode()


@instructions.register
def _(value: Call) -> bytes:
    called = instructions(value.called) + instructions(value.arguments) + b"R"
    return called if value.state is None else called + instructions(value.state) + b"b"


@instructions.register
def _(value: Reference) -> bytes:
    return instructions(value.identifier) + b"Q"


def pickled(value: Any, protocol: int = 4) -> bytes:
    """A complete pickle of `value`."""
    return b"\x80" + bytes([protocol]) + instructions(value) + b"."


def float_type(
    code: Any = "f4", state: Any = (3, "<", None, None, None, -1, -1, 0), flags: Any = (False, True)
) -> Call:
    """A dtype as NumPy pickles it."""
    return Call(Named("numpy", "dtype"), (code, *flags), state)


def array(shape: Any, content: Any, dtype: Any = None, *, is_fortran: Any = False) -> Call:
    """An array as NumPy before 2 pickles it."""
    made = (Named("numpy", "ndarray"), (0,), b"b")
    state = (1, shape, dtype if dtype is not None else float_type(), is_fortran, content)
    return Call(Named("numpy.core.multiarray", "_reconstruct"), made, state)


def storage(key: Any, num_values: Any, kind: str = "FloatStorage", place: Any = "cpu") -> Reference:
    """A storage as PyTorch refers to it."""
    return Reference(("storage", Named("torch", kind), key, place, num_values, None))


def tensor(of: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Call:
    """A tensor as PyTorch pickles it."""
    rest = rest or (False, Call(Named("collections", "OrderedDict"), ()))
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), (of, offset, shape, strides, *rest))


def torch_file(
    tensors: Any,
    storages: Sequence[tuple[str, NDArray[Any]]],
    *,
    before: Sequence[Any] = (MAGIC_NUMBER, 1001, MACHINE),
    keys: Any = None,
) -> bytes:
    """A legacy PyTorch file of `tensors`, and of `storages` with their keys."""
    pickles = [*before, tensors, [key for key, _ in storages] if keys is None else keys]
    values = [struct.pack("<q", len(content)) + content.tobytes() for _, content in storages]
    return b"".join(pickled(each, 2) for each in pickles) + b"".join(values)


def floats(num_values: int) -> NDArray[np.float32]:
    """Values that differ from each other and from the bytes around them in a file."""
    return np.random.default_rng(0).normal(size=num_values).astype("<f4")
