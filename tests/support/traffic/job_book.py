"""Every accepted job with what is known about it."""

import threading
from dataclasses import dataclass, field


@dataclass
class AcceptedJob:
    """One submission that the service has accepted."""

    id: str
    idempotency_key: str
    video: str
    query: int
    """Index of `QUERIES`."""
    has_callback: bool
    is_cancelled: bool = False
    """Its caller has cancelled it; it may have ended before."""
    is_removed: bool = False
    """Its caller has removed it after its end."""
    result: str | None = None
    """The result that was seen first, with its timings: a job that ran twice to its end would have others."""


@dataclass
class JobBook:
    """The accepted jobs of one API key, reported by several threads."""

    jobs: dict[str, AcceptedJob] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def accept(self, job: AcceptedJob) -> AcceptedJob:
        """Add a job; returns the one that has its id, which is another one if the service gave that id twice."""
        with self._lock:
            return self.jobs.setdefault(job.id, job)

    def all(self) -> list[AcceptedJob]:
        """The accepted jobs."""
        with self._lock:
            return list(self.jobs.values())
