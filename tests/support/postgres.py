"""A temporary PostgreSQL server, from the PostgreSQL packages that the machine has."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# The server refuses to run as root.
_USER = "postgres"


def postgres_binaries() -> Path | None:
    """Where `initdb` and `postgres` are; None where they are not."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).parent
    # Debian keeps them off the path.
    return max((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server on a Unix socket for the length of the context; yields its URL."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL is installed here (Debian: apt-get install postgresql)")
    as_user = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        if as_user:
            shutil.chown(directory, _USER)
        data = f"{directory}/data"
        options = f"-k {directory} -c listen_addresses= -c fsync=off"
        _run(*as_user, binaries / "initdb", "--no-sync", "-A", "trust", "-U", _USER, "-D", data, cwd=directory)
        start = ("-D", data, "-l", f"{directory}/log", "-w", "-t", "120", "-o", options, "start")
        _run(*as_user, binaries / "pg_ctl", *start, cwd=directory)
        try:
            yield f"postgresql+psycopg://{_USER}@/postgres?host={directory}"
        finally:
            _run(*as_user, binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop", cwd=directory)


def _unprivileged() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        pytest.skip(f"PostgreSQL does not run as root, and there is no user {_USER!r}")
    return ("runuser", "-u", _USER, "--")


def _run(*command: str | Path, cwd: str) -> None:
    # A server that was started keeps what it inherits, so its output must not be a pipe that somebody reads to its end.
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, cwd=cwd)
