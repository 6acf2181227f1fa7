"""The service from the caller's side: videos go up from disk, typed answers come back.

    with Client("http://127.0.0.1:8000") as client:
        print(client.predict("clip.mp4").prediction)

Knows the wire, `framewise.schemas.prediction`, and nothing of how answers are made: neither the web framework nor
TensorFlow nor a decoder is imported. What is asked, and how answers are read, is `framewise.client.operations`;
here it is sent, and waited for.

Refusals that pass (429 and 503) are asked again: `max_attempts` times in all, each time after as long as
the answer's `Retry-After` says. A wait of more than `max_wait_seconds` is the caller's to decide on, so
the refusal is raised instead. After a broken connection, only what is harmless twice is sent again: a
job's submission, by its key, and the question for its events, from the last one heard.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Self, TypeVar, Unpack

import httpx

from framewise.client import operations
from framewise.client.job_events import JobWatch
from framewise.client.multipart import OnProgress
from framewise.client.operations import JobOptions, PredictOptions, ProblemError, Question, ValidateOptions
from framewise.client.retries import Retries, ServiceUnreachable
from framewise.schemas.jobs import Job, JobEvent, JobList, JobState
from framewise.schemas.models import Health, ModelList
from framewise.schemas.prediction import Prediction, Validation

__all__ = ["AsyncClient", "Client", "ProblemError", "ServiceUnreachable"]

DEFAULT_URL = "http://127.0.0.1:8000"
# How long an answer may take is the service's to decide: it has a deadline of its own.
_TIMEOUT = httpx.Timeout(30, read=None)
# Events are never further apart than heartbeats, of which a few may be missed.
_EVENTS_TIMEOUT = httpx.Timeout(30, read=120)

_Answer = TypeVar("_Answer")
_StrPath = str | os.PathLike[str]


class _Settings:
    """What `Client` and `AsyncClient` share: everything but the waiting."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        max_attempts: int = 5,
        max_wait_seconds: float = 30,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._max_attempts = max_attempts
        self._max_wait_seconds = max_wait_seconds

    def _retries(self) -> Retries:
        return Retries(self._url, self._max_attempts, self._max_wait_seconds)


class Client(_Settings):
    """A connection to one service; use it as a context manager. Not for several threads at once.

    Every method raises `ProblemError` where the service refuses, and `ServiceUnreachable` where none answers.
    """

    def __enter__(self) -> Self:
        self._http = httpx.Client(base_url=self._url, headers=self._headers, timeout=_TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def predict(
        self, path: _StrPath, *, on_progress: OnProgress | None = None, **options: Unpack[PredictOptions]
    ) -> Prediction:
        """Say what the video in `path` shows.

        The file is sent as it is read; `on_progress` begins anew with each attempt. Raises OSError where it
        cannot be read.
        """
        return self._ask(operations.predict(Path(path), on_progress or _silent, options))

    def validate(
        self, path: _StrPath, *, on_progress: OnProgress | None = None, **options: Unpack[ValidateOptions]
    ) -> Validation:
        """Say what `predict` would look at in the video, and what that would cost."""
        return self._ask(operations.validate(Path(path), on_progress or _silent, options))

    def submit_job(
        self,
        path: _StrPath,
        *,
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Leave the video with the service; the same key and question give the same job, here and in other runs."""
        return self._ask(operations.submit_job(Path(path), idempotency_key, on_progress or _silent, options))

    def job(self, job_id: str) -> Job:
        """The job, with its result once it has one."""
        return self._ask(operations.job(job_id))

    def jobs(self, *, state: JobState | None = None, limit: int | None = None, after: str | None = None) -> JobList:
        """The jobs, latest first; `after` is the `next` of the page before."""
        return self._ask(operations.jobs(state, limit, after))

    def cancel_job(self, job_id: str) -> Job | None:
        """The cancelled job; None for one that had ended, which is removed."""
        return self._ask(operations.cancel_job(job_id))

    def job_events(self, job_id: str) -> Iterator[JobEvent | Job]:
        """Yield what becomes of the job, and last the job itself; broken connections are mended."""
        watch, retries = JobWatch(job_id), self._retries()
        while not watch.is_over:
            try:
                with self._http.stream("GET", watch.path, headers=watch.headers(), timeout=_EVENTS_TIMEOUT) as stream:
                    if not stream.is_success:
                        stream.read()
                        raise operations.refusal(stream)
                    for chunk in stream.iter_bytes():
                        for event in watch.feed(chunk):
                            retries.heard()
                            yield event
                watch.require_end()
            except (httpx.TransportError, ProblemError) as error:
                time.sleep(retries.wait_seconds(error, is_repeatable=True))

    def wait_for_job(self, job_id: str, on_event: Callable[[JobEvent], None] | None = None) -> Job:
        """The job once it is done, failed or cancelled."""
        for event in self.job_events(job_id):
            if isinstance(event, Job):
                return event
            if on_event is not None:
                on_event(event)
        raise AssertionError("the last event is the job")

    def models(self) -> ModelList:
        """Every model that may be asked."""
        return self._ask(operations.models())

    def health(self) -> Health:
        """The service's state, ready or not."""
        return self._ask(operations.health())

    def _ask(self, question: Question[_Answer]) -> _Answer:
        retries = self._retries()
        while True:
            content = None if question.form is None else question.form.chunks()
            try:
                response = self._http.request(
                    question.method,
                    question.path,
                    params=question.params,
                    headers=question.headers,
                    content=content,
                )
                return question.read(response)
            except (httpx.TransportError, ProblemError) as error:
                time.sleep(retries.wait_seconds(error, is_repeatable=question.may_be_repeated_after(error)))


class AsyncClient(_Settings):
    """`Client` for asyncio: the same methods, awaited; any number of them at once.

    `on_progress` is called on another thread.
    """

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def predict(
        self, path: _StrPath, *, on_progress: OnProgress | None = None, **options: Unpack[PredictOptions]
    ) -> Prediction:
        """As `Client.predict`."""
        return await self._ask(operations.predict(Path(path), on_progress or _silent, options))

    async def validate(
        self, path: _StrPath, *, on_progress: OnProgress | None = None, **options: Unpack[ValidateOptions]
    ) -> Validation:
        """As `Client.validate`."""
        return await self._ask(operations.validate(Path(path), on_progress or _silent, options))

    async def submit_job(
        self,
        path: _StrPath,
        *,
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """As `Client.submit_job`."""
        return await self._ask(operations.submit_job(Path(path), idempotency_key, on_progress or _silent, options))

    async def job(self, job_id: str) -> Job:
        """As `Client.job`."""
        return await self._ask(operations.job(job_id))

    async def jobs(
        self, *, state: JobState | None = None, limit: int | None = None, after: str | None = None
    ) -> JobList:
        """As `Client.jobs`."""
        return await self._ask(operations.jobs(state, limit, after))

    async def cancel_job(self, job_id: str) -> Job | None:
        """As `Client.cancel_job`."""
        return await self._ask(operations.cancel_job(job_id))

    async def job_events(self, job_id: str) -> AsyncIterator[JobEvent | Job]:
        """As `Client.job_events`."""
        watch, retries = JobWatch(job_id), self._retries()
        while not watch.is_over:
            try:
                async with self._http.stream(
                    "GET", watch.path, headers=watch.headers(), timeout=_EVENTS_TIMEOUT
                ) as stream:
                    if not stream.is_success:
                        await stream.aread()
                        raise operations.refusal(stream)
                    async for chunk in stream.aiter_bytes():
                        for event in watch.feed(chunk):
                            retries.heard()
                            yield event
                watch.require_end()
            except (httpx.TransportError, ProblemError) as error:
                await asyncio.sleep(retries.wait_seconds(error, is_repeatable=True))

    async def wait_for_job(self, job_id: str, on_event: Callable[[JobEvent], None] | None = None) -> Job:
        """As `Client.wait_for_job`."""
        async for event in self.job_events(job_id):
            if isinstance(event, Job):
                return event
            if on_event is not None:
                on_event(event)
        raise AssertionError("the last event is the job")

    async def models(self) -> ModelList:
        """As `Client.models`."""
        return await self._ask(operations.models())

    async def health(self) -> Health:
        """As `Client.health`."""
        return await self._ask(operations.health())

    async def _ask(self, question: Question[_Answer]) -> _Answer:
        retries = self._retries()
        while True:
            content = None if question.form is None else question.form.chunks_async()
            try:
                response = await self._http.request(
                    question.method,
                    question.path,
                    params=question.params,
                    headers=question.headers,
                    content=content,
                )
                return question.read(response)
            except (httpx.TransportError, ProblemError) as error:
                await asyncio.sleep(retries.wait_seconds(error, is_repeatable=question.may_be_repeated_after(error)))


def _silent(_num_sent: int, _num_bytes: int) -> None:
    pass
