"""Submits jobs, follows them, and checks their results."""

import json
import random
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from tests.support.traffic.contract import outcome
from tests.support.traffic.footage import Footage
from tests.support.traffic.golden import QUERIES, Golden
from tests.support.traffic.job_book import AcceptedJob, JobBook
from tests.support.traffic.sender import BROKEN, Sender

ENDED = ("done", "failed", "cancelled")
NOT_ACCEPTED = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
        HTTPStatus.INSUFFICIENT_STORAGE,
    }
)
"""Refusals after which a client submits the same job again."""
_JOB = "GET /jobs/{job_id}"
_EVENTS = "GET /jobs/{job_id}/events"
_DELETE = "DELETE /jobs/{job_id}"
_POLL_SECONDS = 0.2
# Chosen at random after the acceptance of a job. A job that is left is checked at the end of the run.
_LEAVE, _POLL, _LISTEN, _REMOVE, _CANCEL = "leave", "poll", "listen", "remove", "cancel"


@dataclass
class Submission:
    """A job to submit, until it is accepted: its idempotency key makes a second submission harmless."""

    idempotency_key: str
    video: str
    query: int
    has_callback: bool


@dataclass
class JobCaller:
    """Submits one job with each call, or the previous one again if it was refused."""

    sender: Sender
    footage: Footage
    golden: Golden
    book: JobBook
    callback_url: str
    rng: random.Random
    pause_seconds: float
    wait_seconds: float
    """Longest time until a job has ended."""
    is_removal_allowed: bool = True
    may_streams_break_off: bool = False
    """Whether a stream of events may end before its job, as when the database fails."""
    callback_fraction: float = 0.5
    """Fraction of the jobs with a callback."""
    num_submitted: int = field(default=0, init=False)
    pending: Submission | None = field(default=None, init=False)

    def call(self) -> None:
        """Submit a job; once it is accepted, follow it, leave it, or remove it."""
        job = self.submit()
        if job is None:
            return
        removals = (_REMOVE, _CANCEL) if self.is_removal_allowed else ()
        match self.rng.choice((_LEAVE, _LEAVE, _POLL, _LISTEN, *removals)):
            case "poll":
                self._poll(job)
            case "listen":
                self._listen(job)
            case "remove":
                self._poll(job)
                self._delete(job)
            case "cancel":
                job.is_cancelled = True
                self._delete(job)

    def submit(self) -> AcceptedJob | None:
        """The job once it is accepted; None if it was refused, then the next call submits it again."""
        submission = self.pending or self._next_submission()
        self.pending = submission
        query = dict(QUERIES[submission.query])
        if submission.has_callback:
            query["callback_url"] = self.callback_url
        response = self.sender.send(
            "POST /jobs",
            params=query,
            files={"video": (submission.video, self.footage.good[submission.video])},
            headers={"Idempotency-Key": submission.idempotency_key},
        )
        if response is None or response.status_code in NOT_ACCEPTED:
            return None
        if response.is_error:
            self._violate(f"a job was refused with {outcome(response)}", response.text)
            return None
        self.pending = None
        job = AcceptedJob(
            response.json()["id"],
            submission.idempotency_key,
            submission.video,
            submission.query,
            submission.has_callback,
        )
        if self.book.accept(job) is not job:
            self._violate("an id was given to two submissions", job.id)
        return job

    def _next_submission(self) -> Submission:
        self.num_submitted += 1
        return Submission(
            idempotency_key=f"{self.sender.caller}-{self.num_submitted}",
            video=self.rng.choice(tuple(self.footage.good)),
            query=self.rng.randrange(len(QUERIES)),
            has_callback=self.rng.random() < self.callback_fraction,
        )

    def _poll(self, job: AcceptedJob) -> None:
        fault = wait_for_end(self.sender, job, self.golden, self.wait_seconds)
        if fault is not None:
            self._violate(*fault)

    def _listen(self, job: AcceptedJob) -> None:
        """Listen to the events until the last one, or until the service ends the stream."""
        started_at = time.monotonic()
        try:
            with self.sender.client.stream(
                "GET", f"/jobs/{job.id}/events", timeout=self.sender.deadline_seconds
            ) as stream:
                if stream.status_code != HTTPStatus.OK:
                    stream.read()
                    self.sender.check(_EVENTS, stream, time.monotonic() - started_at)
                    return
                names = [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]
        except httpx.TransportError as error:
            self.sender.ledger.record(self.sender.caller, BROKEN)
            if not self.sender.has_ended(started_at):
                self._violate("the events of a job broke off", repr(error))
            return
        self.sender.ledger.record(self.sender.caller, "events")
        if names[-1:] == ["done"]:
            self._poll(job)
        elif not self.may_streams_break_off:
            self._violate("the events of a job ended without its end", f"{job.id}: {names}")

    def _delete(self, job: AcceptedJob) -> None:
        response = self.sender.send(_DELETE, url=f"/jobs/{job.id}")
        if response is not None and response.status_code == HTTPStatus.NO_CONTENT:
            job.is_removed = True

    def _violate(self, fact: str, detail: str) -> None:
        self.sender.ledger.violate(self.sender.caller, fact, detail)


def wait_for_end(sender: Sender, job: AcceptedJob, golden: Golden, wait_seconds: float) -> tuple[str, str] | None:
    """Poll a job until it has ended; returns what is wrong with it and the detail, if anything."""
    ends_at = time.monotonic() + wait_seconds
    state = "unknown"
    while time.monotonic() < ends_at:
        response = sender.send(_JOB, url=f"/jobs/{job.id}")
        if response is not None and response.status_code == HTTPStatus.NOT_FOUND:
            return None if job.is_removed else ("a job is lost", job.id)
        if response is not None and response.status_code == HTTPStatus.OK:
            answer = response.json()
            state = answer["state"]
            if state in ENDED:
                return _fault_of_ended(job, answer, golden)
        threading.Event().wait(_POLL_SECONDS)
    return f"a job has not ended after {wait_seconds:.0f} s", f"{job.id} is {state}"


def _fault_of_ended(job: AcceptedJob, answer: dict[str, Any], golden: Golden) -> tuple[str, str] | None:
    if answer["state"] == "cancelled" and job.is_cancelled:
        return None
    if answer["state"] != "done":
        return f"a job is {answer['state']}", f"{job.id} after attempt {answer['attempt']}: {answer['problem']}"
    result = json.dumps(answer["result"], sort_keys=True)
    if job.result not in (None, result):
        return "a job ended twice", f"{job.id}: {job.result} and {result}"
    job.result = result
    difference = golden.difference(job.video, job.query, answer["result"])
    return None if difference is None else ("a wrong result of a job", difference)
