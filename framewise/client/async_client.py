"""Asynchronous client of a Framewise service. `framewise/client/client.py` is generated from this file.

Example:
    async with AsyncClient("http://127.0.0.1:8000") as client:
        prediction = await client.predict("clip.mp4")
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Self, TypeVar, Unpack

import httpx

from framewise.client import operations
from framewise.client.defaults import DEFAULT_URL, EVENTS_TIMEOUT, TIMEOUT
from framewise.client.errors import ProblemError
from framewise.client.job_events import JobEventReader
from framewise.client.multipart import OnProgress
from framewise.client.operations import Operation
from framewise.client.options import JobOptions, PredictOptions, ValidateOptions
from framewise.client.responses import problem_error
from framewise.client.retries import Retries
from framewise.schemas.jobs import Job, JobEvent, JobList, JobState
from framewise.schemas.models import Health, ModelList
from framewise.schemas.prediction import Prediction, Validation

_Result = TypeVar("_Result")


class AsyncClient:
    """Asynchronous client of one service. Use it as a context manager; it may run many requests concurrently.

    Every method raises `ProblemError` if the service refuses the request, and `ServiceUnreachable` if the service
    does not respond. Responses 429 and 503 are retried after their `Retry-After`. After a dropped connection only
    idempotent requests are retried: the submission of a job and the stream of its events.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        max_attempts: int = 5,
        max_wait_seconds: float = 30,
    ) -> None:
        """Configure the client; the connection opens on entering the context.

        Args:
            url: Address of the service.
            api_key: Key sent as a bearer token, if the service requires one.
            max_attempts: Number of attempts per request, the first one included.
            max_wait_seconds: Longest wait before a retry; a refusal with a longer `Retry-After` is raised.
        """
        self._url = url.rstrip("/")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._max_attempts = max_attempts
        self._max_wait_seconds = max_wait_seconds

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def predict(
        self,
        path: str | os.PathLike[str],
        *,
        on_progress: OnProgress | None = None,
        **options: Unpack[PredictOptions],
    ) -> Prediction:
        """Classify a video.

        Args:
            path: The video file. It is read while it is sent.
            on_progress: Called with the bytes sent and the size of the file, from 0 again at each attempt. Runs on a
                worker thread.
            **options: See `PredictOptions`.

        Raises:
            OSError: the file cannot be read.
        """
        return await self._send(operations.predict(Path(path), on_progress, options))

    async def validate(
        self,
        path: str | os.PathLike[str],
        *,
        on_progress: OnProgress | None = None,
        **options: Unpack[ValidateOptions],
    ) -> Validation:
        """Report which frames `predict` would sample and the estimated model time, without running the model.

        Args:
            path: The video file. It is read while it is sent.
            on_progress: As for `predict`.
            **options: See `ValidateOptions`.

        Raises:
            OSError: the file cannot be read.
        """
        return await self._send(operations.validate(Path(path), on_progress, options))

    async def submit_job(
        self,
        path: str | os.PathLike[str],
        *,
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Submit a video as a job, and return the job before the video is classified.

        Args:
            path: The video file. It is read while it is sent.
            idempotency_key: Submitting the same video and options again with the same key returns the same job.
                By default each call makes a random key and therefore a new job.
            on_progress: As for `predict`.
            **options: See `JobOptions`.

        Raises:
            OSError: the file cannot be read.
        """
        return await self._send(operations.submit_job(Path(path), idempotency_key, on_progress, options))

    async def job(self, job_id: str) -> Job:
        """Return a job; its `result` is set once the job is done, its `problem` once it has failed."""
        return await self._send(operations.job(job_id))

    async def jobs(
        self, *, state: JobState | None = None, limit: int | None = None, after: str | None = None
    ) -> JobList:
        """List jobs, latest first.

        Args:
            state: Only jobs in this state.
            limit: Maximum number of jobs; the service's default is 50.
            after: The `next` of the previous page.
        """
        return await self._send(operations.jobs(state, limit, after))

    async def cancel_job(self, job_id: str) -> Job | None:
        """Cancel a job and return it. If the job has already ended, remove it with its result and return None."""
        return await self._send(operations.cancel_job(job_id))

    async def job_events(self, job_id: str) -> AsyncIterator[JobEvent | Job]:
        """Yield the events of a job as they happen; the last item is the ended job. Dropped connections are resumed."""
        reader, retries = JobEventReader(job_id), self._retries()
        while not reader.has_ended:
            try:
                async with self._http.stream(
                    "GET", reader.path, headers=reader.headers(), timeout=EVENTS_TIMEOUT
                ) as response:
                    if not response.is_success:
                        await response.aread()
                        raise problem_error(response)
                    async for chunk in response.aiter_bytes():
                        for event in reader.feed(chunk):
                            retries.reset()
                            yield event
                reader.require_end()
            except (httpx.TransportError, ProblemError) as error:
                await asyncio.sleep(retries.delay_seconds(error, is_retryable=True))

    async def wait_for_job(self, job_id: str, on_event: Callable[[JobEvent], None] | None = None) -> Job:
        """Wait until a job is done, failed or cancelled, and return it.

        Args:
            job_id: Id of the job.
            on_event: Called with each event before the last one.
        """
        async for event in self.job_events(job_id):
            if isinstance(event, Job):
                return event
            if on_event is not None:
                on_event(event)
        raise AssertionError("the last event is the job")

    async def models(self) -> ModelList:
        """List the models that the service serves."""
        return await self._send(operations.models())

    async def health(self) -> Health:
        """Return the state of the service and of its models, also while the service is not ready."""
        return await self._send(operations.health())

    async def _send(self, operation: Operation[_Result]) -> _Result:
        retries = self._retries()
        while True:
            content = None if operation.form is None else operation.form.chunks_async()
            try:
                response = await self._http.request(
                    operation.method,
                    operation.path,
                    params=operation.params,
                    headers=operation.headers,
                    content=content,
                )
                return operation.parse(response)
            except (httpx.TransportError, ProblemError) as error:
                await asyncio.sleep(retries.delay_seconds(error, is_retryable=operation.is_retryable_after(error)))

    def _retries(self) -> Retries:
        return Retries(self._url, self._max_attempts, self._max_wait_seconds)
