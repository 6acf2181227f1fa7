"""A video that crashes or stalls its decoder gives its caller a `VideoError`; other callers are unaffected."""

import asyncio
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from service.video.clip import ClipSpec
from service.video.errors import (
    DecodeDeadlineExceeded,
    DecoderKilled,
    UnreadableVideo,
    VideoError,
    VideoUnavailable,
)
from service.video.sandbox.pool import Sandbox
from tests.support.videos import encode, moving
from tests.video.sandbox.scenarios import (
    SETTINGS,
    SPEC,
    clips_of,
    in_sandbox,
    linux_only,
    num_files_in,
    process_of,
    signalled_while_decoding,
    until,
)

pytestmark = pytest.mark.slow


def test_a_file_that_is_gone_is_no_fault_of_the_video_and_keeps_the_worker(video: Path, tmp_path: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        workers = sorted(sandbox.idle_process_ids)
        (tmp_path / "file").touch()
        for gone in (tmp_path / "gone.mp4", tmp_path / "file" / "gone.mp4"):
            with pytest.raises(VideoUnavailable, match="removed before it was decoded"):
                await clips_of(sandbox, gone)
        assert await clips_of(sandbox, video)
        assert sorted(sandbox.idle_process_ids) == workers

    in_sandbox(scenario)


@pytest.mark.parametrize("deadly", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL], ids=lambda sign: sign.name)
def test_a_crash_is_an_unreadable_video_for_one_caller(long_video: Path, video: Path, deadly: signal.Signals) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        with pytest.raises(UnreadableVideo):
            await signalled_while_decoding(sandbox, long_video, deadly)
        assert await clips_of(sandbox, video)

    in_sandbox(scenario)


def test_a_worker_that_is_killed_from_outside_is_told_from_one_that_the_video_crashed(
    long_video: Path, video: Path
) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        with pytest.raises(DecoderKilled, match="ran out of memory"):
            await signalled_while_decoding(sandbox, long_video, signal.SIGKILL)
        with pytest.raises(UnreadableVideo) as crash:
            await signalled_while_decoding(sandbox, long_video, signal.SIGSEGV)
        assert not isinstance(crash.value, DecoderKilled)
        assert await clips_of(sandbox, video)

    in_sandbox(scenario)


@linux_only
def test_a_worker_that_stalls_within_a_video_is_killed(long_video: Path, video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        with pytest.raises(DecoderKilled, match="no progress for 3 s"):
            await signalled_while_decoding(sandbox, long_video, signal.SIGSTOP)
        assert await clips_of(sandbox, video)

    in_sandbox(scenario, SETTINGS.model_copy(update={"decode_stall_seconds": 3}))


@linux_only
def test_a_worker_that_stalled_while_it_was_idle_costs_no_request(video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        os.kill(sandbox.idle_process_ids[0], signal.SIGSTOP)
        for _ in range(2):
            assert await clips_of(sandbox, video)

    in_sandbox(scenario, SETTINGS.model_copy(update={"decode_stall_seconds": 3}))


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


def is_gone(process_id: int) -> bool:
    return not Path(f"/proc/{process_id}").exists()


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


def num_open_files() -> int:
    return num_files_in(Path("/proc/self/fd"))


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
