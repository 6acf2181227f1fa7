"""From an uploaded video to the results of its clips: decoding and inference side by side."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service.inference.batcher import Batcher, ClipOutput, Frames, Valid
from service.telemetry.metrics import Metrics
from service.telemetry.spans import record_span
from service.video.clip import Clip, ClipSpec, ClipTimes, DecodeReport, VideoFacts
from service.video.errors import DecoderFailed, VideoError
from service.video.quality import Appearance
from service.video.sandbox.pool import Sandbox


@dataclass(frozen=True, slots=True)
class DecodedVideo:
    """A video, decoded from its first clip to its last; its pixels are gone."""

    facts: VideoFacts
    report: DecodeReport
    clips: list[ClipTimes]
    decode_seconds: float
    appearance: Appearance


@dataclass(frozen=True, slots=True)
class ClassifiedVideo:
    """A video, and the model's answer for each of its clips."""

    decoded: DecodedVideo
    answers: list[ClipOutput]


class Progress:
    """How many of a video's clips are answered; `num_clips` is known once the video is open."""

    def __init__(self, tell: Callable[[], None] = lambda: None) -> None:
        """`tell` is called whenever there is more to see."""
        self._tell = tell
        self.num_clips: int | None = None
        self.num_clips_done = 0

    def opened(self, num_clips: int) -> None:
        """The video has so many clips."""
        self.num_clips = num_clips
        self._tell()

    def answered(self) -> None:
        """One clip more is answered."""
        self.num_clips_done += 1
        self._tell()


async def decode_video(
    path: Path,
    spec: ClipSpec,
    sandbox: Sandbox,
    take: Callable[[Clip], Awaitable[None]],
    metrics: Metrics,
    *,
    opened: Callable[[int], None] = lambda _num_clips: None,
    length_factor: float = 1,
) -> DecodedVideo:
    """Decode the video in `path`, and have each clip taken as it comes; the next waits until it is.

    Raises whatever `Sandbox.open` and `take` raise.
    """
    started_at = time.perf_counter()
    clips = []
    facts, outcome = None, "abandoned"
    try:
        async with sandbox.open(path, spec, length_factor) as video:
            facts = video.facts
            opened(video.num_clips)
            async for clip in video.clips():
                clips.append(clip.times)
                await take(clip)
        outcome = "decoded"
    except (VideoError, DecoderFailed) as error:
        outcome = type(error).__name__
        raise
    finally:
        ended_at = time.perf_counter()
        metrics.count_decode(facts, outcome)
        record_span("decode", started_at, ended_at, outcome=outcome)
    return DecodedVideo(video.facts, video.report, clips, ended_at - started_at, video.appearance)


async def let_go(_: Clip) -> None:
    """Ignore the clip."""


async def classify_video(
    path: Path,
    spec: ClipSpec,
    sandbox: Sandbox,
    batcher: Batcher,
    *,
    max_clips_in_flight: int,
    metrics: Metrics,
    progress: Progress | None = None,
    length_factor: float = 1,
) -> ClassifiedVideo:
    """Decode the video in `path`, and ask the model about its clips while later ones decode.

    Raises whatever `Sandbox.open` and `Batcher.predict` raise; nothing is left running then.
    """
    progress = progress or Progress()
    async with questions_to(batcher, max_clips_in_flight, progress) as questions:

        async def take(clip: Clip) -> None:
            await questions.ask(clip.frames, clip.times.valid)

        decoded = await decode_video(
            path, spec, sandbox, take, metrics, opened=progress.opened, length_factor=length_factor
        )
    return ClassifiedVideo(decoded, questions.answers())


class Questions:
    """One caller's clips on their way through the model."""

    def __init__(
        self, batcher: Batcher, group: asyncio.TaskGroup, max_clips_in_flight: int, progress: Progress
    ) -> None:
        self._batcher = batcher
        self._progress = progress
        self._group = group
        self._places = asyncio.Semaphore(max_clips_in_flight)
        self._tasks: list[asyncio.Task[ClipOutput]] = []

    async def ask(self, frames: Frames, valid: Valid) -> None:
        """Send a clip on its way, as soon as few enough are."""
        await self._places.acquire()
        self._tasks.append(self._group.create_task(self._ask(frames, valid)))

    def answers(self) -> list[ClipOutput]:
        """The answers, in the order of the clips; there once the context is left."""
        return [task.result() for task in self._tasks]

    async def _ask(self, frames: Frames, valid: Valid) -> ClipOutput:
        try:
            answer = await self._batcher.predict(frames, valid, caller=self)
            answered_at = time.perf_counter()
            asked_at = answered_at - answer.model_seconds
            record_span("queue", asked_at - answer.queue_seconds, asked_at)
            record_span("model", asked_at, answered_at, batch_size=answer.batch_size)
            self._progress.answered()
            return answer
        finally:
            self._places.release()


@asynccontextmanager
async def questions_to(
    batcher: Batcher, max_clips_in_flight: int, progress: Progress | None = None
) -> AsyncIterator[Questions]:
    """Ask the model about clips while others are still being made; left when all are answered.

    Raises whatever `Batcher.predict` and the context raise; nothing is left running then.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield Questions(batcher, group, max_clips_in_flight, progress or Progress())
    except ExceptionGroup as errors:
        # The first failure is the story; that it cancelled the rest is not.
        raise errors.exceptions[0] from None
