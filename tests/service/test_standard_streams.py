"""A closed standard stream, and a reader of one that stops or leaves, harm no program."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from service.standard_streams import LineWriter
from tests.support.bare_service import bare_service

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PIPE_BYTES = 1 << 16


def read_lines(descriptor: int, until: str) -> list[str]:
    """Read lines up to the one that contains `until`."""
    lines = []
    with open(descriptor, closefd=False) as stream:
        for line in stream:
            lines.append(line.rstrip("\n"))
            if until in line:
                break
    return lines


def test_lines_wait_for_their_reader_up_to_the_limit_and_further_ones_are_dropped_and_counted() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    filling = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            filling += bytes(os.write(writing, bytes(PIPE_BYTES)))
    os.set_blocking(writing, True)
    writer = LineWriter(writing, max_bytes=1000)
    assert [writer.write(f"{number:099}") for number in range(15)] == [True] * 10 + [False] * 5
    assert not writer.flush(max_seconds=0.1)
    assert writer.num_dropped == 5
    read = b""
    while read.count(b"\n") < 10:
        read += os.read(reading, 1 << 20)
    assert [int(line) for line in read[len(filling) :].split()] == list(range(10))
    assert writer.flush(max_seconds=60)
    assert writer.write("last")
    assert read_lines(reading, "last") == ["last"]


def test_lines_for_a_reader_that_left_are_dropped_and_counted() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LineWriter(writing, max_bytes=1000)
    for _ in range(3):
        assert writer.write("line")
        assert writer.flush(max_seconds=60)
    assert writer.num_dropped == 3


def test_a_descriptor_that_another_program_made_non_blocking_gets_every_line() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    writer = LineWriter(writing, max_bytes=10 * PIPE_BYTES)
    for _ in range(3 * PIPE_BYTES // 1000):
        writer.write("x" * 999)
    writer.write("last")
    assert len(read_lines(reading, "last")) == 3 * PIPE_BYTES // 1000 + 1
    assert writer.num_dropped == 0


@pytest.mark.parametrize("closed", [numbers for n in (1, 2, 3) for numbers in itertools.combinations(range(3), n)])
def test_closed_standard_streams_are_opened(closed: tuple[int, ...], tmp_path: Path) -> None:
    program = (
        "import os, sys; from service.standard_streams import open_standard_streams; open_standard_streams();"
        "fds = [os.fstat(fd) for fd in range(3)]; print(); sys.stderr.write('x'); sys.stdin.fileno();"
        "assert os.open('.', os.O_RDONLY) > 2; open(sys.argv[1], 'w').close()"
    )
    redirections = " ".join(f"{number}{'<' if number == 0 else '>'}&-" for number in closed)
    command = ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-c", program, str(tmp_path / "done")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("module", ["service.batch", "service.keys"])
def test_the_other_programs_run_without_standard_streams(module: str) -> None:
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", module, "--help"]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=120).returncode == 0


def stop(process: "subprocess.Popen[bytes]") -> int:
    """The exit status after SIGTERM."""
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=120)


def test_a_service_without_standard_streams_responds_and_ends(tmp_path: Path) -> None:
    with bare_service(tmp_path, command_line='exec "$@" <&- >&- 2>&-') as service:
        assert httpx.get(f"{service.url}/health/live", timeout=60).status_code == 200
        assert stop(service.process) == 0


def test_a_service_whose_log_is_not_read_goes_on_counts_what_it_drops_and_ends(tmp_path: Path) -> None:
    """Regression: the log was written in the event loop, so every request waited for its reader."""
    with (
        bare_service(tmp_path, stderr=subprocess.PIPE, log_buffer_bytes=PIPE_BYTES) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        for _ in range(1000):
            assert client.get("/health/live").status_code == 200
        dropped = service.metric(client.get("/metrics").text, "framewise_log_lines_dropped_total")
        assert dropped > 100
        stream = service.process.stderr
        assert stream is not None
        # Once the log is read again, it states what is missing.
        read = b""
        while b"log lines dropped" not in read:
            client.get("/health/live")
            read += os.read(stream.fileno(), 1 << 20)
        while not read.endswith(b"\n"):
            read += os.read(stream.fileno(), 1 << 20)
        reports = [line for line in read.splitlines() if b"log lines dropped" in line]
        assert json.loads(reports[0])["num_dropped"] >= dropped
        for _ in range(1000):
            client.get("/health/live")
        assert stop(service.process) == 0


def test_a_service_whose_log_reader_left_goes_on_and_ends(tmp_path: Path) -> None:
    with bare_service(tmp_path, stderr=subprocess.PIPE) as service:
        assert service.process.stderr is not None
        service.process.stderr.close()
        for _ in range(10):
            assert httpx.get(f"{service.url}/health/live", timeout=60).status_code == 200
        assert stop(service.process) == 0
