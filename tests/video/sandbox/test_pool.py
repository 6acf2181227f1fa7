"""The pool of decode workers: clips, reuse and replacement of workers, threads, limits."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from service.video.clip import DecodeLimits
from service.video.decode import open_video
from service.video.errors import (
    UnsupportedVideo,
    VideoTooLarge,
)
from service.video.sandbox.pool import Sandbox
from tests.video.sandbox.scenarios import (
    SETTINGS,
    SPEC,
    clips_of,
    in_sandbox,
    linux_only,
    process_of,
    signalled_while_decoding,
    until,
)

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_signal_of_the_terminal_does_not_end_workers(long_video: Path, number: signal.Signals) -> None:
    """Regression: Ctrl-C ended all workers, so draining requests failed."""

    async def scenario(sandbox: Sandbox) -> None:
        workers = set(sandbox.idle_process_ids)
        await signalled_while_decoding(sandbox, long_video, number)
        assert set(sandbox.idle_process_ids) == workers
        assert sandbox.num_workers_replaced == 0

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


def test_an_idle_worker_that_dies_with_unread_output_is_replaced(video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        for worker in sandbox._idle:  # noqa: SLF001 - as if a malicious video controlled the workers
            assert worker._process.stdout is not None  # noqa: SLF001
            worker._process.stdout.feed_data(bytes(4 << 20))  # noqa: SLF001
            os.kill(worker.process_id, signal.SIGKILL)
        await until(lambda: not any(worker.is_alive for worker in sandbox._idle))  # noqa: SLF001
        assert await clips_of(sandbox, video)

    in_sandbox(scenario)


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


def test_limits_reach_the_worker(video: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        with pytest.raises(VideoTooLarge):
            await clips_of(sandbox, video)

    in_sandbox(scenario, SETTINGS.model_copy(update={"max_duration_seconds": 1}))
