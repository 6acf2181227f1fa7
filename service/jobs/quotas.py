"""Limits on the number and size of jobs, for the whole service and for each API key."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from service.jobs.errors import JobStorageFull, TooManyJobs
from service.jobs.persistence.tables import JOBS
from service.jobs.settings import JobSettings


@dataclass(frozen=True, slots=True)
class Usage:
    """Number and bytes of stored jobs."""

    num_queued: int
    num_kept: int
    num_bytes: int

    @classmethod
    def read(cls, connection: Connection, owner: str | None = None) -> "Usage":
        """The usage of one owner, or of all owners for None."""
        is_queued = case((JOBS.c.state == "queued", 1), else_=0)
        totals = (func.sum(is_queued), func.count(), func.sum(JOBS.c.num_stored_bytes))
        statement = select(*(func.coalesce(total, 0) for total in totals))
        if owner is not None:
            statement = statement.where(JOBS.c.owner == owner)
        return cls(*map(int, connection.execute(statement).one()))

    def fills_queue(self, settings: JobSettings, fraction: float) -> bool:
        """Whether `fraction` of the queue is used up."""
        return self.num_queued >= max(1, int(fraction * settings.max_queued_jobs))

    def fills_number(self, settings: JobSettings, fraction: float) -> bool:
        """Whether `fraction` of the kept jobs is used up."""
        return self.num_kept >= max(1, int(fraction * settings.max_kept_jobs))

    def fills_bytes(self, num_bytes: int, settings: JobSettings, fraction: float) -> bool:
        """Whether `num_bytes` more exceed `fraction` of the bytes."""
        return self.num_bytes + num_bytes > fraction * settings.max_job_bytes


@dataclass(frozen=True, slots=True)
class ArrivingBytes:
    """Bytes of uploads in progress, of all owners and of one."""

    total: int = 0
    own: int = 0


NOTHING_ARRIVING = ArrivingBytes()
"""No upload is in progress."""


class UploadsInProgress:
    """Bytes of the uploads in progress, for each owner; an upload of unknown size counts as the largest."""

    def __init__(self) -> None:
        self._by_owner: Counter[str] = Counter()

    @contextmanager
    def counted(self, owner: str, num_bytes: int) -> Iterator[ArrivingBytes]:
        """Count an upload while the context lasts; yields the bytes of those that began before it."""
        before = ArrivingBytes(self._by_owner.total(), self._by_owner[owner])
        self._by_owner[owner] += num_bytes
        try:
            yield before
        finally:
            self._by_owner[owner] -= num_bytes
            if not self._by_owner[owner]:
                del self._by_owner[owner]


def require_quota(
    connection: Connection,
    owner: str,
    num_bytes: int,
    settings: JobSettings,
    arriving: ArrivingBytes = NOTHING_ARRIVING,
) -> None:
    """Check that another job of `num_bytes` is within the limits of the service and of its owner.

    The uploads in progress of all owners count for the service, those of the owner for the owner.

    Raises:
        TooManyJobs: the queue is full.
        JobStorageFull: the storage is full.
    """
    total = Usage.read(connection)
    if total.fills_queue(settings, 1):
        raise TooManyJobs(
            f"{total.num_queued} jobs are queued, the maximum (SERVICE_MAX_QUEUED_JOBS). Try again later."
        )
    if total.fills_number(settings, 1):
        raise JobStorageFull(
            f"{total.num_kept} jobs are kept, the maximum (SERVICE_MAX_KEPT_JOBS). Remove ended jobs, or try later."
        )
    if total.fills_bytes(arriving.total + num_bytes, settings, 1):
        raise JobStorageFull(
            f"The job storage is full: jobs take {total.num_bytes} bytes, uploads in progress may take "
            f"{arriving.total}, and this one {num_bytes}; the maximum is {settings.max_job_bytes} "
            "(SERVICE_MAX_JOB_BYTES). Remove ended jobs, or try later."
        )
    # Without API keys the owner is empty, and callers cannot be distinguished.
    if not owner:
        return
    own, fraction = Usage.read(connection, owner), settings.job_share_per_key
    if own.fills_queue(settings, fraction):
        raise TooManyJobs(
            f"{own.num_queued} jobs of this API key are queued, the maximum per key (SERVICE_JOB_SHARE_PER_KEY). "
            "Try again later."
        )
    if own.fills_number(settings, fraction):
        raise JobStorageFull(
            f"{own.num_kept} jobs of this API key are kept, the maximum per key (SERVICE_JOB_SHARE_PER_KEY). Remove "
            "ended jobs, or try later."
        )
    if own.fills_bytes(arriving.own + num_bytes, settings, fraction):
        raise JobStorageFull(
            f"The job storage of this API key is full: its jobs take {own.num_bytes} bytes, its uploads in progress "
            f"may take {arriving.own}, and this one {num_bytes}; the maximum per key is "
            f"{int(fraction * settings.max_job_bytes)} (SERVICE_JOB_SHARE_PER_KEY). Remove ended jobs, or try later."
        )
