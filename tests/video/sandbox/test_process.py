"""One worker process: how its end and its messages become errors, and how it is started and killed."""

import asyncio
import json
import logging
import platform
import resource
from pathlib import Path

import pytest

from framewise.schemas.isolation import Isolation
from service.video.clip import DecodeLimits
from service.video.errors import (
    DecodeDeadlineExceeded,
    DecoderFailed,
    UnreadableVideo,
    VideoTooLarge,
)
from service.video.sandbox.error_output import MAX_BYTES
from service.video.sandbox.process import WorkerProcess
from service.video.sandbox.protocol import OUT_OF_MEMORY_EXIT_STATUS, DecodeRequest, encode_ready
from tests.video.sandbox.scenarios import (
    LIMITS,
    NO_ISOLATION,
    SPEC,
    linux_only,
    until,
)

pytestmark = pytest.mark.slow

REQUEST = DecodeRequest(path="/nowhere.mp4", spec=SPEC, limits=DecodeLimits(), num_threads=1)


async def receive_from_worker_that_runs(end: str) -> None:
    """Receive from a worker that becomes ready, gets a request, and runs the statements `end` instead."""
    program = f"import os, signal, sys; os.write(1, {encode_ready(NO_ISOLATION)!r}); sys.stdin.readline()\n{end}\n"
    worker = await WorkerProcess.start(LIMITS, ("-c", program))
    try:
        worker.send(REQUEST)
        await worker.receive()
    finally:
        await worker.kill()


def test_a_worker_that_exits_with_a_traceback_is_a_fault_of_the_service(caplog: pytest.LogCaptureFixture) -> None:
    """Regression: the error was "The video crashed the decoder.", and the traceback was lost."""
    with pytest.raises(DecoderFailed, match=r"exit status 1.*fault of the service"):
        asyncio.run(receive_from_worker_that_runs("raise TypeError('open() got an unexpected keyword argument')"))
    (record,) = [record for record in caplog.records if record.message == "a decode worker failed"]
    assert record.levelno == logging.ERROR
    assert vars(record)["exit_status"] == 1
    assert vars(record)["stderr"].startswith("Traceback")
    assert vars(record)["stderr"].endswith(" | TypeError: open() got an unexpected keyword argument")


@pytest.mark.parametrize("end", ["sys.exit(3)", "sys.exit(0)", "os._exit(255)"])
def test_a_worker_that_exits_without_a_response_is_a_fault_of_the_service(end: str) -> None:
    with pytest.raises(DecoderFailed):
        asyncio.run(receive_from_worker_that_runs(end))


@pytest.mark.parametrize("deadly", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"])
def test_a_worker_that_crashes_is_the_fault_of_the_video(deadly: str) -> None:
    with pytest.raises(UnreadableVideo, match="crashed the decoder"):
        asyncio.run(receive_from_worker_that_runs(f"os.kill(os.getpid(), signal.{deadly})"))


def test_a_worker_without_memory_for_a_response_is_a_video_too_large() -> None:
    with pytest.raises(VideoTooLarge):
        asyncio.run(receive_from_worker_that_runs(f"sys.exit({OUT_OF_MEMORY_EXIT_STATUS})"))


def test_much_stderr_does_not_block_a_worker_and_its_end_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(DecoderFailed):
        asyncio.run(receive_from_worker_that_runs("sys.stderr.write('x' * (8 << 20) + '\\nthe end'); sys.exit(1)"))
    (record,) = [record for record in caplog.records if record.message == "a decode worker failed"]
    stderr = vars(record)["stderr"]
    assert stderr.endswith("x | the end")
    assert MAX_BYTES // 2 < len(stderr) <= 2 * MAX_BYTES


def test_control_characters_in_stderr_do_not_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    malicious = b"\x1b[2J\x00forged\r\n\xe2\x80\xaedesrever\xff\x07"
    with pytest.raises(DecoderFailed):
        asyncio.run(receive_from_worker_that_runs(f"os.write(2, {malicious!r}); sys.exit(1)"))
    (record,) = [record for record in caplog.records if record.message == "a decode worker failed"]
    stderr = vars(record)["stderr"]
    assert stderr.isprintable()
    assert "forged | desrever" in stderr


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc overwrites memory on request")
def test_unwritten_memory_shows_nothing_of_another_video(caplog: pytest.LogCaptureFixture) -> None:
    reused = (
        "import ctypes; libc = ctypes.CDLL(None); libc.malloc.restype = libc.calloc.restype = ctypes.c_void_p; "
        "first = libc.malloc(50_000); ctypes.memset(first, 7, 50_000); libc.free(ctypes.c_void_p(first)); "
        "again = libc.malloc(50_000); seen = ctypes.string_at(again, 50_000); "
        "sys.stderr.write(f'{first == again} {seen.count(7)}'); sys.exit(1)"
    )
    with pytest.raises(DecoderFailed):
        asyncio.run(receive_from_worker_that_runs(reused))
    (record,) = [record for record in caplog.records if record.message == "a decode worker failed"]
    assert vars(record)["stderr"] == "True 0"


def test_a_worker_that_ends_before_it_is_ready_reports_the_reason() -> None:
    async def scenario() -> None:
        with pytest.raises(ChildProcessError, match=r"before it was ready: exit status 1: ModuleNotFound.*no_av"):
            await WorkerProcess.start(LIMITS, ("-c", "import no_av"))
        with pytest.raises(ChildProcessError, match=r"before it was ready: signal SIGSEGV$"):
            await WorkerProcess.start(LIMITS, ("-c", "import os; os.kill(os.getpid(), 11)"))

    asyncio.run(scenario())


@linux_only
def test_a_worker_that_computes_is_not_taken_for_one_that_stalled() -> None:
    # Without a response, for longer than a worker may stand still.
    program = "import sys, time; [None for _ in iter(lambda: time.process_time() < 3, False)]; sys.exit(3)"

    async def scenario() -> None:
        with pytest.raises(ChildProcessError, match="exit status 3"):
            await WorkerProcess.start(LIMITS, ("-c", program), stall_seconds=1.5)
        with pytest.raises(ChildProcessError, match="SIGKILL"):
            await WorkerProcess.start(LIMITS, ("-c", "import select; select.select([], [], [])"), stall_seconds=1.5)

    asyncio.run(scenario())


LINES = {
    "not JSON": b"hello\n",
    "an unknown kind": b'{"kind": "surprise"}\n',
    "an unknown error": b'{"kind": "error", "error": "SystemExit", "message": "x"}\n',
    "facts of the wrong shape": b'{"kind": "facts", "facts": {"container": 3}, "num_clips": 1}\n',
    "an extra field": b'{"kind": "error", "error": "VideoTooLarge", "message": "x", "extra": 1}\n',
    "half a line": b'{"kind": "fac',
    "nothing": b"",
    "binary": bytes(range(256)) + b"\n",
    "a line without end": b"x" * (3 << 20),
}


@pytest.mark.parametrize("line", LINES.values(), ids=[name.replace(" ", "-") for name in LINES])
def test_a_worker_that_breaks_the_protocol_is_refused(line: bytes, tmp_path: Path, worker_directories: Path) -> None:
    (tmp_path / "line").write_bytes(line)
    program = f"import sys; sys.stdout.buffer.write(open({str(tmp_path / 'line')!r}, 'rb').read())"

    async def run() -> None:
        with pytest.raises(ChildProcessError):
            await WorkerProcess.start(LIMITS, ("-c", program))

    asyncio.run(run())
    assert not list(worker_directories.iterdir())


def test_a_worker_that_cannot_be_started_is_a_child_process_error(worker_directories: Path) -> None:
    def num_open() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def run() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (num_open() + 1, hard))
        try:
            with pytest.raises(ChildProcessError, match=r"cannot be started: .*Too many open files"):
                await WorkerProcess.start(LIMITS, ("-c", ""))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    asyncio.run(run())
    assert not list(worker_directories.iterdir())


def test_a_worker_with_unread_output_is_killed(tmp_path: Path) -> None:
    """A caller that leaves within a long video leaves more output unread than is buffered."""
    (tmp_path / "line").write_bytes(encode_ready(Isolation(**dict.fromkeys(Isolation.__dataclass_fields__, False))))
    is_full = tmp_path / "full"
    program = (
        "import os, pathlib, select;"
        f"os.write(1, open({str(tmp_path / 'line')!r}, 'rb').read());"
        "os.set_blocking(1, False);"
        "any(not os.write(1, bytes(4096)) for _ in iter(lambda: select.select([], [1], [], 1)[1], []));"
        f"pathlib.Path({str(is_full)!r}).touch();"
        "select.select([], [], [])"
    )

    async def scenario() -> None:
        worker = await WorkerProcess.start(LIMITS, ("-c", program))
        await until(is_full.exists)
        async with asyncio.timeout(60):
            await worker.kill()
        assert not worker.is_alive

    asyncio.run(scenario())


def test_a_worker_gets_no_secrets_and_a_directory_of_its_own(
    tmp_path: Path, worker_directories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", "secret")
    seen = tmp_path / "seen.json"
    program = (
        f"import json, os; open({str(seen)!r}, 'w').write(json.dumps([dict(os.environ), os.getcwd(), os.listdir()]))"
    )

    async def run() -> None:
        with pytest.raises(ChildProcessError):
            await WorkerProcess.start(LIMITS, ("-c", program))

    asyncio.run(run())
    environment, directory, files = json.loads(seen.read_text())
    ours = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "OPENBLAS_NUM_THREADS", "MALLOC_PERTURB_"}
    assert set(environment) <= ours | {"LC_CTYPE"}
    assert Path(directory).parent == worker_directories
    assert not files


@linux_only
def test_a_worker_at_its_processor_limit_is_never_reported_as_a_crash(tmp_path: Path) -> None:
    """Regression: in one of some hundred deaths, the exit status was lost to a second waiter."""
    (tmp_path / "line").write_bytes(encode_ready(Isolation(**dict.fromkeys(Isolation.__dataclass_fields__, False))))
    program = (
        "import os, signal, sys;"
        f"sys.stdout.buffer.write(open({str(tmp_path / 'line')!r}, 'rb').read());"
        "sys.stdout.flush();"
        "os.kill(os.getpid(), signal.SIGXCPU)"
    )

    async def spent() -> None:
        worker = await WorkerProcess.start(LIMITS, ("-c", program))
        try:
            with pytest.raises(DecodeDeadlineExceeded):
                await worker.receive()
        finally:
            await worker.kill()

    async def many() -> None:
        for _ in range(20):
            await asyncio.gather(*(spent() for _ in range(5)))

    asyncio.run(many())
