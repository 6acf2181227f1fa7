"""The URL of the job database, checked when the settings are read."""

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

_DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
_FORMS = "Write sqlite:///path or postgresql+psycopg://user:password@host/name."


def require_supported_url(url: SecretStr) -> SecretStr:
    """The URL, if it names a database that the service supports. No part but its scheme is ever in a message.

    Raises:
        ValueError: it is no URL, another database, or SQLite in memory, where jobs would not survive.
    """
    text = url.get_secret_value()
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(f"this is not the URL of a database. {_FORMS}") from None
    if parsed.drivername not in _DRIVERS:
        scheme = parsed.drivername if re.fullmatch(r"[a-z0-9+]{1,40}", parsed.drivername) else "this scheme"
        raise ValueError(f"{scheme} is not supported. {_FORMS}")
    if parsed.drivername.startswith("sqlite") and parsed.database in {None, "", ":memory:"}:
        raise ValueError("a database in memory does not survive the process. Write sqlite:///path.")
    return url


DatabaseUrl = Annotated[SecretStr, AfterValidator(require_supported_url)]
"""URL of a supported database; it may contain a password."""
