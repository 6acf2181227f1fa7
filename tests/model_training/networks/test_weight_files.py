"""Readers of weight files: what they read, and that every other file ends in one error."""

import math
import os
import pickle
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.lib.stride_tricks import as_strided

from fuzz.weights import check_arrays, check_tensors, mutate, seed_files
from model_training.errors import TrainingError
from model_training.networks.weights import array_pickle, files, strict_pickle, torch_pickle
from model_training.networks.weights.array_pickle import read_arrays
from model_training.networks.weights.layers import array_named, set_weights
from model_training.networks.weights.torch_pickle import read_tensors
from tests.support.weight_files import (
    MACHINE,
    MAGIC_NUMBER,
    Call,
    Instructions,
    Named,
    Reference,
    array,
    float_type,
    floats,
    pickled,
    storage,
    tensor,
    torch_file,
)

pytestmark = pytest.mark.timeout(60)

VALUES = floats(24)
BYTES = VALUES.tobytes()


def read_as_arrays(directory: Path, content: bytes) -> Mapping[str, Any]:
    (directory / "arrays").write_bytes(content)
    return read_arrays(directory / "arrays")


def read_as_tensors(directory: Path, content: bytes) -> Mapping[str, Any]:
    (directory / "tensors").write_bytes(content)
    return read_tensors(directory / "tensors")


def one_tensor(*arguments: Any, keyed: str = "7", stored: Any = VALUES) -> bytes:
    """A file of one tensor `x` of 24 values."""
    return torch_file({"x": tensor(storage("7", 24), *arguments)}, [(keyed, stored)])


def test_arrays_are_read_bit_for_bit_in_every_type_and_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    tree = {
        f"{code} {order}": np.asarray(rng.normal(size=(2, 3, 4)), dtype=code, order=order)
        for code in ("<f2", "<f4", ">f4", "<f8")
        for order in ("C", "F")
    }
    for protocol in (3, 4):
        arrays = read_as_arrays(tmp_path, pickle.dumps({"params": {"layer": tree}}, protocol=protocol))
        assert sorted(arrays) == sorted(f"params/layer/{name}" for name in tree)
        for name, expected in tree.items():
            np.testing.assert_array_equal(arrays[f"params/layer/{name}"], expected)
            assert arrays[f"params/layer/{name}"].dtype == expected.dtype


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_tensor_of_any_strides_is_the_one_that_pytorch_saw(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 3), max_size=3).map(tuple))
    strides = data.draw(st.permutations([1, 3, 9]).map(lambda steps: tuple(steps[: len(shape)])))
    last = sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    offset = data.draw(st.integers(0, max(0, 27 - 1 - last)))
    values = floats(27)
    content = torch_file({"x": tensor(storage("7", 27), offset, shape, strides)}, [("7", values)])
    (found,) = torch_pickle._tensors_of(content).values()  # noqa: SLF001 - without a file, forty times
    expected = as_strided(values[offset:], shape, [4 * step for step in strides])
    np.testing.assert_array_equal(found, expected)


ANY_NUMBER = st.one_of(st.integers(-3, 30), st.sampled_from([2**31, 2**62, 2**63, 2**64, 2**500, -(2**63), -(2**80)]))


@given(
    num_values=ANY_NUMBER,
    offset=ANY_NUMBER,
    shape=st.lists(ANY_NUMBER, max_size=4),
    strides=st.lists(ANY_NUMBER, max_size=4),
)
@settings(max_examples=120, deadline=None)
def test_no_offset_shape_or_stride_reads_outside_of_the_storage(
    num_values: int, offset: int, shape: list[int], strides: list[int]
) -> None:
    described = tensor(storage("7", num_values), offset, tuple(shape), tuple(strides))
    check_tensors(torch_file({"x": described}, [("7", VALUES)]))


@given(shape=st.lists(ANY_NUMBER, max_size=4), code=st.text(max_size=4), size=st.integers(0, 96))
@settings(max_examples=120, deadline=None)
def test_no_shape_or_type_reads_outside_of_the_array(shape: list[int], code: str, size: int) -> None:
    for dtype in (float_type(), float_type(code)):
        check_arrays(pickled({"x": array(tuple(shape), BYTES[:size], dtype)}))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=int(os.environ.get("NUM_CASES", "300")), deadline=None)
def test_a_damaged_file_gives_arrays_of_its_own_bytes_or_one_error(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    check, content = rng.choice(seed_files())
    check(mutate(content, rng))


FLOAT64_WITH_POINTERS = float_type("O8", (3, "|", None, None, None, -1, -1, 0))
ZERO_SIZE = float_type("V0", (3, "|", None, None, None, 0, 1, 0))
SELF_CONTAINING = Instructions(b"]q\x00h\x00a")
# Each level names the level below it twice: 2^60 lists in 200 bytes.
LAUGHS = Instructions(b"]q\x00" + b"".join(b"0](h%ch%ceq%c" % (n, n, n + 1) for n in range(60)).replace(b"0", b""))
BILLION_TUPLES = Instructions(b")q\x00" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60)))

MALFORMED_ARRAYS = {
    "empty": (b"", "complete pickle"),
    "text": (b"not a pickle", "complete pickle|not begin"),
    "protocol 0": (b"(dp0\n.", "not begin like a pickle"),
    "protocol 9": (b"\x80\x09}.", "protocol 9 is not supported"),
    "cut": (pickled({"x": array((24,), BYTES)})[:-40], "complete pickle"),
    "a tail": (pickled({"x": array((24,), BYTES)}) + b"x", "1 bytes follow"),
    "nothing": (pickled({}), "holds no arrays"),
    "a number": (pickled(7), "holds a value of type int"),
    "two values": (b"\x80\x04}}.", "2 values where one"),
    "an open mark": (b"\x80\x04(}.", "1 values where one"),
    "no value": (b"\x80\x04.", "0 values where one"),
    "a stack without values": (b"\x80\x04R.", "without the values"),
    "a value from below the mark": (b"\x80\x04N(\x85.", "without the values"),
    "a tuple without a mark": (b"\x80\x04t.", "without the mark"),
    "an unknown value of the memo": (b"\x80\x04h\x07.", "before it occurs"),
    "a float": (b"\x80\x04G" + b"\0" * 8 + b".", "BINFLOAT is not allowed"),
    "a set": (pickled(Instructions(b"\x8f")), "EMPTY_SET is not allowed"),
    "an extension": (pickled(Instructions(b"\x82\x01")), "EXT1 is not allowed"),
    "a long number": (pickled(Instructions(b"\x8b\xff\xff\xff\x7f")), "complete pickle"),
    "a long decimal number": (pickled(Instructions(b"L" + b"9" * 10_000 + b"L\n")), "complete pickle|not allowed"),
    "an object": (pickled(Instructions(b"cnumpy\nndarray\n)\x81")), "NEWOBJ is not allowed"),
    "a persistent id": (pickled({"x": Reference("7")}), "outside of it"),
    "code": (pickled({"x": Call(Named("os", "system"), ("true",))}), r"asks for os\.system"),
    "code in a nested name": (pickled(Call(Named("numpy", "dtype.__reduce__"), ())), "asks for numpy.dtype.__reduce__"),
    "a name of numbers": (b"\x80\x04K\x01K\x02\x93.", "asks for a value of type int"),
    "a call of a class": (pickled(Call(Named("numpy", "ndarray"), ((2**40,),))), "calls numpy.ndarray"),
    "a call of a number": (pickled(Call(7, ())), "calls a value of type int"),
    "a call without a tuple": (pickled(Call(Named("numpy", "dtype"), "f4")), "called with a value of type str"),
    "objects": (pickled({"x": array((1,), BYTES[:8], FLOAT64_WITH_POINTERS)}), "type 'O8'"),
    "objects as floats": (
        pickled({"x": array((1,), BYTES[:8], float_type("f8", (3, "|", None, ("a",), {"a": 1}, 8, 8, 63)))}),
        "another state",
    ),
    "pointers by flags": (
        pickled({"x": array(array((1,), BYTES[:8], float_type("O", (3, "|", None, None, None, -1, -1, 0))), BYTES)}),
        "type 'O'",
    ),
    "a type without size": (pickled({"x": array((2**62,), b"", ZERO_SIZE)}), "type 'V0'"),
    "text as type": (pickled({"x": array((1,), b"aaaa", float_type("U1"))}), "type 'U1'"),
    "integers": (pickled({"x": array((1,), BYTES[:4], float_type("i4"))}), "type 'i4'"),
    "a type of a number": (pickled({"x": array((1,), BYTES[:4], float_type(4))}), "other arguments than NumPy"),
    "an aligned type": (
        pickled({"x": array((1,), BYTES[:4], float_type("f4", flags=(True, True)))}),
        "other arguments",
    ),
    "a type without state": (pickled({"x": array((1,), BYTES[:4], float_type("f4", None))}), "another state"),
    "a type as array": (pickled({"x": float_type()}), "holds a value of type _Type"),
    "an array without state": (pickled({"x": Call(array(0, b"").called, array(0, b"").arguments)}), "unfinished array"),
    "a state for a dict": (pickled(Instructions(b"}}b")), "another state"),
    "another class": (
        pickled({"x": Call(array(0, b"").called, (Named("numpy", "dtype"), (0,), b"b"), (1, (), 4, False, b""))}),
        "other arguments than NumPy",
    ),
    "another first shape": (
        pickled({"x": Call(array(0, b"").called, (Named("numpy", "ndarray"), (2**62,), b"b"))}),
        "other arguments than NumPy",
    ),
    "a shape of no tuple": (pickled({"x": array(24, BYTES)}), "another state"),
    "a negative shape": (pickled({"x": array((-1,), BYTES)}), "positive length"),
    "a shape of zero": (pickled({"x": array((0, 2**62), b"")}), "positive length"),
    "a shape of text": (pickled({"x": array(("24",), BYTES)}), "positive length"),
    "a shape of truth": (pickled({"x": array((True, 24), BYTES)}), "positive length"),
    "many dimensions": (pickled({"x": array((1,) * 65, BYTES[:4])}), "0 to 8 dimensions"),
    "a huge shape": (pickled({"x": array((2**62, 2**62), BYTES)}), "differs from its number of bytes"),
    "too few bytes": (pickled({"x": array((25,), BYTES)}), "differs from its number of bytes"),
    "too many bytes": (pickled({"x": array((23,), BYTES)}), "differs from its number of bytes"),
    "content as text": (pickled({"x": array((1,), "aaaa")}), "another state"),
    "content as list": (pickled({"x": array((1,), [1.0] and [1])}), "another state"),
    "a list of arrays": (pickled({"x": [array((24,), BYTES)]}), "type list"),
    "a number as key": (pickled({1: array((24,), BYTES)}), "instead of a text"),
    "a list as key": (pickled(Instructions(b"}]Ns")), "instead of a text"),
    "a key twice": (pickled(Instructions(b"}(X\x01\0\0\0aNX\x01\0\0\0aNu")), "occurs twice"),
    "a key without value": (pickled(Instructions(b"}(X\x01\0\0\0au")), "1 keys and values"),
    "items of a list": (pickled(Instructions(b"]NNs")), "set in a value of type list"),
    "elements of a dict": (pickled(Instructions(b"}Na")), "appended to a value of type dict"),
    "one name for two": (pickled({"a/b": array((24,), BYTES), "a": {"b": array((24,), BYTES)}}), "two arrays have the"),
    "a long key": (pickled({"x" * 501: array((24,), BYTES)}), "more than 500 characters"),
    "a key for a terminal": (pickled({"\x1b[2J\ud800": 7}), r"'\\x1b\[2J\\ud800' holds"),
    "a list in itself": (pickled({"x": SELF_CONTAINING}), "list is used in two places"),
    "lists of lists": (pickled({"x": LAUGHS}), "list is used in two places"),
    "tuples of tuples": (pickled({"x": BILLION_TUPLES}), "tuple is used in two places"),
    "a dict in itself": (b"\x80\x04}q\x00X\x01\0\0\0ah\x00s.", "dict is used in two places"),
    "an array in two places": (
        b"\x80\x04}(X\x01\0\0\0a" + pickled(array((24,), BYTES))[2:-1] + b"q\x00X\x01\0\0\0bh\x00u.",
        "used in two places",
    ),
    "many dicts": (pickled(Instructions(b"}X\x01\0\0\0a" * 17 + b"N" + b"s" * 17)), "more than 16 dicts"),
    "deep dicts": (pickled(Instructions(b"}X\x01\0\0\0a" * 60_000 + b"N" + b"s" * 60_000)), "more than 16 dicts"),
    "deep tuples": (pickled(Instructions(b")" + b"\x85" * 150_000)), "type tuple"),
    "deep arguments": (
        pickled(Call(Named("numpy", "dtype"), Instructions(b")" + b"\x85" * 150_000))),
        "other arguments",
    ),
    "instructions": (pickled(Instructions(b"NN\x86" * 100_000)), "more than 200000 instructions"),
}


@pytest.mark.parametrize("case", MALFORMED_ARRAYS)
def test_a_malformed_file_of_arrays_is_an_error_that_states_the_reason(case: str, tmp_path: Path) -> None:
    content, reason = MALFORMED_ARRAYS[case]
    with pytest.raises(TrainingError, match=rf"arrays: not a file of arrays: .*({reason})") as caught:
        read_as_arrays(tmp_path, content)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


HOOKS = Call(Named("collections", "OrderedDict"), ())
GOOD = tensor(storage("7", 24), 0, (24,), (1,))

MALFORMED_TENSORS = {
    "empty": (b"", "complete pickle"),
    "a number": (pickled(7), "magic number"),
    "an archive": (b"PK\x03\x04" + b"\0" * 60, "ZIP archive"),
    "another version": (torch_file({"x": GOOD}, [], before=(MAGIC_NUMBER, 1002, MACHINE)), "version is not 1001"),
    "no machine": (torch_file({"x": GOOD}, [], before=(MAGIC_NUMBER, 1001, [])), "not little-endian"),
    "big-endian": (torch_file({}, [], before=(MAGIC_NUMBER, 1001, {"little_endian": False})), "not little-endian"),
    "code at the start": (torch_file({}, [], before=(Call(Named("os", "abort"), ()),)), "asks for os.abort"),
    "no tensors": (torch_file({}, []), "no dict of tensors"),
    "a list": (torch_file([GOOD], [("7", VALUES)]), "no dict of tensors"),
    "a number as tensor": (torch_file({"x": 7}, [("7", VALUES)]), "'x' is a int instead of a tensor"),
    "nested tensors": (torch_file({"x": {"y": GOOD}}, [("7", VALUES)]), "'x' is a dict instead"),
    "a negative offset": (one_tensor(-5, (10,), (1,)), "begins before its storage"),
    "an offset far below": (one_tensor(-(2**70), (10,), (1,)), "begins before its storage"),
    "an offset far above": (one_tensor(2**70, (10,), (1,)), "outside its storage"),
    "an offset of text": (one_tensor("0", (10,), (1,)), "other arguments than PyTorch"),
    "a negative stride": (one_tensor(23, (24,), (-1,)), "strides is not a tuple"),
    "two strides that cancel": (one_tensor(0, (2, 2), (2**64, -(2**64))), "strides is not a tuple"),
    "a huge stride": (one_tensor(0, (2,), (2**61,)), "outside its storage"),
    "a stride that overflows": (one_tensor(0, (2,), (2**62 + 1,)), "outside its storage"),
    "a repeated value": (one_tensor(0, (2**40,), (0,)), "tensors have|outside its storage"),
    "few repeated values": (one_tensor(0, (25,), (0,)), "outside its storage"),
    "a shape of zero": (one_tensor(0, (0, 2**62), (1, 1)), "shape is not a tuple"),
    "a negative shape": (one_tensor(0, (-24,), (1,)), "shape is not a tuple"),
    "a shape of truth": (one_tensor(0, (True, 24), (1, 1)), "shape is not a tuple"),
    "a list as shape": (one_tensor(0, [24], (1,)), "shape is not a tuple"),
    "many dimensions": (one_tensor(0, (1,) * 65, (1,) * 65), "up to 8 numbers"),
    "fewer strides": (one_tensor(0, (2, 2), (1,)), "2 dimensions with 1 strides"),
    "one value more": (one_tensor(0, (25,), (1,)), "outside its storage"),
    "one value later": (one_tensor(1, (24,), (1,)), "outside its storage"),
    "hooks": (one_tensor(0, (24,), (1,), *(False, {"a": 1})), "other arguments than PyTorch"),
    "no hooks": (one_tensor(0, (24,), (1,), *(False,)), "other arguments than PyTorch"),
    "no storage": (torch_file({"x": tensor("7", 0, (24,), (1,))}, [("7", VALUES)]), "other arguments than PyTorch"),
    "a module": (torch_file({"x": Reference(("module", "a", "b", "c"))}, []), "not a storage"),
    "a short reference": (torch_file({"x": Reference(("storage",))}, []), "not a storage"),
    "a reference of no tuple": (torch_file({"x": Reference(7)}, []), "not a storage"),
    "another type": (
        torch_file({"x": tensor(storage("7", 24, "ComplexStorage"), 0, (1,), (1,))}, []),
        "asks for torch",
    ),
    "a function as type": (
        torch_file({"x": Reference(("storage", Named("collections", "OrderedDict"), "7", "cpu", 24, None))}, []),
        "not a storage",
    ),
    "a storage of nothing": (torch_file({"x": tensor(storage("7", 0), 0, (1,), (1,))}, []), "not a storage"),
    "a negative storage": (torch_file({"x": tensor(storage("7", -1), 0, (1,), (1,))}, []), "not a storage"),
    "a key that is a list": (torch_file({"x": tensor(storage(["7"], 24), 0, (1,), (1,))}, []), "not a storage"),
    "two sizes of a storage": (
        torch_file({"x": GOOD, "y": tensor(storage("7", 23), 0, (1,), (1,))}, [("7", VALUES)]),
        "disagree on their storage",
    ),
    "two types of a storage": (
        torch_file({"x": GOOD, "y": tensor(storage("7", 24, "LongStorage"), 0, (1,), (1,))}, [("7", VALUES)]),
        "disagree on their storage",
    ),
    "another storage": (one_tensor(0, (24,), (1,), keyed="8"), "differs from those of the tensors"),
    "a storage twice": (torch_file({"x": GOOD}, [("7", VALUES)], keys=["7", "7"]), "differs from those"),
    "a storage too many": (torch_file({"x": GOOD}, [("7", VALUES), ("8", VALUES)]), "differs from those"),
    "no keys": (torch_file({"x": GOOD}, [("7", VALUES)], keys=7), "no list of keys"),
    "keys that are lists": (torch_file({"x": GOOD}, [("7", VALUES)], keys=[["7"]]), "no list of keys"),
    "a longer storage": (one_tensor(0, (24,), (1,), stored=floats(25)), "25 values instead of 24"),
    "a count that overflows": (one_tensor(0, (24,), (1,))[: -8 - 96] + b"\xff" * 8, "values instead of 24"),
    "a cut storage": (one_tensor(0, (24,), (1,))[:-1], "ends in the storage"),
    "no storage in the file": (one_tensor(0, (24,), (1,))[: -8 - 96], "0 values instead of 24"),
    "a tail": (one_tensor(0, (24,), (1,)) + b"x", "bytes follow the last storage"),
    "a huge storage": (
        torch_file({"x": tensor(storage("7", 2**60), 0, (1,), (1,))}, [("7", VALUES)]),
        "24 values instead of",
    ),
    "a state of a tensor": (torch_file({"x": Call(GOOD.called, GOOD.arguments, {"a": 1})}, []), "a value has a state"),
    "a state that replaces methods": (
        torch_file(Call(HOOKS.called, (), {"_metadata": {}, "items": 7}), []),
        "a value has a state",
    ),
    "a dict with arguments": (torch_file(Call(HOOKS.called, ([("a", 1)],)), []), "made with arguments"),
}


@pytest.mark.parametrize("case", MALFORMED_TENSORS)
def test_a_malformed_file_of_tensors_is_an_error_that_states_the_reason(case: str, tmp_path: Path) -> None:
    content, reason = MALFORMED_TENSORS[case]
    with pytest.raises(TrainingError, match=rf"not a legacy PyTorch weight file: .*({reason})") as caught:
        read_as_tensors(tmp_path, content)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


def test_the_versions_of_layers_beside_the_tensors_are_accepted(tmp_path: Path) -> None:
    named = Instructions(
        pickled(HOOKS, 2)[2:-1]
        + b"X\x01\0\0\0x"
        + pickled(GOOD, 2)[2:-1]
        + b"s"
        + pickled({"_metadata": {}}, 2)[2:-1]
        + b"b"
    )
    tensors = read_as_tensors(tmp_path, torch_file(named, [("7", VALUES)]))
    np.testing.assert_array_equal(tensors["x"], VALUES)


def test_tensors_that_repeat_a_storage_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_pickle, "MAX_TENSOR_BYTES", 10 * 96)
    ten = torch_file({str(number): GOOD for number in range(10)}, [("7", VALUES)])
    assert len(read_as_tensors(tmp_path, ten)) == 10
    eleven = torch_file({str(number): GOOD for number in range(11)}, [("7", VALUES)])
    with pytest.raises(TrainingError, match="its tensors have 1056 bytes; the limit is 960"):
        read_as_tensors(tmp_path, eleven)


@pytest.mark.parametrize("read", [read_arrays, read_tensors])
def test_a_path_without_a_readable_file_is_an_error(read: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(files.MAX_FILE_BYTES + 1)
    for name, reason in {
        "missing": "No such file",
        ".": "Is a directory|not a regular file",
        "fifo": "not a regular file",
        "large": f"more than {files.MAX_FILE_BYTES} bytes",
        "\0": "cannot be read",
    }.items():
        with pytest.raises(TrainingError, match=reason):
            read(tmp_path / name)


def test_the_bounds_leave_room_for_the_published_files() -> None:
    assert files.MAX_FILE_BYTES > 2 * 50_830_672
    assert strict_pickle.MAX_INSTRUCTIONS > 10 * 11_462
    assert array_pickle.MAX_DEPTH > 4


class _Layer:
    """A Keras layer as far as its weights go."""

    name = "block_00_conv"

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        self.weights = [np.zeros(shape) for shape in shapes]

    def set_weights(self, arrays: Any) -> None:
        self.weights = list(arrays)


def test_a_layer_takes_only_arrays_of_its_shapes() -> None:
    layer = _Layer((3, 2))
    set_weights(layer, [np.ones((3, 2))])
    assert layer.weights[0].all()
    with pytest.raises(TrainingError, match=r"block_00_conv, which needs \[\(3, 2\)\]"):
        set_weights(layer, [np.ones((2, 3))])


def test_a_missing_array_is_named() -> None:
    with pytest.raises(TrainingError, match=r"no array 'stem\.weight'"):
        array_named({}, "stem.weight", 4)
    with pytest.raises(TrainingError, match=r"'stem\.weight' has 1 dimensions in"):
        array_named({"stem.weight": np.ones(math.prod((3, 2)))}, "stem.weight", 4)
