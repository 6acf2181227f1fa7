"""Workers stop for callers that used less, and continue where they were."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import numpy as np
import pytest

from service.fair_share.settings import FairShareSettings
from service.fair_share.share import FairShare, Work
from service.video.clip import Clip
from service.video.sandbox.pool import Sandbox
from service.video.sandbox.settings import SandboxSettings
from tests.video.sandbox.scenarios import SETTINGS, SPEC, clips_of, linux_only, process_of, until

pytestmark = [pytest.mark.slow, linux_only]

STALL_SECONDS = 1.5
"""Longer than a starved worker may be without processor time while it starts."""


def run(
    scenario: Callable[[Sandbox, FairShare], Coroutine[object, object, None]], settings: SandboxSettings = SETTINGS
) -> None:
    """Run a scenario with one decode slot and one thread."""

    async def bounded() -> None:
        fair_share = FairShare(FairShareSettings(), num_threads=1)
        sandbox = Sandbox(settings, fair_share)
        await sandbox.start()
        try:
            await scenario(sandbox, fair_share)
        finally:
            await sandbox.close()

    asyncio.run(bounded())


def is_stopped(process_id: int) -> bool:
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_video_that_stops_for_another_caller_has_the_same_frames(video: Path, long_video: Path) -> None:
    async def scenario(sandbox: Sandbox, fair_share: FairShare) -> None:
        expected = await clips_of(sandbox, long_video)
        with fair_share.work("heavy") as heavy:
            heavy.charge(60)
            async with sandbox.open(long_video, SPEC, 1, heavy) as slow:
                clips = aiter(slow.clips())
                received = [await anext(clips)]
                with fair_share.work("light") as light:
                    # The only slot is taken, so this is an extra one.
                    async with sandbox.open(video, SPEC, 1, light) as quick:
                        await until(lambda: is_stopped(process_of(slow)))
                        assert len(sandbox.busy_process_ids) == 2
                        assert [clip async for clip in quick.clips()]
                    assert light.seconds > 0
                received += [clip async for clip in clips]
        for clip, same in zip(received, expected, strict=True):
            assert np.array_equal(clip.frames, same.frames)

    run(scenario)


def test_a_worker_that_stopped_is_killed_when_its_caller_leaves(video: Path, long_video: Path) -> None:
    async def scenario(sandbox: Sandbox, fair_share: FairShare) -> None:
        with fair_share.work("light") as light, fair_share.work("heavy") as heavy:
            heavy.charge(60)
            fair_share.reconsider()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), sandbox.open(long_video, SPEC, 1, heavy):
                    pytest.fail("its worker is stopped before it opens the file")
            async with sandbox.open(video, SPEC, 1, light) as sandboxed:
                assert [clip async for clip in sandboxed.clips()]

    run(scenario)


def test_a_worker_that_stopped_for_another_caller_does_not_count_as_stalled(long_video: Path) -> None:
    async def scenario(sandbox: Sandbox, fair_share: FairShare) -> None:
        with fair_share.work("heavy") as heavy:
            heavy.charge(60)
            with fair_share.work("light"):
                decoding = asyncio.create_task(clips_of_request(sandbox, long_video, heavy))
                resumes_at = asyncio.get_running_loop().time() + 2 * STALL_SECONDS
                await until(lambda: asyncio.get_running_loop().time() > resumes_at)
                assert not decoding.done()
            assert await decoding

    run(scenario, SETTINGS.model_copy(update={"decode_stall_seconds": STALL_SECONDS}))


async def clips_of_request(sandbox: Sandbox, path: Path, work: Work) -> list[Clip]:
    async with sandbox.open(path, SPEC, 1, work) as sandboxed:
        return [clip async for clip in sandboxed.clips()]


def test_further_workers_end_when_they_are_not_needed(video: Path, long_video: Path) -> None:
    async def scenario(sandbox: Sandbox, fair_share: FairShare) -> None:
        with fair_share.work("heavy") as heavy:
            heavy.charge(60)
            async with sandbox.open(long_video, SPEC, 1, heavy):
                callers = [fair_share.work(name) for name in "ab"]
                with callers[0] as first, callers[1] as second:
                    async with sandbox.open(video, SPEC, 1, first), sandbox.open(video, SPEC, 1, second):
                        assert len(sandbox.busy_process_ids) == 3
        await until(lambda: len(sandbox.idle_process_ids) == SETTINGS.decode_children + 1)
        assert await clips_of(sandbox, video)

    run(scenario)
