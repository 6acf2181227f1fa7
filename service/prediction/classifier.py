"""The stories of requests: admit, receive, decode, predict, answer. Their collaborators are arguments."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from framewise.schemas.prediction import Prediction, PredictQuery, ValidateQuery, Validation
from service.inference.batcher import Batcher, ClipAnswer, Frames, Valid
from service.inference.repository import ModelRepository, ReadyModel
from service.open_inference.codec import write_answer
from service.open_inference.reader import QuestionReader
from service.prediction.admission import Admission, Visit
from service.prediction.cache import AnswerCache, AnswerKey
from service.prediction.response import ClassifiedVideo, DecodedVideo, Stopwatch, compose_prediction, compose_validation
from service.telemetry.metrics import Metrics
from service.telemetry.spans import stage, tell_stage
from service.uploads.directory import UploadDirectory
from service.uploads.from_url import UrlInput
from service.uploads.receive import ReceivedVideo, UploadLimits, is_json, receive_bytes, receive_video
from service.video.clip import Clip, ClipSpec
from service.video.errors import DecoderFailed, VideoError
from service.video.sandbox.pool import Sandbox


class DeadlineExceeded(Exception):
    """The answer was not there in time."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A request's body, not yet received; `caller` is who shares the places of one."""

    caller: str
    body: AsyncIterator[bytes]
    content_type: str
    content_length: int | None


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


@dataclass(frozen=True, slots=True)
class Classifier:
    """Everything that answering a request takes; built once, in `service.app`."""

    admission: Admission
    models: ModelRepository
    sandbox: Sandbox
    metrics: Metrics
    answers: AnswerCache
    upload_limits: UploadLimits
    uploads: UploadDirectory
    urls: UrlInput
    deadline_seconds: float
    max_clips_in_flight: int
    max_inference_bytes: int
    questions: QuestionReader

    async def predict(self, upload: Upload, query: PredictQuery, request_id: str) -> Prediction:
        """Answer one request, from its body to its prediction.

        Raises every error of `service.api.problems.TABLE` but those of HTTP itself. However it ends, by
        an answer, an error or a cancellation, its places, file, child and queue places are free again.
        """
        stopwatch = Stopwatch()
        async with self._admitted(upload, query, stopwatch) as (visit, model, received):
            key = AnswerKey(received.sha256, model.stored.digest)
            video = self.answers.get(key)
            if video is None:
                async with self.admission.work(visit):
                    video = await self._classify(received, model, Progress(), 1)
                self.answers.put(key, video)
        prediction = compose_prediction(video, model.stored, query, request_id, stopwatch)
        self.metrics.observe_stages(prediction.timings_ms.model_dump())
        return prediction

    async def predict_later(
        self,
        received: ReceivedVideo,
        query: PredictQuery,
        request_id: str,
        *,
        deadline_seconds: float,
        length_factor: float,
        progress: Progress,
    ) -> Prediction:
        """Answer a request whose body was received before: nobody waits, so it takes no place from those who do.

        The answer is not kept: the video may be one that `predict` would refuse for its length.
        """
        stopwatch = Stopwatch()
        stopwatch.received()
        deadline_seconds = min(query.deadline_seconds or deadline_seconds, deadline_seconds)
        try:
            with self.models.lend(query.model, query.version) as model:
                async with asyncio.timeout(deadline_seconds):
                    video = self.answers.get(AnswerKey(received.sha256, model.stored.digest))
                    if video is None:
                        video = await self._classify(received, model, progress, length_factor)
        except TimeoutError:
            raise DeadlineExceeded(f"No answer within {deadline_seconds:g} s.") from None
        # Of two hours of video it is half a second of Python: the event loop's other requests go on beside it.
        return await asyncio.to_thread(compose_prediction, video, model.stored, query, request_id, stopwatch)

    async def _classify(
        self, received: ReceivedVideo, model: ReadyModel, progress: Progress, length_factor: float
    ) -> ClassifiedVideo:
        return await classify_video(
            received.path,
            model.stored.manifest.clip,
            self.sandbox,
            model.batcher,
            max_clips_in_flight=self.max_clips_in_flight,
            metrics=self.metrics,
            progress=progress,
            length_factor=length_factor,
        )

    async def validate(self, upload: Upload, query: ValidateQuery, request_id: str) -> Validation:
        """Take the same way as `predict` up to the model, and say what lies there instead of asking it."""
        stopwatch = Stopwatch()
        async with self._admitted(upload, query, stopwatch) as (visit, model, received), self.admission.work(visit):
            video = await decode_video(received.path, model.stored.manifest.clip, self.sandbox, _let_go, self.metrics)
        validation = compose_validation(video, model.stored, model.batcher.seconds_per_clip, request_id, stopwatch)
        self.metrics.observe_stages(validation.timings_ms.model_dump())
        return validation

    async def infer(
        self, upload: Upload, num_json_bytes: int | None, name: str, version: str | None
    ) -> tuple[bytes, int | None]:
        """Answer an inference request of ready clips: the same places and the same batcher, no video.

        Returns the body of the answer, and how many of its bytes are JSON where others follow.
        """
        with self.admission.visit(upload.caller) as visit, self.models.lend(name, version) as model:
            manifest = model.stored.manifest
            with stage("receive"):
                body = await receive_bytes(upload.body, self.max_inference_bytes, self.upload_limits)
            try:
                async with asyncio.timeout(self.deadline_seconds), self.admission.work(visit):
                    question = await self.questions.read(body, num_json_bytes, manifest.clip)
                    async with questions_to(model.batcher, self.max_clips_in_flight) as questions:
                        for frames, valid in zip(question.frames, question.valid, strict=True):
                            await questions.ask(frames, valid)
            except TimeoutError:
                raise DeadlineExceeded(f"No answer within {self.deadline_seconds:g} s.") from None
        return write_answer(question, manifest, questions.answers())

    @asynccontextmanager
    async def _admitted(
        self, upload: Upload, query: ValidateQuery, stopwatch: Stopwatch
    ) -> AsyncIterator[tuple[Visit, ReadyModel, ReceivedVideo]]:
        """Hold a place, with the model asked for and the received video; the deadline bounds the context."""
        with (
            self.admission.visit(upload.caller) as visit,
            self.models.lend(query.model, query.version) as model,
            self.uploads.place() as path,
        ):
            with stage("receive"):
                received = await self.receive(upload, path)
            stopwatch.received()
            deadline_seconds = min(query.deadline_seconds or self.deadline_seconds, self.deadline_seconds)
            try:
                async with asyncio.timeout(deadline_seconds):
                    yield visit, model, received
            except TimeoutError:
                raise DeadlineExceeded(f"No answer within {deadline_seconds:g} s.") from None

    async def receive(self, upload: Upload, path: Path) -> ReceivedVideo:
        """The video in `path`: the one that the body holds, or the one whose URL it tells."""
        if is_json(upload.content_type):
            return await self.urls.receive(upload.body, path)
        return await receive_video(upload.body, upload.content_type, upload.content_length, path, self.upload_limits)


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
        tell_stage("decode", started_at, ended_at, outcome=outcome)
    return DecodedVideo(video.facts, video.report, clips, ended_at - started_at, video.appearance)


async def _let_go(_: Clip) -> None:
    pass


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
        self._tasks: list[asyncio.Task[ClipAnswer]] = []

    async def ask(self, frames: Frames, valid: Valid) -> None:
        """Send a clip on its way, as soon as few enough are."""
        await self._places.acquire()
        self._tasks.append(self._group.create_task(self._ask(frames, valid)))

    def answers(self) -> list[ClipAnswer]:
        """The answers, in the order of the clips; there once the context is left."""
        return [task.result() for task in self._tasks]

    async def _ask(self, frames: Frames, valid: Valid) -> ClipAnswer:
        try:
            answer = await self._batcher.predict(frames, valid, caller=self)
            answered_at = time.perf_counter()
            asked_at = answered_at - answer.model_seconds
            tell_stage("queue", asked_at - answer.queue_seconds, asked_at)
            tell_stage("model", asked_at, answered_at, batch_size=answer.batch_size)
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
