"""Worker processes that Ctrl-C does not reach: whoever started them decides what becomes of their work."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, resource_tracker
from typing import Any, TypeVar

from model_training.interrupt import deferred_interrupt

Result = TypeVar("Result")


@contextmanager
def worker_processes(num_processes: int, preload: str) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes that have the module `preload` imported. What has begun is ended, what has not is left."""
    context = get_context("forkserver")
    context.set_forkserver_preload([preload])
    # Ctrl-C goes to every process of a terminal. Workers inherit that it is blocked: to ignore it, one would have
    # to be up already, and a worker is a second in coming. The tracker first: it lets the signal through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    pool = ProcessPoolExecutor(num_processes, context)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def submit_all(
    pool: ProcessPoolExecutor, work: Callable[..., Result], calls: Iterable[tuple[Any, ...]]
) -> list[Future[Result]]:
    """What will come of `work` for each of `calls`, in their order.

    The processes come up here: one that Ctrl-C left half started would say so in a traceback of its own.
    """
    with deferred_interrupt():
        return [pool.submit(work, *call) for call in calls]
