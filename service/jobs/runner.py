"""Runs jobs: claims them, has them classified, and writes down what came of it.

Everything that is shared with other processes happens in one place, the beat: it comes at intervals,
because other processes cannot call, and at once whenever this process has done something.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from framewise.schemas.problem import Problem
from service.jobs.database import Database
from service.jobs.errors import DatabaseUnavailable, JobAbandoned
from service.jobs.leases import Claim, Outcome, claim, fail_abandoned, finish, give_back, renew, report_progress
from service.jobs.listeners import Listeners
from service.jobs.queries import Census, census, remove_expired, unfinished, versions
from service.jobs.settings import JobSettings
from service.jobs.uploads import JobUploads
from service.jobs.webhooks import Webhooks
from service.prediction.classifier import Classifier
from service.prediction.pipeline import ClipProgress
from service.telemetry.metrics import Metrics
from service.telemetry.spans import SpanRecorder
from service.uploads.receive import ReceivedVideo

if TYPE_CHECKING:
    from service.telemetry.tracing import ActiveSpan, Tracing

_log = logging.getLogger(__name__)

Explain = Callable[[Exception, str], Problem]
"""Returns the problem that a request with this id would get for an error."""


class ExplainAndLog(Protocol):
    """As Explain; also logs the error, with more fields, if the service is at fault."""

    def __call__(self, error: Exception, request_id: str, **log_fields: str) -> Problem:
        """Return the problem of `error`."""
        ...


# A request would be told to come back; a job comes back by itself.
_COME_BACK = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_COME_BACK_SECONDS = 5.0
_TIDY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Held:
    """A claimed job, the task that works on it, and what is told of the attempt: its stages, and its span if traced."""

    claim: Claim
    work: asyncio.Task[Outcome | None]
    recorder: SpanRecorder
    span: "ActiveSpan | None"


class Runner:
    """Claims no more jobs than it has workers, and gives back what it cannot finish."""

    def __init__(
        self,
        *,
        database: Database,
        uploads: JobUploads,
        listeners: Listeners,
        webhooks: Webhooks,
        classifier: Classifier,
        metrics: Metrics,
        explain: Explain,
        explain_and_log: ExplainAndLog,
        settings: JobSettings,
        max_upload_seconds: float,
        tracing: "Tracing | None",
    ) -> None:
        self._database = database
        self._uploads = uploads
        self._listeners = listeners
        self._webhooks = webhooks
        self._classifier = classifier
        self._metrics = metrics
        self._explain = explain
        self._explain_and_log = explain_and_log
        self._tracing = tracing
        self._settings = settings
        self._max_upload_seconds = max_upload_seconds
        self._held: dict[str, _Held] = {}
        self._seen: dict[str, object] = {}
        self._tidied_at = -_TIDY_SECONDS
        self._is_ending = False
        self._nudged = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None
        self.census = Census({}, 0, 0, has_due_callback=False)

    def start(self, failed: Callable[[], None]) -> None:
        """Begin to claim jobs; `failed` is called should that end by an error that nobody expected."""

        def ended(beating: asyncio.Task[None]) -> None:
            if not beating.cancelled() and (error := beating.exception()) is not None:
                _log.error("no job is run any more", exc_info=error)
                failed()

        self._beating = asyncio.create_task(self._beat_on())
        self._beating.add_done_callback(ended)

    def nudge(self) -> None:
        """Look at once: there is something to do."""
        self._nudged.set()

    def drain(self) -> None:
        """Claim nothing more, and give back what is held."""
        self._is_ending = True
        self.nudge()

    async def close(self) -> None:
        """Drain, and wait until nothing is held."""
        self.drain()
        if self._beating is not None:
            await asyncio.wait({self._beating})

    async def drop(self, job_id: str) -> None:
        """End the work on a job that is not to be run any more; its child and queue places are free then."""
        held = self._held.get(job_id)
        if held is not None:
            held.work.cancel()
            await asyncio.wait({held.work})
        self.nudge()

    async def _beat_on(self) -> None:
        while not self._is_ending:
            self._nudged.clear()
            try:
                await self._beat()
            except DatabaseUnavailable:
                # Said in the log already. Leases end, and whoever reaches the database goes on.
                pass
            except OSError:
                # The jobs' directory does not answer, or no descriptor is left: the next beat tries again.
                _log.exception("jobs could not be looked after")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.job_beat_seconds):
                    await self._nudged.wait()
        for held in self._held.values():
            held.work.cancel()
        if self._held:
            await asyncio.wait({held.work for held in self._held.values()})
        with contextlib.suppress(DatabaseUnavailable):
            await self._settle()

    async def _beat(self) -> None:
        await self._settle()
        await self._renew()
        self.census = await self._database.read(census)
        is_other_running = self.census.num_by_state.get("running", 0) > len(self._held)
        if is_other_running:
            await self._fail_abandoned()
        if is_other_running or self.census.num_by_state.get("queued"):
            await self._claim()
        if self.census.has_due_callback:
            await self._webhooks.deliver_due()
        await self._wake_listeners()
        if time.monotonic() > self._tidied_at + _TIDY_SECONDS:
            self._tidied_at = time.monotonic()
            await self._tidy()

    async def _claim(self) -> None:
        while len(self._held) < self._settings.job_workers and not self._is_ending:
            claimed = await self._database.write(
                lambda connection: claim(connection, self._settings.job_lease_seconds, self._settings.job_max_attempts)
            )
            if claimed is None:
                return
            span = None if self._tracing is None else self._tracing.start_attempt_span(claimed.traceparent)
            recorder = SpanRecorder(traceparent=claimed.traceparent if span is None else span.traceparent)
            work = asyncio.create_task(self._work(claimed, recorder))
            self._held[claimed.job_id] = _Held(claimed, work, recorder, span)
            work.add_done_callback(lambda _: self.nudge())
            self._listeners.wake(claimed.job_id)

    async def _work(self, held: Claim, recorder: SpanRecorder) -> Outcome | None:
        """How the job ended; None where it is to be tried again later."""
        with recorder.recording():
            return await self._classify(held)

    async def _classify(self, held: Claim) -> Outcome | None:
        changed = asyncio.Event()
        progress = ClipProgress(changed.set)
        telling = asyncio.create_task(self._tell(held, progress, changed))
        try:
            prediction = await self._classifier.predict_later(
                ReceivedVideo(self._uploads.path(held.job_id), held.num_upload_bytes, held.upload_sha256),
                held.query,
                held.request_id,
                deadline_seconds=self._settings.job_deadline_seconds,
                max_duration_seconds=self._settings.job_max_duration_seconds,
                progress=progress,
            )
        except Exception as error:  # noqa: BLE001 - as for a request: whatever it is, it is told as a problem
            problem = self._explain_and_log(error, held.request_id, job_id=held.job_id)
            return None if problem.status in _COME_BACK else Outcome(problem=problem.model_dump_json())
        finally:
            telling.cancel()
            await asyncio.wait({telling})
        return Outcome(result=prediction.model_dump_json(), num_clips=len(prediction.clips))

    async def _tell(self, held: Claim, progress: ClipProgress, changed: asyncio.Event) -> None:
        """Write down how far the job is: what comes while that is being written is written together, next."""
        while True:
            await changed.wait()
            changed.clear()
            num_clips, num_done = progress.num_clips, progress.num_clips_done
            try:
                await self._database.write(
                    lambda connection: report_progress(connection, held, num_clips, num_done)  # noqa: B023 - awaited
                )
            except DatabaseUnavailable:
                continue
            self._listeners.wake(held.job_id)

    async def _settle(self) -> None:
        """Write down how the jobs ended whose work has; what cannot be written is tried at the next beat."""
        for held in [held for held in self._held.values() if held.work.done()]:
            problem = None
            # Broken off by a shutdown it is anybody's again; by its owner or a lost lease, it is not ours to give.
            if held.work.cancelled():
                is_mine = await self._give_back(held.claim, 0)
                label = "given_back"
            elif (outcome := held.work.result()) is None:
                is_mine = await self._give_back(held.claim, _COME_BACK_SECONDS)
                label = "given_back"
            else:
                is_mine = await self._finish(held.claim, outcome)
                label = "failed" if outcome.result is None else "done"
                problem = None if outcome.problem is None else Problem.model_validate_json(outcome.problem)
            self._forget(held, label if is_mine else "dropped", problem)

    async def _give_back(self, held: Claim, after_seconds: float) -> bool:
        return await self._database.write(lambda connection: give_back(connection, held, after_seconds))

    async def _finish(self, held: Claim, outcome: Outcome) -> bool:
        is_mine = await self._database.write(
            lambda connection: finish(
                connection, held.job_id, held.fence, outcome, self._settings.job_retention_seconds
            )
        )
        if is_mine:
            self._uploads.remove(held.job_id)
        return is_mine

    def _forget(self, held: _Held, outcome: str, problem: Problem | None) -> None:
        del self._held[held.claim.job_id]
        self._listeners.wake(held.claim.job_id)
        self._metrics.count_attempt(outcome)
        told: dict[str, str | int] = {
            "job_id": held.claim.job_id,
            "request_id": held.claim.request_id,
            "attempt": held.claim.attempt,
            "outcome": outcome,
            **({} if problem is None else {"code": problem.code}),
        }
        if held.span is not None:
            is_failure = problem is not None and problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            held.span.end("job", told, held.recorder, is_failure=is_failure)
        _log.info("job attempt ended", extra={**told, "timings_ms": held.recorder.timings_ms})

    async def _renew(self) -> None:
        claims = [held.claim for held in self._held.values()]
        if not claims:
            return
        holding = await self._database.write(
            lambda connection: renew(connection, claims, self._settings.job_lease_seconds)
        )
        for lost in [held for held in self._held.values() if held.claim.job_id not in holding]:
            lost.work.cancel()

    async def _fail_abandoned(self) -> None:
        def problem_of(request_id: str) -> str:
            error = JobAbandoned("Each process that ran this job ended before the job did.")
            return self._explain(error, request_id).model_dump_json()

        failed = await self._database.write(
            lambda connection: fail_abandoned(
                connection, self._settings.job_max_attempts, problem_of, self._settings.job_retention_seconds
            )
        )
        for job_id in failed:
            self._uploads.remove(job_id)
            self._listeners.wake(job_id)
            self._metrics.count_attempt("abandoned")
            _log.error("job abandoned", extra={"job_id": job_id})

    async def _wake_listeners(self) -> None:
        """Wake those whose jobs another process has changed."""
        listened = self._listeners.job_ids
        if not listened:
            self._seen = {}
            return
        found = await self._database.read(lambda connection: versions(connection, listened))
        for job_id in listened:
            if found.get(job_id) != self._seen.get(job_id):
                self._listeners.wake(job_id)
        self._seen = found

    async def _tidy(self) -> None:
        """Remove the jobs whose time is over, and uploads that crashes left without an unfinished job."""
        await self._database.write(remove_expired)
        # Twice as old as an upload can get before its job is in the database.
        old = await asyncio.to_thread(self._uploads.older_than, 2 * self._max_upload_seconds)
        if old:
            needed = await self._database.read(lambda connection: unfinished(connection, old))
            for job_id in set(old) - needed:
                self._uploads.remove(job_id)
