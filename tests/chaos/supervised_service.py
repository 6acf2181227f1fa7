"""Runs the service on a fixed port, and starts it again whenever its process ends, as an orchestrator does."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Longest time for the supervisor to notice an end that a caller has met.
_NOTICE_SECONDS = 2.0
_POLL_SECONDS = 0.01
# A service that cannot start is not started again at full speed.
_RESTART_SECONDS = 0.1
_START_TIMEOUT_SECONDS = 300.0


@dataclass
class ServiceProcess:
    """One process of the service; the times are monotonic, None until they are known."""

    popen: "subprocess.Popen[bytes]"
    started_at: float
    listening_at: float | None = None
    stopping_at: float | None = None
    """When a test sent the signal that ends it."""
    ended_at: float | None = None

    def was_away(self, since: float, now: float) -> bool:
        """Whether the process did not listen at some time in [since, now]."""
        is_not_yet_listening = self.started_at <= now and (self.listening_at is None or since <= self.listening_at)
        ends = [moment for moment in (self.stopping_at, self.ended_at) if moment is not None]
        return is_not_yet_listening or (bool(ends) and now >= min(ends) and since <= (self.ended_at or now))


class SupervisedService:
    """Use `supervised_service`."""

    def __init__(self, environment: Mapping[str, str], command_prefix: Sequence[str], log_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log_path = log_path
        self.processes: list[ServiceProcess] = []
        self._environment = {**environment, "SERVICE_PORT": str(port)}
        self._command = (*command_prefix, sys.executable, "-m", "service")
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor")

    @property
    def process_id(self) -> int:
        """The id of the newest process."""
        return self.processes[-1].popen.pid

    @property
    def unrequested_ends(self) -> list[int]:
        """Exit statuses of the processes that ended although no test ended them."""
        return [
            process.popen.returncode
            for process in self.processes
            if process.ended_at is not None and process.stopping_at is None
        ]

    def start(self) -> None:
        """Start to supervise, and return when the service listens."""
        self._thread.start()
        self.wait_until_listening()

    def end(self, sig: signal.Signals) -> None:
        """Send a signal that ends the process, and return when it has ended; the next one may not listen yet."""
        process = self.processes[-1]
        process.stopping_at = time.monotonic()
        process.popen.send_signal(sig)
        self._wait_for(lambda: process.ended_at is not None)

    def wait_until_listening(self) -> None:
        """Return when the newest process listens."""
        self._wait_for(lambda: bool(self.processes) and self.processes[-1].listening_at is not None)

    def close(self) -> int:
        """Stop the service with SIGTERM and return its exit status."""
        self._is_closing.set()
        self.end(signal.SIGTERM)
        self._thread.join()
        status: int = self.processes[-1].popen.returncode
        return status

    def has_ended(self, since: float) -> bool:
        """Whether no process listened at some time since that moment (monotonic). Waits for a late notice."""
        ends_at = time.monotonic() + _NOTICE_SECONDS
        while time.monotonic() < ends_at:
            now = time.monotonic()
            if any(process.was_away(since, now) for process in self.processes):
                return True
            threading.Event().wait(_POLL_SECONDS)
        return False

    def _supervise(self) -> None:
        with self.log_path.open("ab") as log:
            while not self._is_closing.is_set():
                popen = subprocess.Popen(self._command, env=self._environment, stdout=subprocess.PIPE, stderr=log)
                process = ServiceProcess(popen, time.monotonic())
                self.processes.append(process)
                assert popen.stdout is not None
                with popen.stdout:
                    # It prints its address once it listens.
                    if popen.stdout.readline().startswith(b"http://"):
                        process.listening_at = time.monotonic()
                    popen.wait()
                process.ended_at = time.monotonic()
                self._is_closing.wait(_RESTART_SECONDS)

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        ends_at = time.monotonic() + _START_TIMEOUT_SECONDS
        while not condition():
            if time.monotonic() > ends_at:
                raise TimeoutError(self.log_path.read_text()[-10_000:])
            threading.Event().wait(_POLL_SECONDS)


@contextmanager
def supervised_service(
    environment: Mapping[str, str], command_prefix: Sequence[str], log_path: Path
) -> Iterator[SupervisedService]:
    """Run a supervised service for the length of the context; it listens, and may not be ready yet."""
    service = SupervisedService(environment, command_prefix, log_path)
    service.start()
    try:
        yield service
    finally:
        if service.processes[-1].popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                # A test that failed may have left it frozen.
                os.kill(service.process_id, signal.SIGCONT)
            service.close()
