"""Decodes a video and classifies its clips; both run at the same time."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service.fair_share.share import FairShare, Work
from service.inference.batcher import Batcher
from service.inference.model_call import ClipOutput, Frames, Valid
from service.inference.repository import ReadyModel
from service.task_groups import first_error
from service.telemetry.metrics import Metrics
from service.telemetry.spans import record_span
from service.video.clip import Clip, ClipSpec, ClipTimes, DecodeReport, VideoFacts
from service.video.errors import DecoderFailed, VideoError
from service.video.quality import Appearance
from service.video.sandbox.pool import Sandbox


@dataclass(frozen=True, slots=True)
class DecodedVideo:
    """Facts and clip times of a video that was decoded to its end; the frames are not kept."""

    facts: VideoFacts
    report: DecodeReport
    clips: list[ClipTimes]
    decode_seconds: float
    appearance: Appearance


@dataclass(frozen=True, slots=True)
class ClassifiedVideo:
    """A decoded video, and the model's output for each of its clips."""

    decoded: DecodedVideo
    outputs: list[ClipOutput]


class ClipProgress:
    """Number of classified clips of a video; `num_clips` is None until the video is open."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._on_change = on_change
        self.num_clips: int | None = None
        self.num_clips_done = 0

    def start(self, num_clips: int) -> None:
        """Set the number of clips of the video."""
        self.num_clips = num_clips
        self._on_change()

    def finish_clip(self) -> None:
        """Count one clip as classified."""
        self.num_clips_done += 1
        self._on_change()


async def _discard(_: Clip) -> None:
    """Ignore a clip."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Decodes videos in the sandbox, and sends their clips to a model."""

    sandbox: Sandbox
    metrics: Metrics
    max_clips_in_flight: int
    fair_share: FairShare

    def work(self, caller: str) -> AbstractContextManager[Work]:
        """Return a context in which a request of `caller` is at work, which `decode` and `classify` need."""
        return self.fair_share.work(caller)

    async def decode(
        self,
        video: Path,
        spec: ClipSpec,
        consume: Callable[[Clip], Awaitable[None]] = _discard,
        *,
        work: Work,
        progress: ClipProgress | None = None,
        length_factor: float = 1,
    ) -> DecodedVideo:
        """Decode `video` and await `consume` for each clip before the next one is decoded.

        Raises the errors of `Sandbox.open` and of `consume`.
        """
        started_at = time.perf_counter()
        clips = []
        facts, outcome = None, "abandoned"
        try:
            async with self.sandbox.open(video, spec, length_factor, work) as opened:
                facts = opened.facts
                if progress is not None:
                    progress.start(opened.num_clips)
                async for clip in opened.clips():
                    clips.append(clip.times)
                    await consume(clip)
            outcome = "decoded"
        except (VideoError, DecoderFailed) as error:
            outcome = type(error).__name__
            raise
        finally:
            ended_at = time.perf_counter()
            self.metrics.count_decode(facts, outcome)
            record_span("decode", started_at, ended_at, outcome=outcome)
        return DecodedVideo(opened.facts, opened.report, clips, ended_at - started_at, opened.appearance)

    async def classify(
        self,
        video: Path,
        model: ReadyModel,
        work: Work,
        progress: ClipProgress | None = None,
        length_factor: float = 1,
    ) -> ClassifiedVideo:
        """Decode `video` and classify its clips while later clips are decoded.

        Raises the errors of `Sandbox.open` and `Batcher.predict`; no task is left running after an error.
        """
        async with clip_requests(model.batcher, self.max_clips_in_flight, work, progress) as requests:

            async def submit(clip: Clip) -> None:
                await requests.submit(clip.frames, clip.times.valid)

            decoded = await self.decode(
                video, model.stored.manifest.clip, submit, work=work, progress=progress, length_factor=length_factor
            )
        return ClassifiedVideo(decoded, requests.outputs())


class ClipRequests:
    """The clips of one request that are on their way through the model."""

    def __init__(
        self,
        batcher: Batcher,
        group: asyncio.TaskGroup,
        max_in_flight: int,
        work: Work,
        progress: ClipProgress | None,
    ) -> None:
        self._batcher = batcher
        self._work = work
        self._progress = progress
        self._group = group
        self._slots = asyncio.Semaphore(max_in_flight)
        self._tasks: list[asyncio.Task[ClipOutput]] = []

    async def submit(self, frames: Frames, valid: Valid) -> None:
        """Send a clip to the model; waits while `max_in_flight` clips are unanswered."""
        await self._slots.acquire()
        self._tasks.append(self._group.create_task(self._predict(frames, valid)))

    def outputs(self) -> list[ClipOutput]:
        """Return the outputs in the order of the clips, after the context has ended."""
        return [task.result() for task in self._tasks]

    async def _predict(self, frames: Frames, valid: Valid) -> ClipOutput:
        try:
            output = await self._batcher.predict(frames, valid, caller=self._work)
            ended_at = time.perf_counter()
            started_at = ended_at - output.model_seconds
            record_span("queue", started_at - output.queue_seconds, started_at)
            record_span("model", started_at, ended_at, batch_size=output.batch_size)
            if self._progress is not None:
                self._progress.finish_clip()
            return output
        finally:
            self._slots.release()


@asynccontextmanager
async def clip_requests(
    batcher: Batcher, max_in_flight: int, work: Work, progress: ClipProgress | None = None
) -> AsyncIterator[ClipRequests]:
    """Classify clips while the context prepares further ones; ends when every clip has its output.

    Raises the errors of `Batcher.predict` and of the context; no task is left running after an error.
    """
    with first_error():
        async with asyncio.TaskGroup() as group:
            yield ClipRequests(batcher, group, max_in_flight, work, progress)
