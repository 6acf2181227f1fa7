"""Property: any weight file gives arrays of its own bytes or a `TrainingError`, in bounded time and memory.

    python -m fuzz.weights --seconds 60 [--seed 0]

A seeded loop damages files of both formats: single bytes, and whole pickle instructions with their arguments. A failure
prints the seed and the number that reproduce it. The readers run in this process: a crash ends it, and the last input
is in the file whose path is printed at the start. An input that takes longer than 20 s ends it too.
"""

import argparse
import faulthandler
import functools
import io
import pickle
import pickletools
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.errors import TrainingError
from model_training.networks.weights.array_pickle import read_arrays
from model_training.networks.weights.torch_pickle import read_tensors
from tests.support.weight_files import (
    Call,
    Named,
    array,
    float_type,
    floats,
    instructions,
    pickled,
    storage,
    tensor,
    torch_file,
)

Check = Callable[[bytes], bool]

_MAX_SECONDS_PER_INPUT = 20
_MAX_ADDRESS_SPACE_BYTES = 4 << 30
_NUM_PICKLES_OF_TORCH = 5
_NUMBERS = (0, 1, -1, 2, 8, 24, 255, 2**31 - 1, -(2**31), 2**31, 2**32, 2**62, 2**63, 2**64, -(2**63), 2**200)


def check_arrays(content: bytes) -> bool:
    """Read `content` as arrays: True for arrays, False for a `TrainingError`. Raises for any other outcome."""
    return _check(content, read_arrays)


def check_tensors(content: bytes) -> bool:
    """Read `content` as tensors: True for tensors, False for a `TrainingError`. Raises for any other outcome."""
    return _check(content, read_tensors)


def _check(content: bytes, read: Callable[[Path], dict[str, NDArray[Any]]]) -> bool:
    path = _input_path()
    path.write_bytes(content)
    try:
        arrays = read(path)
    except TrainingError as error:
        if not str(error).isprintable():
            raise AssertionError("the message is not one line of text") from error
        return False
    for name, values in arrays.items():
        if values.dtype.kind not in "fi" or values.size == 0:
            raise AssertionError(f"{name!a} has values of the type {values.dtype}")
        _check_origin(content, values)
    return True


def _check_origin(content: bytes, values: NDArray[Any]) -> None:
    """Raise AssertionError if a value does not stand in the file: then it was read from elsewhere."""
    size = values.dtype.itemsize
    in_file = {content[start : start + size] for start in range(len(content) - size + 1)}
    stored = np.ascontiguousarray(values).tobytes()
    if any(stored[start : start + size] not in in_file for start in range(0, len(stored), size)):
        raise AssertionError("a value does not come from the file")


@functools.cache
def _input_path() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-")) / "input"


@functools.cache
def seed_files() -> tuple[tuple[Check, bytes], ...]:
    """Well-formed files with the check that accepts each."""
    values = floats(24)
    tree = {"params": {"conv": {"kernel": values.reshape(2, 3, 4), "bias": values[:3].astype("f8")}}}
    of = storage("7", 24)
    tensors = {
        "conv.weight": tensor(of, 0, (4, 3, 2), (1, 8, 4)),
        "conv.bias": tensor(of, 20, (4,), (1,)),
        "bn.num_batches_tracked": tensor(storage("9", 1, "LongStorage"), 0, (), ()),
    }
    return (
        (check_arrays, pickle.dumps(tree, protocol=4)),
        (check_arrays, pickle.dumps({"x": np.asfortranarray(values.reshape(4, 6))}, protocol=3)),
        (check_arrays, pickled({"a": array((4, 6), values.tobytes()), "b": array((), b"\0" * 8, float_type("f8"))})),
        (check_tensors, torch_file(tensors, [("7", values), ("9", np.array([5], "<i8"))])),
    )


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Change bytes of `content`, or instructions of its pickles."""
    if rng.random() < 1 / 4:
        return _with_other_bytes(content, rng)
    return _with_other_instructions(content, rng)


def _with_other_bytes(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        start = rng.randrange(len(damaged))
        length = rng.choice((1, 4, 32))
        match rng.randrange(4):
            case 0 | 1:
                damaged[start] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2 if len(damaged) > 2 * length:
                del damaged[start : start + length]
            case _:
                damaged[start:start] = damaged[start : start + length]
    return bytes(damaged[: rng.randrange(1, len(damaged))] if rng.random() < 1 / 8 else damaged)


def _with_other_instructions(content: bytes, rng: random.Random) -> bytes:
    parts, tail = _split(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        start = rng.randrange(len(parts))
        end = min(len(parts), start + rng.choice((1, 1, 2, 5, 12)))
        other = rng.randrange(len(parts))
        match rng.randrange(6):
            case 0 | 1:
                parts[start] = _other_value(rng)
            case 2:
                del parts[start:end]
            case 3:
                parts[other:other] = parts[start:end]
            case 4:
                parts[start:end] = parts[start:end] * rng.choice((2, 3, 50))
            case _:
                parts[start:start] = [_other_value(rng)]
        if not parts:
            return tail
    return b"".join(parts) + tail


def _split(content: bytes) -> tuple[list[bytes], bytes]:
    """The instructions of all pickles at the start of `content`, and the bytes behind them."""
    file = io.BytesIO(content)
    starts: list[int] = []
    for _ in range(_NUM_PICKLES_OF_TORCH):
        begin = file.tell()
        try:
            starts += [begin + position for position in _positions(file, begin)]
        except ValueError:
            file.seek(begin)
            break
    end = file.tell()
    starts = [start for start in starts if start < end]
    return [content[start:stop] for start, stop in zip(starts, [*starts[1:], end], strict=True)], content[end:]


def _positions(file: io.BytesIO, begin: int) -> Iterator[int]:
    for _, _, position in pickletools.genops(file):
        assert position is not None
        yield position - begin


def _other_value(rng: random.Random) -> bytes:
    """The instructions of some value, or an instruction without its values."""
    match rng.randrange(8):
        case 0 | 1 | 2:
            return instructions(rng.choice(_NUMBERS))
        case 3:
            return instructions(rng.choice(("", "x", "f4", "O", "V0", "<", "|", "7", "params", "storage", "é" * 600)))
        case 4:
            return instructions(
                rng.choice((None, True, False, b"", b"\xff" * 96, (), [], {}, (2**62, 2**62), (0,), (24,)))
            )
        case 5:
            name = rng.choice(
                (
                    *(Named("numpy", "dtype"), Named("numpy", "ndarray"), Named("os", "abort")),
                    *(
                        Named("torch", "FloatStorage"),
                        Named("torch", "LongStorage"),
                        Named("collections", "OrderedDict"),
                    ),
                    *(Named("torch._utils", "_rebuild_tensor_v2"), Named("numpy.core.multiarray", "_reconstruct")),
                )
            )
            return instructions(rng.choice((name, Call(name, ()), Call(name, rng.choice(_NUMBERS)))))
        case 6:
            return rng.choice((b"h", b"q")) + bytes([rng.randrange(30)])
        case _:
            return rng.choice(pickletools.opcodes).code.encode("latin-1") + rng.randbytes(rng.choice((0, 1, 4)))


def main() -> None:
    """Parse the arguments, then damage and read files until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faulthandler.enable()
    # An input that asks for more memory than its size explains ends in a MemoryError, which fails.
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_SPACE_BYTES, _MAX_ADDRESS_SPACE_BYTES))
    sys.stdout.write(f"inputs are written to {_input_path()}\n")
    sys.stdout.flush()
    ends_at = time.monotonic() + arguments.seconds
    number = num_read = 0
    while time.monotonic() < ends_at:
        rng = random.Random(f"{arguments.seed}/{number}")  # noqa: S311
        check, content = rng.choice(seed_files())
        faulthandler.dump_traceback_later(_MAX_SECONDS_PER_INPUT, exit=True)
        try:
            num_read += check(mutate(content, rng))
        except BaseException:
            sys.stderr.write(f"failed with --seed {arguments.seed}, input {number}: {_input_path()}\n")
            raise
        number += 1
    faulthandler.cancel_dump_traceback_later()
    sys.stdout.write(f"{number} inputs: {num_read} gave arrays, {number - num_read} a TrainingError\n")


if __name__ == "__main__":
    main()
