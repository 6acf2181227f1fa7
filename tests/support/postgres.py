"""A temporary PostgreSQL server, from the PostgreSQL packages that the machine has."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

# The server refuses to run as root.
_USER = "postgres"


def postgres_binaries() -> Path | None:
    """Where `initdb` and `postgres` are; None where they are not."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).parent
    # Debian keeps them off the path.
    return max((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)


@dataclass
class PostgresServer:
    """A server of its own on a Unix socket, which a test may stop, freeze and start again."""

    directory: Path
    binaries: Path
    as_user: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    """Variables of the environment of the server."""

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, for the superuser."""
        return f"postgresql+psycopg://{_USER}@/postgres?host={self.directory}"

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        options = f"-k {self.directory} -c listen_addresses= -c fsync=off"
        self._control("-l", self.directory / "log", "-w", "-t", "120", "-o", options, "start")

    def stop(self) -> None:
        """Stop the server without a shutdown of its connections, as a crash would."""
        self._control("-m", "immediate", "stop")

    def processes(self) -> list[int]:
        """Ids of the server's processes."""
        server = int((self.directory / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        return [server, *(int(child) for child in children)]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspend the server for the length of the context: connections stay open, and nothing responds."""
        processes = self.processes()
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def execute(self, *statements: str) -> None:
        """Execute SQL as the superuser, each statement in a transaction of its own."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def _control(self, *arguments: str | Path) -> None:
        command = (*self.as_user, self.binaries / "pg_ctl", "-D", self.directory / "data", *arguments)
        _run(*command, cwd=str(self.directory), environment=self.variables)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server for the length of the context."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL is installed here (Debian: apt-get install postgresql)")
    as_user = unprivileged_command()
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        if as_user:
            shutil.chown(directory, _USER)
        server = PostgresServer(Path(directory), binaries, as_user)
        initdb = (binaries / "initdb", "--no-sync", "-A", "trust", "-U", _USER, "-D", f"{directory}/data")
        _run(*as_user, *initdb, cwd=directory)
        server.start()
        try:
            yield server
        finally:
            # A test may have stopped the server.
            with suppress(subprocess.CalledProcessError):
                server.stop()


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server on a Unix socket for the length of the context; yields its URL."""
    with postgres_server() as server:
        yield server.url


@contextmanager
def running_pgbouncer(server: PostgresServer) -> Iterator[str]:
    """Run PgBouncer in transaction mode, with one connection to the server that all clients share; yields its URL."""
    if (binary := shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")) is None:
        pytest.skip("no PgBouncer is installed here (Debian: apt-get install pgbouncer)")
    config = server.directory / "pgbouncer.ini"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config.write_text(
        f"""[databases]
* = host={server.directory} user={_USER}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
"""
    )
    config.chmod(0o644)
    process = subprocess.Popen([*server.as_user, binary, "-q", str(config)], stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(port, process)
        yield f"postgresql+psycopg://{_USER}@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=10):
            return
    raise RuntimeError(f"PgBouncer ended with status {process.returncode}")


def unprivileged_command() -> tuple[str, ...]:
    """The start of a command line that runs the rest as a user that PostgreSQL accepts."""
    if os.geteuid() != 0:
        return ()
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        pytest.skip(f"PostgreSQL does not run as root, and there is no user {_USER!r}")
    return ("runuser", "-u", _USER, "--")


def _run(*command: str | Path, cwd: str, environment: dict[str, str] | None = None) -> None:
    # A server that was started keeps what it inherits, so its output must not be a pipe that somebody reads to its end.
    variables = None if environment is None else {**os.environ, **environment}
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, cwd=cwd, env=variables)
