"""Runs the decoder in child processes that may be killed at any time.

Owns the children: each is used by one caller at a time, and one that crashed, hung or was left
in the middle of a video is killed and replaced, which no other caller notices.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from framewise.schemas.isolation import Isolation
from service.video.clip import Clip, ClipSpec, DecodeLimits, DecodeReport, VideoFacts
from service.video.quality import Appearance, median_appearance
from service.video.sandbox.process import ChildProcess, DecoderKilled
from service.video.sandbox.protocol import ChildLimits, ClipMessage, FactsMessage, Job, ReportMessage

_log = logging.getLogger(__name__)


class SandboxSettings(BaseModel):
    """How many decode children there are and what each may use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_children: int = Field(ge=1)
    num_threads: int = Field(ge=1)
    max_memory_bytes: int = Field(ge=256 << 20)
    max_cpu_seconds: float = Field(gt=0)
    max_videos_per_child: int = Field(default=500, ge=1)
    """A child that has decoded so many is replaced: what leaked or took hold in it ends with it."""

    @property
    def child_limits(self) -> ChildLimits:
        """What one child may use."""
        return ChildLimits(max_memory_bytes=self.max_memory_bytes, max_cpu_seconds=self.max_cpu_seconds)


class SandboxedVideo:
    """A video being decoded in a child: its facts at once, its clips as they come."""

    def __init__(self, child: ChildProcess, spec: ClipSpec, facts: FactsMessage) -> None:
        self._child = child
        self._spec = spec
        self.facts: VideoFacts = facts.facts
        self.num_clips: int = facts.num_clips
        self._report: DecodeReport | None = None
        self._appearances: list[Appearance] = []

    @property
    def report(self) -> DecodeReport:
        """The report of a video whose last clip was taken."""
        if self._report is None:
            raise RuntimeError("the report comes after the last clip")
        return self._report

    @property
    def appearance(self) -> Appearance:
        """What the video looks like for the most part; known once its last clip was taken."""
        return median_appearance(self._appearances)

    async def clips(self) -> AsyncIterator[Clip]:
        """Yield the clips in order; `report` and `appearance` are there after the last one.

        Raises:
            VideoError: as `service.video.decode.OpenVideo.clips`, and when the video crashes the worker.
            DecoderFailed: the worker exited, which no video makes it do.

        A caller that is slow to take clips makes the child wait: little more than one is buffered.
        """
        spec = self._spec
        num_bytes = spec.num_frames * spec.height * spec.width * 3
        while True:
            message = await self._child.receive()
            if isinstance(message, ReportMessage) and self._appearances:
                self._report = message.report
                return
            if not isinstance(message, ClipMessage):
                raise self._child.broken()
            pixels = await self._child.receive_bytes(num_bytes)
            frames = np.frombuffer(pixels, dtype=np.uint8).reshape(spec.num_frames, spec.height, spec.width, 3)
            try:
                times = message.times(spec)
            except ValueError as error:
                raise self._child.broken() from error
            self._appearances.append(message.appearance)
            yield Clip(frames, times)


class Sandbox:
    """A fixed number of places to decode in, and one child more than places, all started before needed.

    The child to spare steps in at once where one was killed, while its replacement starts. A child that
    ends while it rests is replaced when it ends, not when the next video comes.
    """

    def __init__(self, settings: SandboxSettings, limits: DecodeLimits) -> None:
        self._settings = settings
        self._limits = limits
        self._places = asyncio.Semaphore(settings.num_children)
        # None stands for a child that could not be started: then whoever takes it tries again.
        self._children: asyncio.Queue[ChildProcess | None] = asyncio.Queue()
        # Of each resting child, who waits for its end.
        self._watches: dict[ChildProcess, asyncio.Task[None]] = {}
        self._busy: set[ChildProcess] = set()
        self._replacements: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self.num_children_replaced = 0
        """Of children that crashed, hung, were left or killed; not of those that had decoded their share."""
        self.isolation: Isolation | None = None
        """What holds around the children on this machine; known once they are started."""

    @property
    def idle_process_ids(self) -> list[int]:
        """The children that wait for a video."""
        return [child.process_id for child in self._watches]

    @property
    def busy_process_ids(self) -> list[int]:
        """The children that decode one."""
        return [child.process_id for child in self._busy]

    @property
    def resident_bytes(self) -> int:
        """Memory that the children have; pages that they share are counted once for each."""
        return sum(_resident_bytes(number) for number in (*self.idle_process_ids, *self.busy_process_ids))

    async def start(self) -> None:
        """Start the children, all at the same time; raises OSError where that is impossible."""
        await asyncio.gather(*(self._start_child() for _ in range(self._settings.num_children + 1)))

    async def _start_child(self) -> None:
        child = await ChildProcess.start(self._settings.child_limits)
        self.isolation = child.isolation
        self._rest(child)

    async def close(self) -> None:
        """Kill the children; nobody may be using one."""
        self._is_closing = True
        await asyncio.gather(*self._replacements)
        watches, self._watches = self._watches, {}
        for child, watch in watches.items():
            watch.cancel()
            await child.kill()

    @asynccontextmanager
    async def open(self, path: Path, spec: ClipSpec, length_factor: float = 1) -> AsyncIterator[SandboxedVideo]:
        """Decode the video in `path`, waiting for a free place first.

        It may have `length_factor` times the seconds, packets and processor time of the limits.
        Leaving the context before the last clip, by an error or a cancellation, kills the child.
        A child that is killed before it has said a word of the video, as one that nobody had yet seen
        to be dead, gives way to another, once: no video kills like that, short of the memory it takes.

        Raises:
            VideoError: as `service.video.decode.open_video`, and when the video crashes the worker.
            DecoderFailed: the worker exited, which no video makes it do.
        """
        async with self._places:
            try:
                child, facts = await self._begin(path, spec, length_factor)
            except DecoderKilled:
                child, facts = await self._begin(path, spec, length_factor)
            try:
                yield SandboxedVideo(child, spec, facts)
            finally:
                self._give_back(child)

    async def _begin(self, path: Path, spec: ClipSpec, length_factor: float) -> tuple[ChildProcess, FactsMessage]:
        """A child that has begun with the video, and its first answer."""
        child = await self._take()
        try:
            return child, await _facts(child, self._job(path, spec, length_factor))
        except BaseException:
            self._give_back(child)
            raise

    async def _take(self) -> ChildProcess:
        """A living child, busy from now on."""
        while True:
            child = await self._children.get()
            if child is None:
                child = await self._start_for_one_that_was_not()
            elif child in self._watches and child.is_alive:
                self._watches.pop(child).cancel()
            else:
                # Its replacement comes the same way.
                self._bury(child)
                continue
            self._busy.add(child)
            return child

    async def _start_for_one_that_was_not(self) -> ChildProcess:
        try:
            return await ChildProcess.start(self._settings.child_limits)
        except BaseException:
            self._children.put_nowait(None)
            raise

    def _rest(self, child: ChildProcess) -> None:
        self._watches[child] = asyncio.create_task(self._watch(child))
        self._children.put_nowait(child)

    async def _watch(self, child: ChildProcess) -> None:
        await child.wait()
        self._bury(child)

    def _bury(self, child: ChildProcess) -> None:
        """Replace a child that ended while it rested; once, whoever sees it first."""
        watch = self._watches.pop(child, None)
        if watch is None:
            return
        if watch is not asyncio.current_task():
            # It waits in vain for one that died with more to say than anybody reads.
            watch.cancel()
        _log.warning("a decode child ended while it rested", extra=child.log_fields)
        self.num_children_replaced += 1
        self._replace_soon(child)

    def _job(self, path: Path, spec: ClipSpec, length_factor: float) -> Job:
        return Job(
            # A child works in a directory of its own, so the path must not depend on ours.
            path=str(path.absolute()),
            spec=spec,
            limits=self._limits.times(length_factor),
            # A video alone has every thread; beside others, more than its share would only contend.
            num_threads=max(1, self._settings.num_threads // len(self._busy)),
            cpu_factor=length_factor,
        )

    def _give_back(self, child: ChildProcess) -> None:
        self._busy.remove(child)
        is_well = child.is_idle and child.is_alive
        if is_well and child.num_jobs < self._settings.max_videos_per_child:
            self._rest(child)
            return
        self.num_children_replaced += not is_well
        self._replace_soon(child)

    def _replace_soon(self, child: ChildProcess) -> None:
        child.kill_soon()
        task = asyncio.create_task(self._replace(child))
        self._replacements.add(task)
        task.add_done_callback(self._replacements.discard)

    async def _replace(self, child: ChildProcess) -> None:
        try:
            await child.kill()
            if not self._is_closing:
                self._rest(await ChildProcess.start(self._settings.child_limits))
        except OSError:
            _log.exception("a decode child could not be started")
            self._children.put_nowait(None)


async def _facts(child: ChildProcess, job: Job) -> FactsMessage:
    child.send(job)
    message = await child.receive()
    if not isinstance(message, FactsMessage):
        raise child.broken()
    return message


def _resident_bytes(process_id: int) -> int:
    try:
        num_pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        # It has just ended, or this system tells otherwise.
        return 0
    return num_pages * os.sysconf("SC_PAGE_SIZE")
