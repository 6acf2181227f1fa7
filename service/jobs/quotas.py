"""Limits on the number and size of jobs, for the whole service and for each API key."""

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from service.jobs.errors import JobStorageFull, TooManyJobs
from service.jobs.settings import JobSettings
from service.jobs.tables import JOBS


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

    def fills_storage(self, num_bytes: int, settings: JobSettings, fraction: float) -> bool:
        """Whether another job of `num_bytes` exceeds `fraction` of the kept jobs or of their bytes."""
        is_full = self.num_kept >= max(1, int(fraction * settings.max_kept_jobs))
        return is_full or self.num_bytes + num_bytes > fraction * settings.max_job_bytes


def require_quota(connection: Connection, owner: str, num_bytes: int, settings: JobSettings) -> None:
    """Check that another job of `num_bytes` is within the limits of the service and of its owner.

    Raises:
        TooManyJobs: the queue is full.
        JobStorageFull: the storage is full.
    """
    total = Usage.read(connection)
    if total.fills_queue(settings, 1):
        raise TooManyJobs(
            f"{total.num_queued} jobs are queued, the maximum (SERVICE_MAX_QUEUED_JOBS). Try again later."
        )
    if total.fills_storage(num_bytes, settings, 1):
        raise JobStorageFull(
            "The job storage is full (SERVICE_MAX_KEPT_JOBS, SERVICE_MAX_JOB_BYTES). Remove ended jobs, or try later."
        )
    # Without API keys the owner is empty, and callers cannot be distinguished.
    if not owner:
        return
    own = Usage.read(connection, owner)
    if own.fills_queue(settings, settings.job_share_per_key):
        raise TooManyJobs(
            f"{own.num_queued} jobs of this API key are queued, the maximum per key (SERVICE_JOB_SHARE_PER_KEY). "
            "Try again later."
        )
    if own.fills_storage(num_bytes, settings, settings.job_share_per_key):
        raise JobStorageFull(
            "The job storage of this API key is full (SERVICE_JOB_SHARE_PER_KEY). Remove ended jobs, or try later."
        )
