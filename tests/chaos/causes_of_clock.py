"""Jumps of the database's clock. libfaketime reads the offset from a file about once per second."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.plan import PlannedEvent, chosen
from tests.chaos.site import Cause, Site

NO_OFFSET = "+0"
_OFFSETS = ("-2d", "-1h", "+1h", "+2d")
# Until all processes of the server have read the file again.
_READ_SECONDS = 1.2


@contextmanager
def _jumped(site: Site, event: PlannedEvent) -> Iterator[None]:
    assert site.clock_file is not None
    site.clock_file.write_text(chosen(_OFFSETS, event) + "\n")
    try:
        threading.Event().wait(_READ_SECONDS + event.hold_seconds)
        yield
    finally:
        site.clock_file.write_text(NO_OFFSET + "\n")
        threading.Event().wait(_READ_SECONDS)


def _needs_clock(site: Site) -> str | None:
    if site.clock_file is not None:
        return None
    return "the clock of SQLite is that of the machine" if site.postgres is None else "libfaketime is not installed"


CAUSES = (Cause("database clock jumped", _jumped, _needs_clock),)
