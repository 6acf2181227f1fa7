"""Ctrl-C as a question that a loop may ask, so that nothing is cut in half."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupt_flag() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed; a second one ends at once."""
    is_set = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_set
        if is_set:
            raise KeyboardInterrupt
        is_set = True

    with _handled_by(stop):
        yield lambda: is_set


@contextmanager
def immediate_interrupt() -> Iterator[None]:
    """Ctrl-C within comes as KeyboardInterrupt, whatever is around it."""
    with _handled_by(signal.default_int_handler):
        yield


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Ctrl-C within comes when this ends; a second one, at once."""
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
