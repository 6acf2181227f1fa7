"""The request flow: admit, receive, decode, classify, respond."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from framewise.schemas.prediction import Prediction, PredictQuery, ValidateQuery, Validation
from service.inference.repository import ModelRepository, ReadyModel
from service.open_inference.codec import write_response
from service.open_inference.parser import RequestParser
from service.prediction.admission import Admission, Ticket
from service.prediction.cache import CacheKey, PredictionCache
from service.prediction.errors import DeadlineExceeded
from service.prediction.pipeline import ClipProgress, Pipeline, clip_requests
from service.prediction.response import compose_prediction, compose_validation
from service.prediction.settings import PredictionSettings
from service.prediction.stopwatch import Stopwatch
from service.telemetry.metrics import Metrics
from service.telemetry.spans import span
from service.uploads.directory import UploadDirectory, removed_upload
from service.uploads.receive import ReceivedVideo
from service.uploads.receiver import Upload, UploadReceiver
from service.video.errors import DecoderFailed, DecoderKilled, VideoError

_Result = TypeVar("_Result")


class Classifier:
    """Turns an upload into a prediction, a validation or an inference response."""

    def __init__(
        self,
        *,
        settings: PredictionSettings,
        max_duration_seconds: float,
        admission: Admission,
        models: ModelRepository,
        pipeline: Pipeline,
        cache: PredictionCache,
        uploads: UploadDirectory,
        receiver: UploadReceiver,
        metrics: Metrics,
    ) -> None:
        """`max_duration_seconds` is the sandbox's limit for the length of a video."""
        self._settings = settings
        self._max_duration_seconds = max_duration_seconds
        self._admission = admission
        self._models = models
        self._pipeline = pipeline
        self._cache = cache
        self._uploads = uploads
        self._receiver = receiver
        self._metrics = metrics
        self._inference_parser = RequestParser()

    async def predict(self, upload: Upload, query: PredictQuery, request_id: str) -> Prediction:
        """Classify the video of `upload`.

        After a response, an error or a cancellation, the request holds no slot, file, decode worker or position in a
        queue. Raises the errors of `service.api.problem_table.TABLE`, except the errors of HTTP.
        """
        stopwatch = Stopwatch()
        async with self._admitted(upload, query, stopwatch) as (ticket, model, received):
            key = CacheKey(received.sha256, model.stored.digest)
            video = self._cache.get(key)
            if video is None:
                async with self._admission.work(ticket):
                    with self._pipeline.work(upload.caller) as work:
                        video = await _again_if_killed(lambda: self._pipeline.classify(received.path, model, work))
                self._cache.put(key, video)
        prediction = compose_prediction(video, model.stored, query, request_id, stopwatch)
        self._metrics.observe_timings(prediction.timings_ms.model_dump())
        return prediction

    async def predict_later(
        self,
        received: ReceivedVideo,
        query: PredictQuery,
        request_id: str,
        *,
        caller: str,
        deadline_seconds: float,
        max_duration_seconds: float,
        progress: ClipProgress,
    ) -> Prediction:
        """Classify a video that was received before, as for a job of `caller`; takes no slot of admission.

        The result is not cached, because `predict` may refuse the video for its length.
        """
        stopwatch = Stopwatch()
        stopwatch.mark_received()
        with self._models.acquire(query.model, query.version) as model:
            async with _deadline(query, deadline_seconds):
                video = self._cache.get(CacheKey(received.sha256, model.stored.digest))
                if video is None:
                    length_factor = max_duration_seconds / self._max_duration_seconds
                    with self._pipeline.work(caller) as work:
                        video = await self._pipeline.classify(received.path, model, work, progress, length_factor)
        # The response to two hours of video takes half a second of Python, which would block the event loop.
        return await asyncio.to_thread(compose_prediction, video, model.stored, query, request_id, stopwatch)

    async def validate(self, upload: Upload, query: ValidateQuery, request_id: str) -> Validation:
        """Decode the video of `upload` as `predict` does, without calling the model."""
        stopwatch = Stopwatch()
        async with self._admitted(upload, query, stopwatch) as (ticket, model, received), self._admission.work(ticket):
            spec = model.stored.manifest.clip
            with self._pipeline.work(upload.caller) as work:
                video = await _again_if_killed(lambda: self._pipeline.decode(received.path, spec, work=work))
        validation = compose_validation(video, model.stored, model.batcher.seconds_per_clip, request_id, stopwatch)
        self._metrics.observe_timings(validation.timings_ms.model_dump())
        return validation

    async def infer(
        self, upload: Upload, num_json_bytes: int | None, name: str, version: str | None
    ) -> tuple[bytes, int | None]:
        """Classify the clips of an inference request; it shares slots and batcher with `predict`.

        Returns the body of the response, and the number of its bytes that are JSON if binary tensors follow.
        """
        with self._admission.admit(upload.caller) as ticket, self._models.acquire(name, version) as model:
            manifest = model.stored.manifest
            with span("receive"):
                body = await self._receiver.receive_bytes(upload, self._settings.max_inference_bytes)
            async with _deadline(None, self._settings.deadline_seconds), self._admission.work(ticket):
                with self._pipeline.work(upload.caller) as work:
                    inference = await self._inference_parser.parse(body, num_json_bytes, manifest.clip, work)
                    async with clip_requests(model.batcher, self._settings.max_clips_in_flight, work) as requests:
                        for frames, valid in zip(inference.frames, inference.valid, strict=True):
                            await requests.submit(frames, valid)
        return write_response(inference, manifest, requests.outputs())

    @asynccontextmanager
    async def _admitted(
        self, upload: Upload, query: ValidateQuery, stopwatch: Stopwatch
    ) -> AsyncIterator[tuple[Ticket, ReadyModel, ReceivedVideo]]:
        """Hold an admission ticket, the requested model and the received video; the deadline bounds the context."""
        with (
            self._admission.admit(upload.caller) as ticket,
            self._models.acquire(query.model, query.version) as model,
            self._uploads.reserve_path() as path,
        ):
            with span("receive"):
                received = await self._receiver.receive(upload, path)
            stopwatch.mark_received()
            async with _deadline(query, self._settings.deadline_seconds):
                try:
                    yield ticket, model, received
                except (VideoError, DecoderFailed) as error:
                    # A program that cleans up may remove uploads that wait for their turn.
                    if (removed := await asyncio.to_thread(removed_upload, path)) is not None:
                        raise removed from error
                    raise


async def _again_if_killed(decode: Callable[[], Awaitable[_Result]]) -> _Result:
    """The result of `decode`, which is repeated once if its decode worker is killed from outside or stalls."""
    try:
        return await decode()
    except DecoderKilled:
        return await decode()


@asynccontextmanager
async def _deadline(query: ValidateQuery | None, max_seconds: float) -> AsyncIterator[None]:
    """Raise DeadlineExceeded after the deadline of `query`, or after `max_seconds` if that is sooner."""
    query_seconds = None if query is None else query.deadline_seconds
    seconds = min(query_seconds or max_seconds, max_seconds)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DeadlineExceeded(f"There was no result within the deadline of {seconds:g} s.") from None
