"""Errors of jobs. Their messages contain no internal details and can be shown to clients."""


class JobsDisabled(Exception):
    """No directory for jobs is configured."""


class UnknownJob(Exception):
    """The job does not exist, or belongs to another API key."""


class IdempotencyConflict(Exception):
    """The idempotency key was used for another video or query."""


class TooManyJobs(Exception):
    """The queue of jobs is full."""


class JobStorageFull(Exception):
    """The storage of jobs, their number or bytes, is full."""


class CallbackNotAllowed(Exception):
    """The service is not allowed to call this callback URL."""


class TooManyListeners(Exception):
    """The maximum number of event streams is open."""


class JobAbandoned(Exception):
    """Every process that ran the job died before the job ended."""


class DatabaseUnavailable(OSError):
    """The job database cannot be reached or cannot be written to."""
