"""Worker processes that ignore Ctrl-C; the parent process decides when they stop."""

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
    """Yield a pool of processes with the module `preload` imported.

    When the block ends, running tasks complete and waiting tasks are cancelled.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([preload])
    # A terminal sends Ctrl-C to every process. Workers inherit the blocked signal; a handler would be installed
    # only after a second of start-up. The tracker starts first, because it unblocks the signal.
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
    """Submit `work` for each of `calls`; the futures are in the same order.

    Starts the processes; Ctrl-C is deferred, since a process interrupted while it starts prints a traceback.
    """
    with deferred_interrupt():
        return [pool.submit(work, *call) for call in calls]
