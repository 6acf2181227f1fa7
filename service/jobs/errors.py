"""What may be wrong with a job, or with asking for one; `str(error)` is safe to show."""


class JobsDisabled(Exception):
    """The service was given no directory for jobs."""


class UnknownJob(Exception):
    """There is no such job, or it is another key's."""


class IdempotencyConflict(Exception):
    """The idempotency key was used for another video or query."""


class TooManyJobs(Exception):
    """As many jobs wait as may."""


class JobStorageFull(Exception):
    """Uploads and results of jobs take as many bytes as they may."""


class CallbackNotAllowed(Exception):
    """The callback is not one that the service may call."""


class TooManyListeners(Exception):
    """As many clients listen to events as may."""


class JobAbandoned(Exception):
    """Each process that ran the job died of it, or with it."""


class DatabaseUnavailable(OSError):
    """The jobs' database cannot be reached, or takes nothing more."""
