"""Starts a server process, waits until it is ready, measures it, and ends it with all its child processes."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.harness.environments import CACHE, PeerUnavailable


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server process that is ready."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def tree(self) -> list[int]:
        """Process ids of the server and all its descendants."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(stat.parent.name)] = int(fields[1])
        tree = [self.process.pid]
        for parent in tree:
            tree += [child for child, parent_of_child in parents.items() if parent_of_child == parent]
        return tree

    def resident_bytes(self) -> int:
        """Resident memory of the process tree; shared pages are counted once for each process."""
        page_bytes = os.sysconf("SC_PAGE_SIZE")
        total = 0
        for process_id in self.tree():
            try:
                total += int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * page_bytes
            except OSError:
                continue
        return total

    def cpu_seconds(self) -> float:
        """Processor time of the process tree so far."""
        ticks = 0
        for process_id in self.tree():
            try:
                fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_server(
    name: str,
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    ready_url: str,
    *,
    folder: Path | None = None,
    timeout_seconds: float = 240,
) -> Iterator[RunningServer]:
    """Start `command`, wait until `ready_url` responds, and end it when the context exits.

    Raises:
        PeerUnavailable: the process ends or does not respond in time.
    """
    log_path = CACHE / "logs" / f"{name}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [str(part) for part in command],
            env=dict(environment),
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    server = RunningServer(name, ready_url.rpartition("/")[0], process, log_path)
    try:
        _wait_until_ready(server, ready_url, timeout_seconds)
        yield server
    finally:
        _end(server)


def free_port() -> int:
    """A free port of the loopback interface."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def base_environment() -> dict[str, str]:
    """Environment of every server, without settings of the service."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"TF_CPP_MIN_LOG_LEVEL": "2"}


def _wait_until_ready(server: RunningServer, ready_url: str, timeout_seconds: float) -> None:
    give_up_at = time.monotonic() + timeout_seconds
    while time.monotonic() < give_up_at:
        if server.process.poll() is not None:
            break
        try:
            if httpx.get(ready_url, timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    lines = server.log_path.read_text(errors="replace").strip().splitlines() or ["its log is empty"]
    state = "did not respond in time" if server.process.poll() is None else f"ended with {server.process.returncode}"
    raise PeerUnavailable(f"cannot be started: it {state}: {lines[-1][:300]}")


def _end(server: RunningServer) -> None:
    tree = server.tree()
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
    # Remaining descendants are killed by process id.
    for process_id in tree[1:]:
        try:
            os.kill(process_id, signal.SIGKILL)
        except ProcessLookupError:
            continue
