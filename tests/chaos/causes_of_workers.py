"""Faults of decode workers."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from tests.chaos.plan import PlannedEvent, chosen
from tests.chaos.site import Cause, Site
from tests.support.process_tree import decode_workers


@contextmanager
def _one_killed(site: Site, event: PlannedEvent) -> Iterator[None]:
    _signal(_one_of(site, event), signal.SIGKILL)
    yield


@contextmanager
def _all_killed(site: Site, _event: PlannedEvent) -> Iterator[None]:
    _signal(_all_of(site), signal.SIGKILL)
    yield


@contextmanager
def _one_frozen(site: Site, event: PlannedEvent) -> Iterator[None]:
    with _frozen(_one_of(site, event), event):
        yield


@contextmanager
def _all_frozen(site: Site, event: PlannedEvent) -> Iterator[None]:
    with _frozen(_all_of(site), event):
        yield


@contextmanager
def _frozen(workers: Sequence[int], event: PlannedEvent) -> Iterator[None]:
    _signal(workers, signal.SIGSTOP)
    try:
        threading.Event().wait(event.hold_seconds)
        yield
    finally:
        _signal(workers, signal.SIGCONT)


def _all_of(site: Site) -> list[int]:
    return sorted(decode_workers(site.service.process_id))


def _one_of(site: Site, event: PlannedEvent) -> list[int]:
    workers = _all_of(site)
    return [chosen(workers, event)] if workers else []


def _signal(workers: Sequence[int], sig: signal.Signals) -> None:
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(worker, sig)


CAUSES = (
    Cause("worker killed", _one_killed),
    Cause("all workers killed", _all_killed),
    Cause("worker frozen", _one_frozen),
    Cause("all workers frozen", _all_frozen),
)
