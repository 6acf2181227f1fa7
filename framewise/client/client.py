"""Synchronous client of a Framewise service.

Generated from `async_client.py` by `python -m tests.client.sync_client`; do not edit.

Example:
    with Client("http://127.0.0.1:8000") as client:
        prediction = client.predict("clip.mp4")
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Self, TypeVar, Unpack

import httpx

from framewise.client import operations
from framewise.client.connection import Address, authorization, setup_error
from framewise.client.defaults import (
    DEADLINE_MARGIN_SECONDS,
    DEFAULT_URL,
    JOB_TIMEOUT_SECONDS,
    REQUEST_TIMEOUT_SECONDS,
    VIDEO_TIMEOUT_SECONDS,
    events_timeout,
    http_timeout,
    require_seconds,
)
from framewise.client.errors import ProblemError
from framewise.client.job_events import JobEventReader
from framewise.client.multipart import OnProgress, VideoForm
from framewise.client.operations import Operation
from framewise.client.options import JobOptions, PredictOptions, ValidateOptions
from framewise.client.responses import BodyReader, problem_error
from framewise.client.retries import Retries
from framewise.client.video_source import VideoSource
from framewise.schemas.capabilities import Capabilities
from framewise.schemas.jobs import Job, JobEvent, JobList, JobState
from framewise.schemas.models import Health, ModelList
from framewise.schemas.prediction import Prediction, Validation

_Result = TypeVar("_Result")


class Client:
    """Synchronous client of one service; threads may share it.

    Use it as a context manager, or close it at the end.

    Every method raises `ProblemError` if the service refuses the request, and `ServiceUnreachable` if the service
    does not respond. Responses 429 and 503 are retried after their `Retry-After`. After a dropped connection only
    idempotent requests are retried: the submission of a job and the stream of its events.

    Every wait has a time limit, after which `ServiceUnreachable` is raised: 10 s for the response to a request without
    a video; 300 s after a video was sent, or a minute more than the request's `deadline_seconds` if that is later. The
    `timeout` of the client or of a call sets another limit.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        max_attempts: int = 5,
        max_wait_seconds: float = 30,
        timeout: float | None = None,
    ) -> None:
        """Configure the client; a connection opens with the first request.

        Args:
            url: Address of the service.
            api_key: Key sent as a bearer token, if the service requires one.
            max_attempts: Number of attempts per request, the first one included.
            max_wait_seconds: Longest wait before a retry; a refusal with a longer `Retry-After` is raised.
            timeout: Longest wait for a response, in seconds, for each attempt.

        Raises:
            InvalidArgument: the address, the key, the time limit or a proxy of the environment cannot be used.
        """
        self._address = Address(url)
        self._timeout = None if timeout is None else require_seconds(timeout)
        self._max_attempts = max_attempts
        self._max_wait_seconds = max_wait_seconds
        headers = authorization(api_key)
        try:
            self._http = httpx.Client(base_url=self._address.url, headers=headers)
        except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
            raise setup_error(error, self._address) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(
        self,
        path: VideoSource,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        **options: Unpack[PredictOptions],
    ) -> Prediction:
        """Classify a video.

        Args:
            path: The video: a path, bytes, or a file that is open for reading bytes. A file is read while it is sent; a
                pipe is first copied to a temporary file.
            on_progress: Called with the bytes sent and the size of the file, from 0 again at each attempt.
            timeout: Longest wait for the response after the video was sent, in seconds.
            **options: See `PredictOptions`.

        Raises:
            OSError: the file cannot be read.
        """
        seconds = self._seconds_for_video(timeout, options.get("deadline_seconds"))
        with closing(VideoForm(path, on_progress)) as form:
            return self._send(operations.predict(form, options), seconds)

    def validate(
        self,
        path: VideoSource,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        **options: Unpack[ValidateOptions],
    ) -> Validation:
        """Report which frames `predict` would sample and the estimated model time, without running the model.

        Args:
            path: The video: a path, bytes, or a file that is open for reading bytes. A file is read while it is sent; a
                pipe is first copied to a temporary file.
            on_progress: As for `predict`.
            timeout: As for `predict`.
            **options: See `ValidateOptions`.

        Raises:
            OSError: the file cannot be read.
        """
        seconds = self._seconds_for_video(timeout, options.get("deadline_seconds"))
        with closing(VideoForm(path, on_progress)) as form:
            return self._send(operations.validate(form, options), seconds)

    def submit_job(
        self,
        path: VideoSource,
        *,
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Submit a video as a job, and return the job before the video is classified.

        Args:
            path: The video: a path, bytes, or a file that is open for reading bytes. A file is read while it is sent; a
                pipe is first copied to a temporary file.
            idempotency_key: Submitting the same video and options again with the same key returns the same job.
                By default each call makes a random key and therefore a new job.
            on_progress: As for `predict`.
            timeout: As for `predict`.
            **options: See `JobOptions`.

        Raises:
            OSError: the file cannot be read.
        """
        seconds = self._seconds_for_video(timeout, None)
        with closing(VideoForm(path, on_progress)) as form:
            return self._send(operations.submit_job(form, idempotency_key, options), seconds)

    def job(self, job_id: str) -> Job:
        """Return a job; its `result` is set once the job is done, its `problem` once it has failed."""
        return self._send(operations.job(job_id))

    def jobs(self, *, state: JobState | None = None, limit: int | None = None, after: str | None = None) -> JobList:
        """List jobs, latest first.

        Args:
            state: Only jobs in this state.
            limit: Maximum number of jobs; the service's default is 50.
            after: The `next` of the previous page.
        """
        return self._send(operations.jobs(state, limit, after))

    def cancel_job(self, job_id: str) -> Job | None:
        """Cancel a job and return it. If the job has already ended, remove it with its result and return None."""
        return self._send(operations.cancel_job(job_id))

    def job_events(self, job_id: str, *, timeout: float | None = None) -> Iterator[JobEvent | Job]:
        """Yield the events of a job as they happen; the last item is the ended job. Dropped connections are resumed.

        Args:
            job_id: Id of the job.
            timeout: Longest wait for the end of the job, in seconds; by default a day.

        Raises:
            TimeoutError: the job has not ended in time; it goes on.
        """
        reader, retries = JobEventReader(job_id, require_seconds(timeout or JOB_TIMEOUT_SECONDS)), self._retries()
        while not reader.has_ended:
            try:
                with self._http.stream(
                    "GET", reader.path, headers=reader.headers(), timeout=events_timeout(reader.seconds_left())
                ) as response:
                    if not response.is_success:
                        response.read()
                        raise problem_error(response)
                    for chunk in response.iter_bytes():
                        for event in reader.feed(chunk):
                            retries.reset()
                            yield event
                reader.require_end()
            except (httpx.TransportError, ProblemError) as error:
                reader.seconds_left()
                time.sleep(retries.delay_seconds(error, is_retryable=True))

    def wait_for_job(
        self, job_id: str, on_event: Callable[[JobEvent], None] | None = None, *, timeout: float | None = None
    ) -> Job:
        """Wait until a job is done, failed or cancelled, and return it.

        Args:
            job_id: Id of the job.
            on_event: Called with each event before the last one.
            timeout: Longest wait, in seconds; by default a day.

        Raises:
            TimeoutError: the job has not ended in time; it goes on.
        """
        for event in self.job_events(job_id, timeout=timeout):
            if isinstance(event, Job):
                return event
            if on_event is not None:
                on_event(event)
        raise AssertionError("the last event is the job")

    def models(self) -> ModelList:
        """List the models that the service serves."""
        return self._send(operations.models())

    def capabilities(self) -> Capabilities:
        """Return the limits of the service, its formats and the state of its jobs."""
        return self._send(operations.capabilities())

    def health(self) -> Health:
        """Return the state of the service and of its models, also while the service is not ready."""
        return self._send(operations.health())

    def _send(self, operation: Operation[_Result], seconds: float | None = None) -> _Result:
        seconds = seconds or self._timeout or REQUEST_TIMEOUT_SECONDS
        retries = self._retries()
        while True:
            content = None if operation.form is None else operation.form.chunks()
            try:
                with self._http.stream(
                    operation.method,
                    operation.path,
                    params=operation.params,
                    headers=operation.headers,
                    content=content,
                    timeout=http_timeout(seconds),
                ) as response:
                    body = BodyReader(response, seconds)
                    for chunk in response.iter_raw():
                        body.feed(chunk)
                return operation.parse(body.response())
            except (httpx.TransportError, ProblemError) as error:
                time.sleep(retries.delay_seconds(error, is_retryable=operation.is_retryable_after(error)))

    def _seconds_for_video(self, timeout: float | None, deadline_seconds: float | None) -> float:
        if timeout is not None:
            return require_seconds(timeout)
        return self._timeout or max(VIDEO_TIMEOUT_SECONDS, (deadline_seconds or 0) + DEADLINE_MARGIN_SECONDS)

    def _retries(self) -> Retries:
        return Retries(self._address, self._max_attempts, self._max_wait_seconds)
