"""The stories of requests: admit, receive, decode, predict, answer. Their collaborators are arguments."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from framewise.schemas.prediction import Prediction, PredictQuery, ValidateQuery, Validation
from service.inference.repository import ModelRepository, ReadyModel
from service.open_inference.codec import write_response
from service.open_inference.parser import RequestParser
from service.prediction.admission import Admission, Visit
from service.prediction.cache import AnswerCache, AnswerKey
from service.prediction.errors import DeadlineExceeded
from service.prediction.pipeline import (
    ClassifiedVideo,
    Progress,
    classify_video,
    decode_video,
    let_go,
    questions_to,
)
from service.prediction.response import Stopwatch, compose_prediction, compose_validation
from service.prediction.settings import PredictionSettings
from service.telemetry.metrics import Metrics
from service.telemetry.spans import span
from service.uploads.directory import UploadDirectory
from service.uploads.from_url import UrlFetcher
from service.uploads.receive import ReceivedVideo, is_json, receive_bytes, receive_video
from service.uploads.settings import UploadSettings
from service.video.sandbox.pool import Sandbox


@dataclass(frozen=True, slots=True)
class Upload:
    """A request's body, not yet received; `caller` is who shares the places of one."""

    caller: str
    body: AsyncIterator[bytes]
    content_type: str
    content_length: int | None


@dataclass(frozen=True, slots=True)
class Classifier:
    """Everything that answering a request takes; built once, in `service.app`."""

    admission: Admission
    models: ModelRepository
    sandbox: Sandbox
    metrics: Metrics
    answers: AnswerCache
    upload_settings: UploadSettings
    uploads: UploadDirectory
    urls: UrlFetcher
    settings: PredictionSettings
    max_duration_seconds: float
    inference_parser: RequestParser

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
        self.metrics.observe_timings(prediction.timings_ms.model_dump())
        return prediction

    async def predict_later(
        self,
        received: ReceivedVideo,
        query: PredictQuery,
        request_id: str,
        *,
        deadline_seconds: float,
        max_duration_seconds: float,
        progress: Progress,
    ) -> Prediction:
        """Answer a request whose body was received before: nobody waits, so it takes no place from those who do.

        The answer is not kept: the video may be one that `predict` would refuse for its length.
        """
        stopwatch = Stopwatch()
        stopwatch.received()
        deadline_seconds = min(query.deadline_seconds or deadline_seconds, deadline_seconds)
        length_factor = max_duration_seconds / self.max_duration_seconds
        try:
            with self.models.acquire(query.model, query.version) as model:
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
            max_clips_in_flight=self.settings.max_clips_in_flight,
            metrics=self.metrics,
            progress=progress,
            length_factor=length_factor,
        )

    async def validate(self, upload: Upload, query: ValidateQuery, request_id: str) -> Validation:
        """Take the same way as `predict` up to the model, and say what lies there instead of asking it."""
        stopwatch = Stopwatch()
        async with self._admitted(upload, query, stopwatch) as (visit, model, received), self.admission.work(visit):
            video = await decode_video(received.path, model.stored.manifest.clip, self.sandbox, let_go, self.metrics)
        validation = compose_validation(video, model.stored, model.batcher.seconds_per_clip, request_id, stopwatch)
        self.metrics.observe_timings(validation.timings_ms.model_dump())
        return validation

    async def infer(
        self, upload: Upload, num_json_bytes: int | None, name: str, version: str | None
    ) -> tuple[bytes, int | None]:
        """Answer an inference request of ready clips: the same places and the same batcher, no video.

        Returns the body of the answer, and how many of its bytes are JSON where others follow.
        """
        with self.admission.visit(upload.caller) as visit, self.models.acquire(name, version) as model:
            manifest = model.stored.manifest
            with span("receive"):
                body = await receive_bytes(upload.body, self.settings.max_inference_bytes, self.upload_settings)
            try:
                async with asyncio.timeout(self.settings.deadline_seconds), self.admission.work(visit):
                    inference = await self.inference_parser.parse(body, num_json_bytes, manifest.clip)
                    async with questions_to(model.batcher, self.settings.max_clips_in_flight) as questions:
                        for frames, valid in zip(inference.frames, inference.valid, strict=True):
                            await questions.ask(frames, valid)
            except TimeoutError:
                raise DeadlineExceeded(f"No answer within {self.settings.deadline_seconds:g} s.") from None
        return write_response(inference, manifest, questions.answers())

    @asynccontextmanager
    async def _admitted(
        self, upload: Upload, query: ValidateQuery, stopwatch: Stopwatch
    ) -> AsyncIterator[tuple[Visit, ReadyModel, ReceivedVideo]]:
        """Hold a place, with the model asked for and the received video; the deadline bounds the context."""
        with (
            self.admission.visit(upload.caller) as visit,
            self.models.acquire(query.model, query.version) as model,
            self.uploads.reserve_path() as path,
        ):
            with span("receive"):
                received = await self.receive(upload, path)
            stopwatch.received()
            deadline_seconds = min(
                query.deadline_seconds or self.settings.deadline_seconds, self.settings.deadline_seconds
            )
            try:
                async with asyncio.timeout(deadline_seconds):
                    yield visit, model, received
            except TimeoutError:
                raise DeadlineExceeded(f"No answer within {deadline_seconds:g} s.") from None

    async def receive(self, upload: Upload, path: Path) -> ReceivedVideo:
        """The video in `path`: the one that the body holds, or the one whose URL it tells."""
        if is_json(upload.content_type):
            return await self.urls.receive(upload.body, path)
        return await receive_video(upload.body, upload.content_type, upload.content_length, path, self.upload_settings)
