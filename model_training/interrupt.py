"""Ctrl-C as a flag that loops poll, so that each step completes before the command ends."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupt_flag() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed; a second Ctrl-C raises KeyboardInterrupt."""
    is_set = False

    def set_flag(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_set
        if is_set:
            raise KeyboardInterrupt
        is_set = True

    with _handled_by(set_flag):
        yield lambda: is_set


@contextmanager
def immediate_interrupt() -> Iterator[None]:
    """Make Ctrl-C raise KeyboardInterrupt inside the block, also within `interrupt_flag`."""
    with _handled_by(signal.default_int_handler):
        yield


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Delay Ctrl-C until the block ends; a second Ctrl-C raises KeyboardInterrupt at once."""
    with interrupt_flag() as is_stopping:
        yield
    if is_stopping():
        raise KeyboardInterrupt


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
