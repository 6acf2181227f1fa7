"""The server's sockets, and the end of a process that cannot be closed."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.api.server import STOP_TOO_LONG_EXIT_STATUS, listen

pytestmark = pytest.mark.slow

_ROOT = Path(__file__).parents[2]


def test_a_taken_address_is_an_error_that_says_so() -> None:
    (taken,) = listen("127.0.0.1", 0, 1)
    with taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1], 1)


def test_an_address_is_free_again_as_soon_as_its_listener_is_closed() -> None:
    (first,) = listen("127.0.0.1", 0, 1)
    port = first.getsockname()[1]
    with first, socket.create_connection(("127.0.0.1", port)) as client:
        accepted, _ = first.accept()
        # This side closes first, so its address stays in TIME_WAIT.
        accepted.close()
        assert client.recv(1) == b""
    (second,) = listen("127.0.0.1", port, 1)
    second.close()


_HANGING = {
    "a thread": "threading.Thread(target=threading.Event().wait).start()",
    "the reader of the log": "logging.root.handlers = [Stuck()]",
    "the main thread": "time.sleep(1000)",
}


@pytest.mark.parametrize("hanging", _HANGING.values(), ids=[name.replace(" ", "-") for name in _HANGING])
def test_a_process_ends_in_time_whatever_hangs(hanging: str) -> None:
    program = f"""
import logging, threading, time
from service.api.server import exit_after
class Stuck(logging.Handler):
    def emit(self, record):
        threading.Event().wait()
exit_after(0.2)
{hanging}
threading.Thread(target=threading.Event().wait).start()
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=_ROOT, timeout=60, check=False)
    assert ended.returncode == STOP_TOO_LONG_EXIT_STATUS


@contextmanager
def draining_server(*ignored: signal.Signals) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the server alone, and ignores these signals from its start."""
    program = """
import uvicorn
from service.api.server import DrainingServer, listen
from service.app import build_state
from service.settings import Settings
config = uvicorn.Config(lambda *_: None, lifespan="off", log_config=None, interface="asgi3")
DrainingServer(config, build_state(Settings()), 5, 5).run(listen("127.0.0.1", 0, 1))
"""

    def set_signals() -> None:
        # A shell starts a background process with ignored signals, and this process may have inherited them.
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=set_signals,  # noqa: PLW1509 - as `nohup` starts a program
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_that_asks_for_the_end_drains_the_server(number: signal.Signals) -> None:
    """Regression: SIGHUP and SIGQUIT ended the process at once, within its requests."""
    with draining_server() as process:
        process.send_signal(number)
        assert process.wait(timeout=60) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads the ignored signals from /proc")
def test_a_signal_that_is_ignored_at_the_start_stays_ignored() -> None:
    with draining_server(signal.SIGHUP) as process:
        status = Path(f"/proc/{process.pid}/status").read_text()
        (mask,) = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigIgn:")]
        assert mask & 1 << (signal.SIGHUP - 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_a_taken_port_ends_the_service_before_it_loads_a_model() -> None:
    """Regression: the message came soon, but the process ended only when its engine was imported."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "service"],
            env={"SERVICE_PORT": str(port), "SERVICE_MODELS_DIR": "/nowhere"},
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 3
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert f"127.0.0.1, port {port}: Address already in use" in line
    assert "SERVICE_PORT" in line


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_no_interface_ends_the_service_with_one_line(host: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "service"],
        env={"SERVICE_PORT": "0", "SERVICE_HOST": host},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 1
    assert host in ended.stderr
