"""Faults of the service process itself."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.plan import PlannedEvent
from tests.chaos.site import Cause, Site


@contextmanager
def _killed(site: Site, _event: PlannedEvent) -> Iterator[None]:
    site.service.end(signal.SIGKILL)
    yield


@contextmanager
def _restarted(site: Site, _event: PlannedEvent) -> Iterator[None]:
    site.service.end(signal.SIGTERM)
    yield


@contextmanager
def _frozen(site: Site, event: PlannedEvent) -> Iterator[None]:
    process_id = site.service.process_id
    os.kill(process_id, signal.SIGSTOP)
    try:
        threading.Event().wait(event.hold_seconds)
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


@contextmanager
def _started_before_its_database(site: Site, event: PlannedEvent) -> Iterator[None]:
    assert site.postgres is not None
    site.postgres.stop()
    try:
        site.service.end(signal.SIGKILL)
        site.service.wait_until_listening()
        threading.Event().wait(event.hold_seconds)
        yield
    finally:
        site.postgres.start()


def _needs_postgres(site: Site) -> str | None:
    return "SQLite has no server" if site.postgres is None else None


CAUSES = (
    Cause("service killed", _killed, ends_process=True),
    Cause("service restarted", _restarted, ends_process=True),
    Cause("service frozen", _frozen),
    Cause(
        "service started before its database", _started_before_its_database, missing=_needs_postgres, ends_process=True
    ),
)
