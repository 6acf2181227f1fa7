"""Whatever a video does to its decoder, its caller gets a `VideoError` and nobody else notices."""

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

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux has the walls that this tests")

Story = Callable[[Sandbox], Coroutine[object, object, None]]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted(tmp_path_factory.mktemp("videos") / "ramp.mp4", range(0, 240, 10))


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More clips than fit into a pipe, so its worker is in the middle of it until they are taken."""
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


def in_sandbox(story: Story, settings: SandboxSettings = SETTINGS) -> None:
    async def told() -> None:
        async with running(settings) as sandbox:
            await story(sandbox)

    asyncio.run(told())


def process_of(sandboxed: SandboxedVideo) -> int:
    """The child that decodes it, which is nobody's business but that of who wants to kill it."""
    return sandboxed._worker.process_id  # noqa: SLF001


async def signalled_while_decoding(sandbox: Sandbox, path: Path, sign: signal.Signals) -> None:
    """Take clips from a child that was sent `sign`, which ends in an error."""
    async with sandbox.open(path, SPEC) as sandboxed:
        os.kill(process_of(sandboxed), sign)
        async for _ in sandboxed.clips():
            pass


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells of: the end of a process, the start of another."""
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
    """Where the children of this test have their directories."""
    directory = tmp_path / "children"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def test_a_child_gives_the_clips_that_decoding_here_gives(video: Path) -> None:
    async def story(sandbox: Sandbox) -> None:
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

    in_sandbox(story)


def test_a_relative_path_means_what_it_means_to_the_caller(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(video.parent)

    async def story(sandbox: Sandbox) -> None:
        assert await clips_of(sandbox, Path(video.name))

    in_sandbox(story)


def test_one_child_decodes_many_videos_and_survives_those_it_refuses(video: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")

    async def story(sandbox: Sandbox) -> None:
        used = set()
        for _ in range(4):
            with pytest.raises(UnsupportedVideo):
                await clips_of(sandbox, text)
            async with sandbox.open(video, SPEC) as sandboxed:
                used.add(process_of(sandboxed))
                assert [clip async for clip in sandboxed.clips()]
        assert len(used) <= 2
        assert sandbox.num_workers_replaced == 0

    in_sandbox(story)


@pytest.mark.parametrize("deadly", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL], ids=lambda sign: sign.name)
def test_a_crash_is_one_callers_unreadable_video(long_video: Path, video: Path, deadly: signal.Signals) -> None:
    async def story(sandbox: Sandbox) -> None:
        with pytest.raises(UnreadableVideo):
            await signalled_while_decoding(sandbox, long_video, deadly)
        assert await clips_of(sandbox, video)

    in_sandbox(story)


def test_ctrl_c_in_a_terminal_leaves_the_workers_to_the_service_that_drains(long_video: Path) -> None:
    """It ended every worker, and with them the requests that were to be finished."""

    async def story(sandbox: Sandbox) -> None:
        workers = set(sandbox.idle_process_ids)
        await signalled_while_decoding(sandbox, long_video, signal.SIGINT)
        assert set(sandbox.idle_process_ids) == workers
        assert sandbox.num_workers_replaced == 0

    in_sandbox(story)


def test_a_hang_ends_at_the_callers_deadline(long_video: Path, video: Path) -> None:
    async def story(sandbox: Sandbox) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(signalled_while_decoding(sandbox, long_video, signal.SIGSTOP), 0.3)
        assert await clips_of(sandbox, video)

    in_sandbox(story)


@linux_only
def test_a_processor_spin_is_a_deadline_exceeded(tmp_path: Path) -> None:
    path = encode(tmp_path / "heavy.mp4", moving(40, 640, 480) * 12, codec="mpeg4", options={"q": "2"}, rate=25)
    spec = ClipSpec(num_frames=64, height=512, width=512, frames_per_second=25, stride_seconds=0.04)
    settings = SETTINGS.model_copy(update={"decode_cpu_seconds": 0.1})

    async def story(sandbox: Sandbox) -> None:
        with pytest.raises(DecodeDeadlineExceeded):
            await clips_of(sandbox, path, spec)

    in_sandbox(story, settings)


@linux_only
def test_a_memory_bomb_is_a_video_error(tmp_path: Path, video: Path) -> None:
    path = encode(tmp_path / "bomb.mp4", [np.zeros((2160, 3840, 3), dtype=np.uint8)] * 3, options={"preset": "medium"})
    settings = SETTINGS.model_copy(update={"decode_memory_bytes": 560 << 20})
    spec = ClipSpec(num_frames=128, height=1024, width=1024, frames_per_second=40, stride_seconds=1)

    async def story(sandbox: Sandbox) -> None:
        with pytest.raises(VideoError):
            await clips_of(sandbox, path, spec)
        assert await clips_of(sandbox, video)

    in_sandbox(story, settings)


def test_a_caller_that_leaves_frees_its_place_within_100_ms(long_video: Path, video: Path) -> None:
    async def story(sandbox: Sandbox) -> None:
        seconds = []
        for _ in range(3):
            async with sandbox.open(long_video, SPEC) as sandboxed:
                process_id = process_of(sandboxed)
                left_at = time.perf_counter()
            await until(lambda process_id=process_id: is_gone(process_id))  # type: ignore[misc]
            seconds.append(time.perf_counter() - left_at)
            # The only place is free, and the child to spare takes it before a new one is there.
            async with sandbox.open(video, SPEC) as other:
                assert process_of(other) != process_id
                assert [clip async for clip in other.clips()]
        # The best of three: a busy machine makes any of them late, a fault makes all of them so.
        assert min(seconds) < 0.1, seconds

    in_sandbox(story)


def test_a_cancelled_caller_does_not_harm_the_next(long_video: Path, video: Path) -> None:
    async def story(sandbox: Sandbox) -> None:
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

    in_sandbox(story)


@linux_only
def test_a_child_killed_while_it_rests_is_replaced_before_a_video_comes(video: Path) -> None:
    async def story(sandbox: Sandbox) -> None:
        killed = sandbox.idle_process_ids
        for process_id in killed:
            os.kill(process_id, signal.SIGKILL)
        await until(lambda: len(set(sandbox.idle_process_ids) - set(killed)) == 2)
        assert sandbox.num_workers_replaced == 2
        assert await clips_of(sandbox, video)

    in_sandbox(story)


@linux_only
def test_a_child_killed_as_a_video_comes_costs_nobody_an_answer(video: Path) -> None:
    """It was a 422 for whoever came next: the death was seen only when the video was sent."""

    async def story(sandbox: Sandbox) -> None:
        for _ in range(2):
            await until(lambda: len(sandbox.idle_process_ids) == 2)
            # The event loop has had no turn to see it when the worker is taken.
            os.kill(sandbox.idle_process_ids[0], signal.SIGKILL)
            assert await clips_of(sandbox, video)

    in_sandbox(story)


def test_a_child_that_has_decoded_its_share_gives_way_to_a_fresh_one(video: Path) -> None:
    async def story(sandbox: Sandbox) -> None:
        used = []
        for _ in range(5):
            async with sandbox.open(video, SPEC) as sandboxed:
                used.append(process_of(sandboxed))
                assert [clip async for clip in sandboxed.clips()]
        assert max(used.count(process_id) for process_id in used) <= 2
        assert len(set(used)) >= 3
        assert sandbox.num_workers_replaced == 0

    in_sandbox(story, SETTINGS.model_copy(update={"decode_videos_per_child": 2}))


@linux_only
def test_the_memory_of_the_children_is_known(video: Path) -> None:
    async def story(sandbox: Sandbox) -> None:
        async with sandbox.open(video, SPEC) as sandboxed:
            assert sandbox.busy_process_ids == [process_of(sandboxed)]
            assert sandbox.resident_bytes > 2 * (10 << 20)
            assert [clip async for clip in sandboxed.clips()]
        assert sandbox.busy_process_ids == []

    in_sandbox(story)


def test_others_are_unharmed_while_one_childs_video_crashes_it(long_video: Path, video: Path) -> None:
    async def story(sandbox: Sandbox) -> None:
        expected = await clips_of(sandbox, video)

        async def crash() -> None:
            with pytest.raises(UnreadableVideo):
                await signalled_while_decoding(sandbox, long_video, signal.SIGSEGV)

        async def decode() -> None:
            clips = await clips_of(sandbox, video)
            assert all(np.array_equal(a.frames, b.frames) for a, b in zip(clips, expected, strict=True))

        await asyncio.gather(*(crash() if number % 3 == 0 else decode() for number in range(9)))

    in_sandbox(story, SETTINGS.model_copy(update={"decode_children": 2}))


def own_processes() -> set[str]:
    """The processes that this one started and that are still there."""
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


@linux_only
def test_fifty_failures_leave_nothing_behind(long_video: Path, tmp_path: Path, worker_directories: Path) -> None:
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)))
    processes_before = own_processes()

    async def story(sandbox: Sandbox) -> None:
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

    in_sandbox(story)
    assert not list(worker_directories.iterdir())
    assert own_processes() <= processes_before


NO_ISOLATION = Isolation(**dict.fromkeys(Isolation.__dataclass_fields__, False))
REQUEST = DecodeRequest(path="/nowhere.mp4", spec=SPEC, limits=DecodeLimits(), num_threads=1)


async def answer_of_a_worker(end: str) -> None:
    """The answer of a worker that says it is ready, is given a job, and runs the statements `end` instead."""
    program = f"import os, signal, sys; os.write(1, {encode_ready(NO_ISOLATION)!r}); sys.stdin.readline()\n{end}\n"
    worker = await WorkerProcess.start(LIMITS, ("-c", program))
    try:
        worker.send(REQUEST)
        await worker.receive()
    finally:
        await worker.kill()


def test_a_worker_that_exits_with_a_traceback_is_a_fault_of_the_service(caplog: pytest.LogCaptureFixture) -> None:
    """It was "The video crashed the decoder.", and its traceback was thrown away."""
    with pytest.raises(DecoderFailed, match=r"exit status 1.*fault of the service"):
        asyncio.run(answer_of_a_worker("raise TypeError('open() got an unexpected keyword argument')"))
    (record,) = [record for record in caplog.records if record.message == "a decode worker failed"]
    assert record.levelno == logging.ERROR
    assert vars(record)["exit_status"] == 1
    assert vars(record)["stderr"].startswith("Traceback")
    assert vars(record)["stderr"].endswith(" | TypeError: open() got an unexpected keyword argument")


@pytest.mark.parametrize("end", ["sys.exit(3)", "sys.exit(0)", "os._exit(255)"])
def test_a_worker_that_exits_without_an_answer_is_a_fault_of_the_service(end: str) -> None:
    with pytest.raises(DecoderFailed):
        asyncio.run(answer_of_a_worker(end))


@pytest.mark.parametrize("deadly", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"])
def test_a_worker_that_ends_by_a_signal_of_a_crash_is_the_videos_fault(deadly: str) -> None:
    with pytest.raises(UnreadableVideo, match="crashed the decoder"):
        asyncio.run(answer_of_a_worker(f"os.kill(os.getpid(), signal.{deadly})"))


def test_a_worker_without_memory_for_an_answer_is_a_video_too_large() -> None:
    with pytest.raises(VideoTooLarge):
        asyncio.run(answer_of_a_worker(f"sys.exit({OUT_OF_MEMORY_EXIT_STATUS})"))


def test_a_worker_that_writes_much_to_stderr_never_blocks_and_its_last_bytes_are_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(DecoderFailed):
        asyncio.run(answer_of_a_worker("sys.stderr.write('x' * (8 << 20) + '\\nthe end'); sys.exit(1)"))
    (record,) = [record for record in caplog.records if record.message == "a decode worker failed"]
    stderr = vars(record)["stderr"]
    assert stderr.endswith("x | the end")
    assert MAX_BYTES // 2 < len(stderr) <= 2 * MAX_BYTES


def test_the_stderr_of_a_worker_brings_no_control_characters_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    hostile = b"\x1b[2J\x00forged\r\n\xe2\x80\xaedesrever\xff\x07"
    with pytest.raises(DecoderFailed):
        asyncio.run(answer_of_a_worker(f"os.write(2, {hostile!r}); sys.exit(1)"))
    (record,) = [record for record in caplog.records if record.message == "a decode worker failed"]
    stderr = vars(record)["stderr"]
    assert stderr.isprintable()
    assert "forged | desrever" in stderr


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library of GNU overwrites memory on request")
def test_memory_that_a_decoder_does_not_fill_shows_nothing_of_another_video(caplog: pytest.LogCaptureFixture) -> None:
    reused = (
        "import ctypes; libc = ctypes.CDLL(None); libc.malloc.restype = libc.calloc.restype = ctypes.c_void_p; "
        "first = libc.malloc(50_000); ctypes.memset(first, 7, 50_000); libc.free(ctypes.c_void_p(first)); "
        "again = libc.malloc(50_000); seen = ctypes.string_at(again, 50_000); "
        "sys.stderr.write(f'{first == again} {seen.count(7)}'); sys.exit(1)"
    )
    with pytest.raises(DecoderFailed):
        asyncio.run(answer_of_a_worker(reused))
    (record,) = [record for record in caplog.records if record.message == "a decode worker failed"]
    assert vars(record)["stderr"] == "True 0"


def test_a_worker_that_ends_before_it_is_ready_says_why() -> None:
    async def story() -> None:
        with pytest.raises(ChildProcessError, match=r"before it was ready: exit status 1: ModuleNotFound.*no_av"):
            await WorkerProcess.start(LIMITS, ("-c", "import no_av"))
        with pytest.raises(ChildProcessError, match=r"before it was ready: signal SIGSEGV$"):
            await WorkerProcess.start(LIMITS, ("-c", "import os; os.kill(os.getpid(), 11)"))

    asyncio.run(story())


def test_a_worker_that_fails_while_idle_leaves_its_stderr_in_the_log(
    video: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(sandbox: Sandbox) -> None:
        for worker in sandbox._idle:  # noqa: SLF001 - a service of another release would send such a job
            assert worker._process.stdin is not None  # noqa: SLF001
            worker._process.stdin.write(b'{"job": "of another release"}\n')  # noqa: SLF001
        await until(lambda: sandbox.num_workers_replaced == 2)
        assert await clips_of(sandbox, video)

    in_sandbox(story)
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
    babble = f"import sys; sys.stdout.buffer.write(open({str(tmp_path / 'line')!r}, 'rb').read())"

    async def told() -> None:
        with pytest.raises(ChildProcessError):
            await WorkerProcess.start(LIMITS, ("-c", babble))

    asyncio.run(told())
    assert not list(worker_directories.iterdir())


def test_a_child_for_which_the_system_has_no_place_is_an_error_of_its_own(worker_directories: Path) -> None:
    def num_open() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def told() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (num_open() + 1, hard))
        try:
            with pytest.raises(ChildProcessError, match=r"cannot be started: .*Too many open files"):
                await WorkerProcess.start(LIMITS, ("-c", ""))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    asyncio.run(told())
    assert not list(worker_directories.iterdir())


def test_a_child_is_ended_though_nobody_hears_it_out(tmp_path: Path) -> None:
    """Who leaves in the middle of a long video leaves more of it unread than is ever buffered."""
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

    async def story() -> None:
        worker = await WorkerProcess.start(LIMITS, ("-c", program))
        await until(is_full.exists)
        async with asyncio.timeout(60):
            await worker.kill()
        assert not worker.is_alive

    asyncio.run(story())


def test_a_child_that_dies_at_rest_with_much_to_say_is_replaced(video: Path) -> None:
    async def story(sandbox: Sandbox) -> None:
        for worker in sandbox._idle:  # noqa: SLF001 - as if a hostile video had taken the children over
            assert worker._process.stdout is not None  # noqa: SLF001
            worker._process.stdout.feed_data(bytes(4 << 20))  # noqa: SLF001
            os.kill(worker.process_id, signal.SIGKILL)
        await until(lambda: not any(worker.is_alive for worker in sandbox._idle))  # noqa: SLF001
        assert await clips_of(sandbox, video)

    in_sandbox(story)


def test_a_child_has_no_secrets_and_a_directory_of_its_own(
    tmp_path: Path, worker_directories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", "secret")
    seen = tmp_path / "seen.json"
    look = f"import json, os; open({str(seen)!r}, 'w').write(json.dumps([dict(os.environ), os.getcwd(), os.listdir()]))"

    async def told() -> None:
        with pytest.raises(ChildProcessError):
            await WorkerProcess.start(LIMITS, ("-c", look))

    asyncio.run(told())
    environment, directory, files = json.loads(seen.read_text())
    ours = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "OPENBLAS_NUM_THREADS", "MALLOC_PERTURB_"}
    assert set(environment) <= ours | {"LC_CTYPE"}
    assert Path(directory).parent == worker_directories
    assert not files


@linux_only
def test_a_child_at_work_has_no_directory_that_could_be_left_behind(long_video: Path, worker_directories: Path) -> None:
    async def story(sandbox: Sandbox) -> None:
        async with sandbox.open(long_video, SPEC):
            for process_id in (*sandbox.busy_process_ids, *sandbox.idle_process_ids):
                where = working_directory_of(process_id)
                assert where.startswith(f"{worker_directories}/")
                assert where.endswith(" (deleted)")
            assert num_files_in(worker_directories) == 0

    in_sandbox(story)


@linux_only
def test_what_a_child_says_of_its_isolation_is_true() -> None:
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

    async def told() -> bytes:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
        return (await process.communicate())[0]

    isolation, refused, interfaces = json.loads(asyncio.run(told()))
    if isolation["has_no_network"]:
        assert set(interfaces) <= {"lo"}
    assert isolation["has_no_new_privileges"]
    assert isolation["has_memory_limit"]
    if isolation["has_syscall_filter"]:
        assert all(refused.values()), refused


@linux_only
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has undumpable processes")
def test_an_undumpable_process_says_so_to_the_kernel() -> None:
    get_dumpable = 3
    program = (
        "import ctypes\n"
        "from service.video.sandbox.isolation import become_undumpable\n"
        f"dumpable = lambda: ctypes.CDLL(None).prctl({get_dumpable}, 0, 0, 0, 0)\n"
        "print(dumpable(), become_undumpable(), dumpable())\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["1", "True", "0"]


def test_a_video_alone_has_every_thread_and_shares_them_with_those_that_come_while_it_decodes(long_video: Path) -> None:
    def num_threads_of(process_id: int) -> int:
        return len(list(Path(f"/proc/{process_id}/task").iterdir()))

    # More than is read ahead, so that neither child comes to its end while the other is looked at.
    large = SPEC.model_copy(update={"height": 160, "width": 160})

    async def story(sandbox: Sandbox) -> None:
        async with sandbox.open(long_video, large) as first:
            await anext(first.clips())
            [first_id] = sandbox.busy_process_ids
            async with sandbox.open(long_video, large) as second:
                await anext(second.clips())
                [second_id] = set(sandbox.busy_process_ids) - {first_id}
                # FFmpeg starts threads only where there is more than one.
                assert num_threads_of(first_id) == num_threads_of(second_id) + 2

    in_sandbox(story, SETTINGS.model_copy(update={"decode_children": 2, "decode_threads": 2}))


@linux_only
def test_a_child_that_spent_its_processor_time_is_never_taken_for_a_crash(tmp_path: Path) -> None:
    """Once in some hundred deaths its exit status was asked for by two, and went to the one who threw it away."""
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


def test_limits_reach_the_child(video: Path) -> None:
    async def story(sandbox: Sandbox) -> None:
        with pytest.raises(VideoTooLarge):
            await clips_of(sandbox, video)

    in_sandbox(story, SETTINGS.model_copy(update={"max_duration_seconds": 1}))
