"""Stores how attempts ended, and fails jobs whose attempts are used up."""

import logging
from http import HTTPStatus

from framewise.schemas.problem import Problem
from service.jobs.attempts import Attempt, Explain, Retry
from service.jobs.errors import JobAbandoned
from service.jobs.leases import Claim, Outcome, fail_abandoned_jobs, finish_job, requeue_job
from service.jobs.listeners import Listeners
from service.jobs.persistence.database import Database
from service.jobs.settings import JobSettings
from service.jobs.uploads import JobUploads
from service.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

_REQUEUE_SECONDS = 5.0


class Completion:
    """Ends attempts in the database, in the metrics, in the log and in the trace."""

    def __init__(
        self,
        *,
        database: Database,
        uploads: JobUploads,
        listeners: Listeners,
        metrics: Metrics,
        explain: Explain,
        settings: JobSettings,
    ) -> None:
        self._database = database
        self._uploads = uploads
        self._listeners = listeners
        self._metrics = metrics
        self._explain = explain
        self._settings = settings

    async def settle(self, attempt: Attempt) -> None:
        """Store how an attempt whose task is done has ended. Raises DatabaseUnavailable; then it can be repeated."""
        problem = None
        if attempt.task.cancelled():
            # After a shutdown another process runs the job. After a cancellation or a lost lease this has no effect.
            is_claimed = await self._requeue(attempt.claim, 0)
            label = "given_back"
        elif (outcome := self._outcome(attempt)) is None:
            is_claimed = await self._requeue(attempt.claim, _REQUEUE_SECONDS)
            label = "given_back"
        elif isinstance(outcome, Retry):
            is_claimed = await self._requeue(attempt.claim, _REQUEUE_SECONDS, is_counted=True)
            label = "retried"
        else:
            is_claimed = await self._finish(attempt.claim, outcome)
            label = "failed" if outcome.result is None else "done"
            problem = None if outcome.problem is None else Problem.model_validate_json(outcome.problem)
        self._report(attempt, label if is_claimed else "dropped", problem)

    async def fail_abandoned(self) -> None:
        """Fail the jobs whose process died in the last permitted attempt. Raises DatabaseUnavailable."""

        def problem_of(request_id: str) -> str:
            error = JobAbandoned("Every process that ran this job died before the job ended.")
            return self._explain(error, request_id).model_dump_json()

        job_ids = await self._database.write(
            lambda connection: fail_abandoned_jobs(
                connection, self._settings.job_max_attempts, problem_of, self._settings.job_retention_seconds
            )
        )
        for job_id in job_ids:
            self._uploads.remove(job_id)
            self._listeners.signal(job_id)
            self._metrics.count_attempt("abandoned")
            _log.error("job abandoned", extra={"job_id": job_id})

    def _outcome(self, attempt: Attempt) -> Outcome | Retry | None:
        error = attempt.task.exception()
        if error is None:
            return attempt.task.result()
        _log.error("job attempt failed unexpectedly", exc_info=error, extra={"job_id": attempt.claim.job_id})
        problem = self._explain(Exception("unexpected"), attempt.claim.request_id)
        return Outcome(problem=problem.model_dump_json())

    async def _requeue(self, claim: Claim, after_seconds: float, *, is_counted: bool = False) -> bool:
        return await self._database.write(
            lambda connection: requeue_job(connection, claim, after_seconds, is_counted=is_counted)
        )

    async def _finish(self, claim: Claim, outcome: Outcome) -> bool:
        retention_seconds = self._settings.job_retention_seconds
        is_claimed = await self._database.write(
            lambda connection: finish_job(connection, claim.job_id, claim.fencing_token, outcome, retention_seconds)
        )
        if is_claimed:
            self._uploads.remove(claim.job_id)
        return is_claimed

    def _report(self, attempt: Attempt, outcome: str, problem: Problem | None) -> None:
        claim = attempt.claim
        self._listeners.signal(claim.job_id)
        self._metrics.count_attempt(outcome)
        attributes: dict[str, str | int] = {
            "job_id": claim.job_id,
            "request_id": claim.request_id,
            "attempt": claim.attempt,
            "outcome": outcome,
            **({} if problem is None else {"code": problem.code}),
        }
        if attempt.span is not None:
            is_failure = problem is not None and problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            attempt.span.end("job", attributes, attempt.recorder, is_failure=is_failure)
        _log.info("job attempt ended", extra={**attributes, "timings_ms": attempt.recorder.timings_ms})
