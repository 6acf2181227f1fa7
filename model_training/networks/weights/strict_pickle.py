"""Reads the values of a pickle without Python's unpickler, so that the file can neither run code nor build objects.

`pickletools` splits the file into instructions. A `Grammar` lists the names that may occur and checks the arguments of
each call. Everything else is an error: other instructions, containers used in two places, more instructions than any
weight file needs. The work is therefore proportional to the size of the file.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

MAX_INSTRUCTIONS = 200_000
"""Instructions of one pickle. The published files have at most 12,000."""

MAX_TEXT_LENGTH = 500
"""Characters of a name or another text in the pickle."""

MAX_SHARED_TUPLE_LENGTH = 8
"""Elements of a tuple that the pickle may use in several places, such as the shape of an array."""

_OLDEST_PROTOCOL, _NEWEST_PROTOCOL = 2, 5


class MalformedPickle(Exception):
    """The file is not the pickle that it should be; the message states the difference."""


@dataclass(frozen=True, slots=True)
class Name:
    """A module and a name that the pickle refers to. It is never imported."""

    text: str


def refuse_state(_target: object, _state: object) -> None:
    """Raise `MalformedPickle`: the value before has no state of its own."""
    raise MalformedPickle("a value has a state")


def refuse_reference(_reference: object) -> object:
    """Raise `MalformedPickle`: the pickle is complete in itself."""
    raise MalformedPickle("the file refers to something outside of it")


@dataclass(frozen=True, slots=True)
class Grammar:
    """The names, calls and states that a pickle may contain. The functions raise `MalformedPickle` for all others."""

    names: frozenset[str] = frozenset()
    """Names that may stand as values."""
    calls: Mapping[str, Callable[[tuple[object, ...]], object]] = field(default_factory=dict)
    """For each name that may be called, the function that makes a value of the checked arguments."""
    set_state: Callable[[object, object], None] = refuse_state
    """Checks the second value and gives it to the first."""
    resolve: Callable[[object], object] = refuse_reference
    """Makes a value of a persistent id."""
    shareable: tuple[type, ...] = ()
    """Types of `calls` and `resolve` whose values may be used in several places."""


def read_pickle(file: BinaryIO, grammar: Grammar) -> object:
    """Return the value of the pickle at the position of `file`, and leave the file behind its end.

    The value consists of None, numbers, texts, bytes, tuples, lists, dicts with texts as keys, `Name`s and the values
    that `grammar` makes. No list and no dict occurs in two places.

    Raises:
        MalformedPickle: the file is not a pickle, or it is one that `grammar` does not allow.
    """
    machine = _Machine(grammar)
    try:
        for number, (instruction, argument, _) in enumerate(pickletools.genops(file)):
            if number == 0 and instruction.name != "PROTO":
                raise MalformedPickle("it does not begin like a pickle of protocol 2 or later")
            if number >= MAX_INSTRUCTIONS:
                raise MalformedPickle(f"a pickle of more than {MAX_INSTRUCTIONS} instructions")
            machine.run(instruction.name, argument)
    except ValueError as error:
        # `pickletools` found an unknown instruction, or the end of the file.
        raise MalformedPickle(f"not a complete pickle: {error}") from error
    return machine.result()


class _Machine:
    """The stack and the memo of a pickle that is read."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def result(self) -> object:
        if len(self._stack) != 1 or self._marks:
            raise MalformedPickle(f"{len(self._stack)} values where one is expected")
        return self._stack[0]

    def run(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        if name in _ATOMS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _TUPLE_LENGTHS:
            self._stack.append(tuple(self._pop(_TUPLE_LENGTHS[name])))
        elif name in _METHODS:
            _METHODS[name](self, argument)
        else:
            raise MalformedPickle(f"the pickle instruction {name} is not allowed")

    def begin(self, protocol: int) -> None:
        if not _OLDEST_PROTOCOL <= protocol <= _NEWEST_PROTOCOL:
            raise MalformedPickle(f"pickle protocol {protocol} is not supported")

    def mark(self, _: None) -> None:
        self._marks.append(len(self._stack))

    def push_text(self, text: str) -> None:
        if len(text) > MAX_TEXT_LENGTH:
            raise MalformedPickle(f"a text of more than {MAX_TEXT_LENGTH} characters")
        self._stack.append(text)

    def push_tuple(self, _: None) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def push_list(self, _: None) -> None:
        self._stack.append([])

    def push_dict(self, _: None) -> None:
        self._stack.append({})

    def append_one(self, _: None) -> None:
        self._append(self._pop(1))

    def append_many(self, _: None) -> None:
        self._append(self._pop_to_mark())

    def set_one(self, _: None) -> None:
        self._set_items(self._pop(2))

    def set_many(self, _: None) -> None:
        self._set_items(self._pop_to_mark())

    def remember(self, key: int | None) -> None:
        self._memo[len(self._memo) if key is None else key] = self._top()

    def push_remembered(self, key: int) -> None:
        if key not in self._memo:
            raise MalformedPickle("a value is used before it occurs")
        value = self._memo[key]
        if not self._is_shareable(value):
            raise MalformedPickle(f"{_described(value)} is used in two places")
        self._stack.append(value)

    def push_name(self, module_and_name: str | None) -> None:
        parts = self._pop(2) if module_and_name is None else module_and_name.split(" ", 1)
        name = ".".join(part if isinstance(part, str) else _described(part) for part in parts)
        if name not in self._grammar.names and name not in self._grammar.calls:
            raise MalformedPickle(f"the file asks for {ascii(name[:MAX_TEXT_LENGTH])[1:-1]}")
        self._stack.append(Name(name))

    def call(self, _: None) -> None:
        called, arguments = self._pop(2)
        if not isinstance(called, Name) or called.text not in self._grammar.calls:
            raise MalformedPickle(f"the file calls {_described(called)}")
        if not isinstance(arguments, tuple):
            raise MalformedPickle(f"{called.text} is called with {_described(arguments)}")
        self._stack.append(self._grammar.calls[called.text](arguments))

    def set_state(self, _: None) -> None:
        (state,) = self._pop(1)
        self._grammar.set_state(self._top(), state)

    def resolve(self, _: None) -> None:
        (reference,) = self._pop(1)
        self._stack.append(self._grammar.resolve(reference))

    def _top(self) -> object:
        (value,) = self._pop(1)
        self._stack.append(value)
        return value

    def _pop(self, num_values: int) -> list[object]:
        first = len(self._stack) - num_values
        if first < (self._marks[-1] if self._marks else 0):
            raise MalformedPickle("an instruction without the values that it needs")
        values = self._stack[first:]
        del self._stack[first:]
        return values

    def _pop_to_mark(self) -> list[object]:
        if not self._marks:
            raise MalformedPickle("an instruction without the mark that it needs")
        first = self._marks.pop()
        values = self._stack[first:]
        del self._stack[first:]
        return values

    def _append(self, values: list[object]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise MalformedPickle(f"values are appended to {_described(target)}")
        target.extend(values)

    def _set_items(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(items) % 2:
            raise MalformedPickle(f"{len(items)} keys and values are set in {_described(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise MalformedPickle(f"a key is {_described(key)} instead of a text")
            if key in target:
                raise MalformedPickle(f"the key {key!a} occurs twice")
            target[key] = value

    def _is_shareable(self, value: object) -> bool:
        if isinstance(value, tuple):
            return len(value) <= MAX_SHARED_TUPLE_LENGTH and all(isinstance(each, int) for each in value)
        return value is None or isinstance(value, (int, str, bytes, Name, *self._grammar.shareable))


_ATOMS = {"BININT", "BININT1", "BININT2", "LONG1", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLE_LENGTHS = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_METHODS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.begin,
    "FRAME": lambda _machine, _length: None,
    "STOP": lambda _machine, _: None,
    "MARK": _Machine.mark,
    "BINUNICODE": _Machine.push_text,
    "SHORT_BINUNICODE": _Machine.push_text,
    "TUPLE": _Machine.push_tuple,
    "EMPTY_LIST": _Machine.push_list,
    "EMPTY_DICT": _Machine.push_dict,
    "APPEND": _Machine.append_one,
    "APPENDS": _Machine.append_many,
    "SETITEM": _Machine.set_one,
    "SETITEMS": _Machine.set_many,
    "MEMOIZE": _Machine.remember,
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "BINGET": _Machine.push_remembered,
    "LONG_BINGET": _Machine.push_remembered,
    "GLOBAL": _Machine.push_name,
    "STACK_GLOBAL": _Machine.push_name,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.set_state,
    "BINPERSID": _Machine.resolve,
}


def _described(value: object) -> str:
    """The type of `value`, or the text of a name; short, whatever the file holds."""
    return value.text if isinstance(value, Name) else f"a value of type {type(value).__name__}"
