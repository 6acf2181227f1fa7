"""The clock of jobs: the database's clock, without its jumps.

All processes share the database's clock, but an operator or a time service may set it, by days and in either
direction. Leases, retention, put-off attempts and the age of the queue must not jump with it. Job time is therefore the
database's time plus a correction that is stored in the database. A process notices a jump by comparison with the
monotonic clock of its machine, and stores a new correction, so that job time goes on evenly:

    database's clock   10:00  10:01  |  12:02  12:03
    correction             0      0  |   -2 h   -2 h
    job time           10:00  10:01  |  10:02  10:03

Between a jump and the new correction, each process applies its own.
"""

import threading
import time
from dataclasses import dataclass, replace

from sqlalchemy import Connection, insert, text, update

from service.jobs.persistence.tables import JOB_CLOCK

# Goes on while the machine is suspended, as the clock of the database does. macOS has no such clock.
_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# A smaller jump is left alone: the clock of a database is never exact.
_TOLERANCE_SECONDS = 1.0
# How far job time may go back if no process runs while the database's clock is set back.
_MAX_UNSEEN_SECONDS = 60.0
_DATABASE_TIME = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch FROM clock_timestamp())",
}


@dataclass(frozen=True, slots=True)
class _Reading:
    """Job time with the stored correction, and the times of this machine between which it was read."""

    job_time: float
    correction: float
    # Of the stored correction; -1 if none is stored.
    version: int
    seen: float
    not_before: float
    not_after: float


class JobClock:
    """Job time as one process reads it; used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: _Reading | None = None
        # Of the correction that this process stored last; its transaction may have been rolled back.
        self._own_version: int | None = None
        self._offset_seconds = 0.0

    def now(self, connection: Connection) -> float:
        """Job time: Unix time in seconds, evenly."""
        reading = _read(connection)
        return reading.job_time - self._jump_seconds(reading)

    def shown_time(self, job_time: float) -> float:
        """The moment `job_time` on the present clock of the database, for people."""
        return job_time - self._offset_seconds

    def keep(self, connection: Connection) -> None:
        """Store a new correction after a jump, and now and then how far job time is. Needs a write transaction."""
        reading = _read(connection)
        jump_seconds = self._jump_seconds(reading)
        now = reading.job_time - jump_seconds
        is_current = JOB_CLOCK.c.version == reading.version
        if jump_seconds:
            self._own_version = reading.version + 1
            values = {"correction": reading.correction - jump_seconds, "version": self._own_version, "seen": now}
            # Another process may have corrected the same jump: then this changes nothing.
            connection.execute(update(JOB_CLOCK).where(is_current).values(**values))
        elif reading.version < 0:
            connection.execute(insert(JOB_CLOCK).values(id=1, correction=0, version=0, seen=now))
        elif abs(now - reading.seen) > _MAX_UNSEEN_SECONDS:
            connection.execute(update(JOB_CLOCK).where(is_current).values(seen=now))

    def _jump_seconds(self, reading: _Reading) -> float:
        """How far the reading is from where job time must be; 0 within the tolerance."""
        with self._lock:
            last = self._last
            if last is None:
                # Job time does not go back, if the clock was set back while no process ran.
                jump_seconds = _outside(reading.job_time, reading.seen, float("inf"))
            elif reading.version > last.version and reading.version != self._own_version:
                # Another process corrected job time. If both are right about their clocks, theirs is as good.
                jump_seconds = 0.0
            else:
                earliest = last.job_time + reading.not_before - last.not_after
                latest = last.job_time + reading.not_after - last.not_before
                jump_seconds = _outside(reading.job_time, earliest, latest)
            if not jump_seconds:
                self._last = reading
            elif last is None:
                # The next readings must go on from the corrected time.
                self._last = replace(reading, job_time=reading.job_time - jump_seconds)
            self._offset_seconds = reading.correction - jump_seconds
            return jump_seconds


def _outside(value: float, lowest: float, highest: float) -> float:
    if value < lowest - _TOLERANCE_SECONDS:
        return value - lowest
    if value > highest + _TOLERANCE_SECONDS:
        return value - highest
    return 0.0


def _read(connection: Connection) -> _Reading:
    database_time = _DATABASE_TIME[connection.dialect.name]
    statement = (
        f"SELECT {database_time}, coalesce(correction, 0), coalesce(version, -1), coalesce(seen, 0) "  # noqa: S608 - constants
        "FROM (SELECT 1 AS id) AS one LEFT JOIN job_clock ON job_clock.id = one.id"
    )
    not_before = time.clock_gettime(_BOOT_TIME)
    now, correction, version, seen = connection.execute(text(statement)).one()
    not_after = time.clock_gettime(_BOOT_TIME)
    return _Reading(float(now) + correction, correction, version, seen, not_before, not_after)
