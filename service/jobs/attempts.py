"""Attempts to run a job: classify its video, and store the progress meanwhile."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from framewise.schemas.problem import Problem
from service.jobs.errors import DatabaseUnavailable
from service.jobs.leases import Claim, Outcome, record_progress
from service.jobs.listeners import Listeners
from service.jobs.persistence.database import Database
from service.jobs.settings import JobSettings
from service.jobs.uploads import JobUploads
from service.prediction.classifier import Classifier
from service.prediction.pipeline import ClipProgress
from service.telemetry.spans import SpanRecorder
from service.uploads.directory import removed_upload
from service.uploads.receive import ReceivedVideo
from service.video.errors import DecoderFailed, DecoderKilled, VideoError, VideoUnavailable

if TYPE_CHECKING:
    from service.telemetry.tracing import ActiveSpan, Tracing

Explain = Callable[[Exception, str], Problem]
"""Converts an error to a problem for a request id."""


class ExplainAndLog(Protocol):
    """As `Explain`; also logs the error, with more fields, if the service is at fault."""

    def __call__(self, error: Exception, request_id: str, **log_fields: str) -> Problem:
        """Return the problem of `error`."""
        ...


# A client would retry a request with these statuses; a job is requeued.
_RETRYABLE = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class Retry:
    """An attempt that counts, and after which the job is tried again."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claimed job with the task that runs it. The task returns None if the job is requeued without being counted."""

    claim: Claim
    task: asyncio.Task[Outcome | Retry | None]
    recorder: SpanRecorder
    span: "ActiveSpan | None"


class AttemptRunner:
    """Starts attempts."""

    def __init__(
        self,
        *,
        database: Database,
        uploads: JobUploads,
        listeners: Listeners,
        classifier: Classifier,
        explain_and_log: ExplainAndLog,
        settings: JobSettings,
        tracing: "Tracing | None",
    ) -> None:
        self._database = database
        self._uploads = uploads
        self._listeners = listeners
        self._classifier = classifier
        self._explain_and_log = explain_and_log
        self._settings = settings
        self._tracing = tracing

    def start(self, claim: Claim) -> Attempt:
        """Start to run a claimed job."""
        span = None if self._tracing is None else self._tracing.start_attempt_span(claim.traceparent)
        recorder = SpanRecorder(traceparent=claim.traceparent if span is None else span.traceparent)
        return Attempt(claim, asyncio.create_task(self._run(claim, recorder)), recorder, span)

    async def _run(self, claim: Claim, recorder: SpanRecorder) -> Outcome | Retry | None:
        with recorder.recording():
            changed = asyncio.Event()
            progress = ClipProgress(changed.set)
            recording = asyncio.create_task(self._record_progress(claim, progress, changed))
            try:
                return await self._classify(claim, progress)
            finally:
                recording.cancel()
                await asyncio.wait({recording})

    async def _classify(self, claim: Claim, progress: ClipProgress) -> Outcome | Retry | None:
        path = self._uploads.path(claim.job_id)
        try:
            prediction = await self._classifier.predict_later(
                ReceivedVideo(path, claim.num_upload_bytes, claim.upload_sha256),
                claim.query,
                claim.request_id,
                # The jobs of an API key share with requests as a caller of their own.
                caller=f"jobs of {claim.owner}",
                deadline_seconds=self._settings.job_deadline_seconds,
                max_duration_seconds=self._settings.job_max_duration_seconds,
                progress=progress,
            )
        except DecoderKilled as error:
            num_attempts = self._settings.job_max_attempts
            if claim.attempt < num_attempts:
                return Retry()
            last = DecoderKilled(f"{error} This was the last of {num_attempts} attempts (SERVICE_JOB_MAX_ATTEMPTS).")
            return self._failure(last, claim)
        except (VideoError, DecoderFailed) as error:
            is_away = isinstance(error, VideoUnavailable)
            removed = error if is_away else await asyncio.to_thread(removed_upload, path)
            if removed is None:
                return self._failure(error, claim)
            # The directory may come back, such as a mount that was lost.
            is_last = claim.attempt >= self._settings.job_max_attempts
            return Outcome(problem=self._problem(removed, claim).model_dump_json()) if is_last else Retry()
        except Exception as error:  # noqa: BLE001 - as for a request: any error becomes a problem
            return self._failure(error, claim)
        return Outcome(result=prediction.model_dump_json(), num_clips=len(prediction.clips))

    def _failure(self, error: Exception, claim: Claim) -> Outcome | None:
        problem = self._problem(error, claim)
        return None if problem.status in _RETRYABLE else Outcome(problem=problem.model_dump_json())

    def _problem(self, error: Exception, claim: Claim) -> Problem:
        return self._explain_and_log(error, claim.request_id, job_id=claim.job_id)

    async def _record_progress(self, claim: Claim, progress: ClipProgress, changed: asyncio.Event) -> None:
        """Store the progress after each change; changes during a write are stored together by the next write."""
        while True:
            await changed.wait()
            changed.clear()
            num_clips, num_done = progress.num_clips, progress.num_clips_done
            try:
                await self._database.write(
                    lambda connection: record_progress(connection, claim, num_clips, num_done)  # noqa: B023 - awaited
                )
            except DatabaseUnavailable:
                continue
            self._listeners.signal(claim.job_id)
