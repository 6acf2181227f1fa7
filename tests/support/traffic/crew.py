"""Runs callers, each in a thread of its own, until they are stopped."""

import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from tests.support.traffic.ledger import Ledger
from tests.support.traffic.sender import Sender


class Caller(Protocol):
    """Sends one request, or a few that belong together, with each call."""

    @property
    def sender(self) -> Sender:
        """Sends the requests, and has the caller's name in the report."""

    @property
    def pause_seconds(self) -> float:
        """Time between two calls."""

    def call(self) -> None:
        """Send the next request, and check the response."""


@contextmanager
def calling(callers: Sequence[Caller], ledger: Ledger) -> Iterator[None]:
    """Let all callers call for the length of the context; at its end their last calls are awaited."""
    is_over = threading.Event()

    def run(caller: Caller) -> None:
        while not is_over.wait(caller.pause_seconds):
            try:
                caller.call()
            except Exception:  # noqa: BLE001 - a fault of the test must not end its traffic unnoticed
                ledger.violate(caller.sender.caller, "the caller itself failed", traceback.format_exc())

    threads = [threading.Thread(target=run, args=(caller,), name=caller.sender.caller) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
