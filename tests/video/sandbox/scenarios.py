"""Settings and helpers for the tests of the sandbox."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from framewise.schemas.isolation import Isolation
from service.video.clip import Clip, ClipSpec
from service.video.sandbox.pool import Sandbox, SandboxedVideo
from service.video.sandbox.protocol import WorkerLimits
from service.video.sandbox.settings import SandboxSettings

SPEC = ClipSpec(num_frames=4, height=32, width=32, frames_per_second=4, stride_seconds=1)
SETTINGS = SandboxSettings(decode_children=1, decode_threads=1, decode_memory_bytes=1 << 30, decode_cpu_seconds=20)
LIMITS = WorkerLimits(max_memory_bytes=1 << 30, max_cpu_seconds=20)
NO_ISOLATION = Isolation(**dict.fromkeys(Isolation.__dataclass_fields__, False))
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="tests isolation that only Linux has")
Scenario = Callable[[Sandbox], Coroutine[object, object, None]]


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


def num_files_in(directory: Path) -> int:
    return len(list(directory.iterdir()))
