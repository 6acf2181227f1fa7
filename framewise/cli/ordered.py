"""Runs calls on several threads, with the results in order."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_order(call: Callable[[_Item], _Result], items: Iterable[_Item], num_threads: int) -> Iterator[_Result]:
    """The result of `call` for each item, in the order of the items; at most `num_threads` calls at once.

    The threads do not keep the process from ending.
    """
    if num_threads == 1:
        yield from map(call, items)
        return
    waiting: queue.SimpleQueue[tuple[Future[_Result], _Item]] = queue.SimpleQueue()

    def work() -> None:
        while True:
            future, item = waiting.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call(item))
                except BaseException as error:  # noqa: BLE001 - the caller of `result` gets it
                    future.set_exception(error)

    futures: list[Future[_Result]] = []
    for item in items:
        future: Future[_Result] = Future()
        waiting.put((future, item))
        futures.append(future)
    for _ in range(min(num_threads, len(futures))):
        threading.Thread(target=work, daemon=True).start()
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
