"""A video that crashes or stalls its decoder gives its caller a `VideoError`; other callers are unaffected."""

import asyncio
import json
import logging
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from framewise.schemas.isolation import Isolation
from service.video.clip import Clip, ClipSpec, DecodeLimits
from service.video.decode import open_video
from service.video.errors import (
    DecodeDeadlineExceeded,
    DecoderFailed,
    UnreadableVideo,
    UnsupportedVideo,
    VideoError,
    VideoTooLarge,
)
from service.video.sandbox.error_output import MAX_BYTES
from service.video.sandbox.pool import Sandbox, SandboxedVideo
from service.video.sandbox.process import WorkerProcess
from service.video.sandbox.protocol import OUT_OF_MEMORY_EXIT_STATUS, DecodeRequest, WorkerLimits, encode_ready
from service.video.sandbox.settings import SandboxSettings
from tests.support.videos import encode, moving, painted

SPEC = ClipSpec(num_frames=4, height=32, width=32, frames_per_second=4, stride_seconds=1)
SETTINGS = SandboxSettings(decode_children=1, decode_threads=1, decode_memory_bytes=1 << 30, decode_cpu_seconds=20)
LIMITS = WorkerLimits(max_memory_bytes=1 << 30, max_cpu_seconds=20)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="tests isolation that only Linux has")

Scenario = Callable[[Sandbox], Coroutine[object, object, None]]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted(tmp_path_factory.mktemp("videos") / "ramp.mp4", range(0, 240, 10))


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More clips than fit into a pipe, so that its worker is busy until they are taken."""
    return encode(tmp_path_factory.mktemp("videos") / "long.mp4", moving(30) * 20, options={"qp": "30"})


@asynccontextmanager
async def running(settings: SandboxSettings = SETTINGS) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(settings)
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.close()


async def clips_of(sandbox: Sandbox, path: Path, spec: ClipSpec = SPEC) -> list[Clip]:
    async with sandbox.open(path, spec) as video:
        return [clip async for clip in video.clips()]


def in_sandbox(scenario: Scenario, settings: SandboxSettings = SETTINGS) -> None:
    async def run() -> None:
        async with running(settings) as sandbox:
            await scenario(sandbox)

    asyncio.run(run())


def process_of(sandboxed: SandboxedVideo) -> int:
    """Process id of the worker that decodes a video."""
    return sandboxed._worker.process_id  # noqa: SLF001


async def signalled_while_decoding(sandbox: Sandbox, path: Path, number: signal.Signals) -> None:
    """Take clips from a worker that was sent a signal, which ends in an error."""
    async with sandbox.open(path, SPEC) as sandboxed:
        os.kill(process_of(sandboxed), number)
        async for _ in sandboxed.clips():
            pass


async def until(condition: Callable[[], bool]) -> None:
    """Poll until a condition holds that has no event, such as the end of a process."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


def is_gone(process_id: int) -> bool:
    return not Path(f"/proc/{process_id}").exists()


def num_files_in(directory: Path) -> int:
    return len(list(directory.iterdir()))


def working_directory_of(process_id: int) -> str:
    return str(Path(f"/proc/{process_id}/cwd").readlink())


def num_open_files() -> int:
    return num_files_in(Path("/proc/self/fd"))


@pytest.fixture
def worker_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parent of the working directories of workers in this test."""
    directory = tmp_path / "workers"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def test_a_worker_gives_the_same_clips_as_decoding_in_process(video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        async with sandbox.open(video, SPEC) as sandboxed:
            clips = [clip async for clip in sandboxed.clips()]
        with open_video(video, DecodeLimits()) as opened:
            expected = list(opened.clips(SPEC, opened.plan(SPEC)))
            assert sandboxed.facts == opened.facts
            assert sandboxed.report == opened.report()
        assert sandboxed.num_clips == len(clips) == len(expected)
        for clip, same in zip(clips, expected, strict=True):
            assert np.array_equal(clip.frames, same.frames)
            assert np.array_equal(clip.times.times_seconds, same.times.times_seconds)
            assert np.array_equal(clip.times.valid, same.times.valid)

    in_sandbox(scenario)


def test_a_relative_path_is_relative_to_the_directory_of_the_caller(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(video.parent)

    async def scenario(sandbox: Sandbox) -> None:
        assert await clips_of(sandbox, Path(video.name))

    in_sandbox(scenario)


def test_a_worker_decodes_many_videos_and_survives_refused_ones(video: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")

    async def scenario(sandbox: Sandbox) -> None:
        used = set()
        for _ in range(4):
            with pytest.raises(UnsupportedVideo):
                await clips_of(sandbox, text)
            async with sandbox.open(video, SPEC) as sandboxed:
                used.add(process_of(sandboxed))
                assert [clip async for clip in sandboxed.clips()]
        assert len(used) <= 2
        assert sandbox.num_workers_replaced == 0

    in_sandbox(scenario)


@pytest.mark.parametrize("deadly", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL], ids=lambda sign: sign.name)
def test_a_crash_is_an_unreadable_video_for_one_caller(long_video: Path, video: Path, deadly: signal.Signals) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        with pytest.raises(UnreadableVideo):
            await signalled_while_decoding(sandbox, long_video, deadly)
        assert await clips_of(sandbox, video)

    in_sandbox(scenario)


def test_ctrl_c_does_not_end_workers(long_video: Path) -> None:
    """Regression: Ctrl-C ended all workers, so draining requests failed."""

    async def scenario(sandbox: Sandbox) -> None:
        workers = set(sandbox.idle_process_ids)
        await signalled_while_decoding(sandbox, long_video, signal.SIGINT)
        assert set(sandbox.idle_process_ids) == workers
        assert sandbox.num_workers_replaced == 0

    in_sandbox(scenario)


def test_a_hang_ends_at_the_callers_deadline(long_video: Path, video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(signalled_while_decoding(sandbox, long_video, signal.SIGSTOP), 0.3)
        assert await clips_of(sandbox, video)

    in_sandbox(scenario)


@linux_only
def test_too_much_processor_time_is_a_deadline_exceeded(tmp_path: Path) -> None:
    path = encode(tmp_path / "heavy.mp4", moving(40, 640, 480) * 12, codec="mpeg4", options={"q": "2"}, rate=25)
    spec = ClipSpec(num_frames=64, height=512, width=512, frames_per_second=25, stride_seconds=0.04)
    settings = SETTINGS.model_copy(update={"decode_cpu_seconds": 0.1})

    async def scenario(sandbox: Sandbox) -> None:
        with pytest.raises(DecodeDeadlineExceeded):
            await clips_of(sandbox, path, spec)

    in_sandbox(scenario, settings)


@linux_only
def test_too_much_memory_is_a_video_error(tmp_path: Path, video: Path) -> None:
    path = encode(tmp_path / "bomb.mp4", [np.zeros((2160, 3840, 3), dtype=np.uint8)] * 3, options={"preset": "medium"})
    settings = SETTINGS.model_copy(update={"decode_memory_bytes": 560 << 20})
    spec = ClipSpec(num_frames=128, height=1024, width=1024, frames_per_second=40, stride_seconds=1)

    async def scenario(sandbox: Sandbox) -> None:
        with pytest.raises(VideoError):
            await clips_of(sandbox, path, spec)
        assert await clips_of(sandbox, video)

    in_sandbox(scenario, settings)


def test_a_caller_that_leaves_frees_its_slot_within_100_ms(long_video: Path, video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        seconds = []
        for _ in range(3):
            async with sandbox.open(long_video, SPEC) as sandboxed:
                process_id = process_of(sandboxed)
                left_at = time.perf_counter()
            await until(lambda process_id=process_id: is_gone(process_id))  # type: ignore[misc]
            seconds.append(time.perf_counter() - left_at)
            # The only slot is free, and the spare worker takes it before the replacement has started.
            async with sandbox.open(video, SPEC) as other:
                assert process_of(other) != process_id
                assert [clip async for clip in other.clips()]
        # The best of three: load of the machine may delay one, a fault delays all.
        assert min(seconds) < 0.1, seconds

    in_sandbox(scenario)


def test_a_cancelled_caller_does_not_harm_the_next(long_video: Path, video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        for _ in range(3):
            started = asyncio.Event()

            async def caller(started: asyncio.Event = started) -> None:
                async with sandbox.open(long_video, SPEC) as sandboxed:
                    async for _ in sandboxed.clips():
                        started.set()
                        await asyncio.Event().wait()

            task = asyncio.create_task(caller())
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await clips_of(sandbox, video)

    in_sandbox(scenario)


@linux_only
def test_an_idle_worker_that_is_killed_is_replaced_before_the_next_video(video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        killed = sandbox.idle_process_ids
        for process_id in killed:
            os.kill(process_id, signal.SIGKILL)
        await until(lambda: len(set(sandbox.idle_process_ids) - set(killed)) == 2)
        assert sandbox.num_workers_replaced == 2
        assert await clips_of(sandbox, video)

    in_sandbox(scenario)


@linux_only
def test_a_worker_killed_as_a_video_arrives_costs_no_request(video: Path) -> None:
    """Regression: the next request failed with 422, because the death was seen only after the video was sent."""

    async def scenario(sandbox: Sandbox) -> None:
        for _ in range(2):
            await until(lambda: len(sandbox.idle_process_ids) == 2)
            # The event loop does not see the death before the worker is taken.
            os.kill(sandbox.idle_process_ids[0], signal.SIGKILL)
            assert await clips_of(sandbox, video)

    in_sandbox(scenario)


def test_a_worker_is_replaced_after_its_maximum_of_videos(video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        used = []
        for _ in range(5):
            async with sandbox.open(video, SPEC) as sandboxed:
                used.append(process_of(sandboxed))
                assert [clip async for clip in sandboxed.clips()]
        assert max(used.count(process_id) for process_id in used) <= 2
        assert len(set(used)) >= 3
        assert sandbox.num_workers_replaced == 0

    in_sandbox(scenario, SETTINGS.model_copy(update={"decode_videos_per_child": 2}))


@linux_only
def test_the_memory_of_the_workers_is_measured(video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        async with sandbox.open(video, SPEC) as sandboxed:
            assert sandbox.busy_process_ids == [process_of(sandboxed)]
            assert sandbox.resident_bytes > 2 * (10 << 20)
            assert [clip async for clip in sandboxed.clips()]
        assert sandbox.busy_process_ids == []

    in_sandbox(scenario)


def test_other_callers_are_unaffected_by_a_crash(long_video: Path, video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        expected = await clips_of(sandbox, video)

        async def crash() -> None:
            with pytest.raises(UnreadableVideo):
                await signalled_while_decoding(sandbox, long_video, signal.SIGSEGV)

        async def decode() -> None:
            clips = await clips_of(sandbox, video)
            assert all(np.array_equal(a.frames, b.frames) for a, b in zip(clips, expected, strict=True))

        await asyncio.gather(*(crash() if number % 3 == 0 else decode() for number in range(9)))

    in_sandbox(scenario, SETTINGS.model_copy(update={"decode_children": 2}))


def own_processes() -> set[str]:
    """Running child processes of this process."""
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


@linux_only
def test_fifty_failures_leave_no_process_and_no_file(
    long_video: Path, tmp_path: Path, worker_directories: Path
) -> None:
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)))
    processes_before = own_processes()

    async def scenario(sandbox: Sandbox) -> None:
        num_files_before = num_open_files()
        for number in range(50):
            failure = (
                clips_of(sandbox, garbage)
                if number % 10
                else signalled_while_decoding(sandbox, long_video, signal.SIGKILL)
            )
            with pytest.raises(VideoError):
                await failure
        await until(lambda: len(sandbox.idle_process_ids) == 2)
        assert num_open_files() <= num_files_before
        assert num_files_in(worker_directories) == 0

    in_sandbox(scenario)
    assert not list(worker_directories.iterdir())
    assert own_processes() <= processes_before


NO_ISOLATION = Isolation(**dict.fromkeys(Isolation.__dataclass_fields__, False))
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
    hostile = b"\x1b[2J\x00forged\r\n\xe2\x80\xaedesrever\xff\x07"
    with pytest.raises(DecoderFailed):
        asyncio.run(receive_from_worker_that_runs(f"os.write(2, {hostile!r}); sys.exit(1)"))
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


def test_the_stderr_of_a_worker_that_fails_while_idle_is_logged(video: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        for worker in sandbox._idle:  # noqa: SLF001 - a request of another release
            assert worker._process.stdin is not None  # noqa: SLF001
            worker._process.stdin.write(b'{"request": "of another release"}\n')  # noqa: SLF001
        await until(lambda: sandbox.num_workers_replaced == 2)
        assert await clips_of(sandbox, video)

    in_sandbox(scenario)
    ended = [vars(record) for record in caplog.records if record.message == "a decode worker ended while it was idle"]
    assert [record["exit_status"] for record in ended] == [1, 1]
    assert all("validation errors for DecodeRequest" in record["stderr"] for record in ended)


LINES = {
    "not JSON": b"hello\n",
    "an unknown kind": b'{"kind": "surprise"}\n',
    "an unknown error": b'{"kind": "error", "error": "SystemExit", "message": "x"}\n',
    "facts of the wrong shape": b'{"kind": "facts", "facts": {"container": 3}, "num_clips": 1}\n',
    "more than asked for": b'{"kind": "error", "error": "VideoTooLarge", "message": "x", "extra": 1}\n',
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


def test_an_idle_worker_that_dies_with_unread_output_is_replaced(video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        for worker in sandbox._idle:  # noqa: SLF001 - as if a malicious video controlled the workers
            assert worker._process.stdout is not None  # noqa: SLF001
            worker._process.stdout.feed_data(bytes(4 << 20))  # noqa: SLF001
            os.kill(worker.process_id, signal.SIGKILL)
        await until(lambda: not any(worker.is_alive for worker in sandbox._idle))  # noqa: SLF001
        assert await clips_of(sandbox, video)

    in_sandbox(scenario)


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
def test_the_directory_of_a_running_worker_is_already_removed(long_video: Path, worker_directories: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        async with sandbox.open(long_video, SPEC):
            for process_id in (*sandbox.busy_process_ids, *sandbox.idle_process_ids):
                where = working_directory_of(process_id)
                assert where.startswith(f"{worker_directories}/")
                assert where.endswith(" (deleted)")
            assert num_files_in(worker_directories) == 0

    in_sandbox(scenario)


@linux_only
def test_the_reported_isolation_is_effective() -> None:
    attempts = {
        "socket": "__import__('socket').socket()",
        "program": "os.posix_spawn('/bin/true', ['true'], {})",
        "process": "os.fork()",
        "write": "open('file', 'w')",
        "removal": "os.unlink('file')",
        "signal": "os.kill(os.getppid(), 0)",
        "signal to a thread": "check(libc.tgkill(os.getppid(), os.getppid(), 0))",
        "signal by way of a file": "fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
        "limits of another": "resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))",
        "processors of another": "os.sched_setaffinity(os.getppid(), {0})",
        "priority of another": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 0)",
    }
    program = (
        "import ctypes, fcntl, json, os, resource, sys\n"
        "from service.video.sandbox.isolation import isolate\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def check(status):\n"
        "    if status:\n"
        "        raise OSError(ctypes.get_errno(), 'libc')\n"
        "from dataclasses import asdict\n"
        "result = asdict(isolate(1 << 30))\n"
        "refused = {}\n"
        f"for name, attempt in {attempts!r}.items():\n"
        "    try:\n"
        "        eval(attempt)\n"
        "        refused[name] = False\n"
        "    except OSError as error:\n"
        "        refused[name] = error.errno in (1, 27)\n"
        "interfaces = [line.split(':')[0].strip() for line in open('/proc/self/net/dev') if ':' in line]\n"
        "print(json.dumps([result, refused, interfaces]))\n"
    )

    async def run() -> bytes:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
        return (await process.communicate())[0]

    isolation, refused, interfaces = json.loads(asyncio.run(run()))
    if isolation["has_no_network"]:
        assert set(interfaces) <= {"lo"}
    assert isolation["has_no_new_privileges"]
    assert isolation["has_memory_limit"]
    if isolation["has_syscall_filter"]:
        assert all(refused.values()), refused


@linux_only
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has undumpable processes")
def test_become_undumpable_changes_the_state_of_the_process() -> None:
    get_dumpable = 3
    program = (
        "import ctypes\n"
        "from service.video.sandbox.isolation import become_undumpable\n"
        f"dumpable = lambda: ctypes.CDLL(None).prctl({get_dumpable}, 0, 0, 0, 0)\n"
        "print(dumpable(), become_undumpable(), dumpable())\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["1", "True", "0"]


def test_a_single_video_gets_all_threads_and_concurrent_videos_share_them(long_video: Path) -> None:
    def num_threads_of(process_id: int) -> int:
        return len(list(Path(f"/proc/{process_id}/task").iterdir()))

    # More output than is buffered, so that both workers stay busy.
    large = SPEC.model_copy(update={"height": 160, "width": 160})

    async def scenario(sandbox: Sandbox) -> None:
        async with sandbox.open(long_video, large) as first:
            await anext(first.clips())
            [first_id] = sandbox.busy_process_ids
            async with sandbox.open(long_video, large) as second:
                await anext(second.clips())
                [second_id] = set(sandbox.busy_process_ids) - {first_id}
                # FFmpeg starts no thread for a thread count of one.
                assert num_threads_of(first_id) == num_threads_of(second_id) + 2

    in_sandbox(scenario, SETTINGS.model_copy(update={"decode_children": 2, "decode_threads": 2}))


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


def test_limits_reach_the_worker(video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        with pytest.raises(VideoTooLarge):
            await clips_of(sandbox, video)

    in_sandbox(scenario, SETTINGS.model_copy(update={"max_duration_seconds": 1}))
