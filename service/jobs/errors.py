"""Errors of jobs. Their messages contain no internal details and can be shown to clients."""

from enum import StrEnum


class DatabaseFault(StrEnum):
    """Why the job database cannot be used; `/health` reports it as `reason`."""

    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    FORBIDDEN = "forbidden"
    LOCKED = "locked"
    TOO_SLOW = "too_slow"
    READ_ONLY = "read_only"
    STORAGE_FULL = "storage_full"
    NOT_A_DATABASE = "not_a_database"
    LATER_VERSION = "later_version"
    OTHER_TABLES = "other_tables"
    DIRECTORY = "directory"
    FAILED = "failed"

    @property
    def remedy(self) -> str:
        """The fault as a sentence, with the remedy; without secrets, addresses and paths."""
        return _REMEDIES[self]


_REMEDIES = {
    DatabaseFault.UNREACHABLE: "The database cannot be reached. Check that it runs, and SERVICE_DATABASE_URL.",
    DatabaseFault.REFUSED: (
        "The database server refuses the connection. Check the user, the password and the database in "
        "SERVICE_DATABASE_URL, and the server's limit on connections."
    ),
    DatabaseFault.FORBIDDEN: (
        "The database user lacks a right. It needs SELECT, INSERT, UPDATE and DELETE on the tables of jobs, and CREATE "
        "to migrate them."
    ),
    DatabaseFault.LOCKED: (
        "Another program holds a lock on the database. End its transaction, such as a backup or an open shell."
    ),
    DatabaseFault.TOO_SLOW: "The database did not respond within SERVICE_DATABASE_TIMEOUT_SECONDS. Check its load.",
    DatabaseFault.READ_ONLY: (
        "The database is read-only. Check the rights on the file, or that the server is not a standby."
    ),
    DatabaseFault.STORAGE_FULL: "The disk of the database is full. Free some space.",
    DatabaseFault.NOT_A_DATABASE: (
        "The database file is damaged, or it is not a SQLite database. Restore it from a backup, or move it away to "
        "start with an empty database."
    ),
    DatabaseFault.LATER_VERSION: (
        "A later version of the service migrated the database. Run that version, or restore a backup from before its "
        "first start."
    ),
    DatabaseFault.OTHER_TABLES: (
        "The tables of jobs are missing or differ from those of this version. Restore them, or use an empty database."
    ),
    DatabaseFault.DIRECTORY: (
        "The directory of jobs cannot be written to. Check SERVICE_JOBS_DIR: its mount, its rights and its free space."
    ),
    DatabaseFault.FAILED: "The database reported an error. The log of the service has it.",
}


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

    def __init__(self, fault: DatabaseFault) -> None:
        message = "The job database is unavailable."
        hint = "Try again later." if fault is DatabaseFault.UNREACHABLE else fault.remedy
        super().__init__(f"{message} {hint}")
        self.fault = fault
