"""Classifies the errors of the database drivers as faults that operators can act on."""

import sqlite3

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.jobs.errors import DatabaseFault

# Primary result codes: https://www.sqlite.org/rescode.html
_SQLITE = {
    sqlite3.SQLITE_PERM: DatabaseFault.FORBIDDEN,
    sqlite3.SQLITE_AUTH: DatabaseFault.FORBIDDEN,
    sqlite3.SQLITE_BUSY: DatabaseFault.LOCKED,
    sqlite3.SQLITE_LOCKED: DatabaseFault.LOCKED,
    sqlite3.SQLITE_INTERRUPT: DatabaseFault.TOO_SLOW,
    sqlite3.SQLITE_READONLY: DatabaseFault.READ_ONLY,
    sqlite3.SQLITE_FULL: DatabaseFault.STORAGE_FULL,
    sqlite3.SQLITE_CANTOPEN: DatabaseFault.UNREACHABLE,
    sqlite3.SQLITE_CORRUPT: DatabaseFault.NOT_A_DATABASE,
    sqlite3.SQLITE_NOTADB: DatabaseFault.NOT_A_DATABASE,
    # Errors in SQL; the statements of this package fail only if the tables are not those that it created.
    sqlite3.SQLITE_ERROR: DatabaseFault.OTHER_TABLES,
}
# Codes of conditions, or of classes of them: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL = {
    "08": DatabaseFault.UNREACHABLE,
    "25006": DatabaseFault.READ_ONLY,
    "28": DatabaseFault.REFUSED,
    "3D": DatabaseFault.REFUSED,
    "3F": DatabaseFault.OTHER_TABLES,
    "40": DatabaseFault.LOCKED,
    "42501": DatabaseFault.FORBIDDEN,
    "42": DatabaseFault.OTHER_TABLES,
    "53100": DatabaseFault.STORAGE_FULL,
    "53300": DatabaseFault.REFUSED,
    "55P03": DatabaseFault.LOCKED,
    "57014": DatabaseFault.TOO_SLOW,
    "57P": DatabaseFault.UNREACHABLE,
}
# A server that refuses a connection gives no code, but this severity: https://www.postgresql.org/docs/current/protocol-error-fields.html
_REFUSAL = "FATAL:"
_STARTING_OR_STOPPING = ("starting up", "shutting down", "in recovery")


def database_fault(error: BaseException) -> DatabaseFault:
    """The fault that an error of SQLAlchemy or of a driver stands for."""
    if isinstance(error, PoolTimeout):
        return DatabaseFault.TOO_SLOW
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        # An extended code has the primary code in its lowest byte. Errors of Python's module have none.
        return _SQLITE.get(getattr(cause, "sqlite_errorcode", -1) & 0xFF, DatabaseFault.FAILED)
    code: str | None = getattr(cause, "sqlstate", None)
    if code is not None:
        codes = (code[:length] for length in (5, 3, 2))
        return next((_POSTGRESQL[prefix] for prefix in codes if prefix in _POSTGRESQL), DatabaseFault.FAILED)
    if type(cause).__name__ not in ("OperationalError", "ConnectionTimeout", "InterfaceError"):
        return DatabaseFault.FAILED
    message = str(cause)
    is_refused = _REFUSAL in message and not any(words in message for words in _STARTING_OR_STOPPING)
    return DatabaseFault.REFUSED if is_refused else DatabaseFault.UNREACHABLE
