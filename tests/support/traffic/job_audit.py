"""The audit of all jobs after the traffic: none is lost, none is doubled, every callback came."""

import json
import queue
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tests.support.traffic.golden import Golden
from tests.support.traffic.job_book import AcceptedJob, JobBook
from tests.support.traffic.jobs import JobCaller, wait_for_end
from tests.support.traffic.sender import Sender
from tests.support.webhook_receiver import Receiver

_PAGE = 200

Deliveries = dict[str, list[tuple[str, dict[str, Any]]]]
"""By job id: the header `X-Framewise-Delivery` and the body of each delivery."""


@dataclass
class JobAudit:
    """The audit of the jobs of one API key."""

    sender: Sender
    book: JobBook
    callers: Sequence[JobCaller]
    golden: Golden
    receiver: Receiver
    wait_seconds: float
    """Longest time for each job to end, and for its callback."""
    deliveries: Deliveries = field(default_factory=lambda: defaultdict(list), init=False)

    def run(self) -> dict[str, int]:
        """Wait until all jobs have ended, record every violation, and return the counts."""
        num_unresolved = self._resolve_pending()
        for job in self.book.all():
            self._report(wait_for_end(self.sender, job, self.golden, self.wait_seconds))
        self._compare_with_list()
        for job in self.book.all():
            if job.has_callback and not job.is_removed and not job.is_cancelled:
                self._report(self._fault_of_callback(job))
        while self._receive(wait_seconds=0):
            pass
        jobs = self.book.all()
        return {
            "num_accepted": len(jobs),
            "num_unresolved": num_unresolved,
            "num_removed": sum(job.is_removed for job in jobs),
            "num_cancelled": sum(job.is_cancelled for job in jobs),
            "num_with_callback": sum(job.has_callback for job in jobs),
            "num_deliveries": sum(len(made) for made in self.deliveries.values()),
            "num_repeated_deliveries": sum(len(made) - 1 for made in self.deliveries.values()),
        }

    def _resolve_pending(self) -> int:
        """Submit again what may have been accepted without an answer: the service gives the id of the accepted job."""
        ends_at = time.monotonic() + self.wait_seconds
        for caller in self.callers:
            while caller.pending is not None and time.monotonic() < ends_at:
                caller.submit()
        return sum(caller.pending is not None for caller in self.callers)

    def _compare_with_list(self) -> None:
        listed = self._listed_ids()
        if lost := {job.id for job in self.book.all() if not job.is_removed} - listed:
            self._report(("accepted jobs are not listed", f"{len(lost)}: {sorted(lost)[:5]}"))
        if extra := listed - set(self.book.jobs):
            self._report(("listed jobs have no submission", f"{len(extra)}: {sorted(extra)[:5]}"))

    def _listed_ids(self) -> set[str]:
        ids: set[str] = set()
        after: dict[str, str] = {}
        while True:
            response = self.sender.send("GET /jobs", params={"limit": _PAGE, **after})
            if response is None or response.status_code != HTTPStatus.OK:
                self._report(("the jobs cannot be listed", ""))
                return ids
            page = response.json()
            ids |= {job["id"] for job in page["jobs"]}
            if page["next"] is None:
                return ids
            after = {"after": page["next"]}

    def _fault_of_callback(self, job: AcceptedJob) -> tuple[str, str] | None:
        ends_at = time.monotonic() + self.wait_seconds
        while job.id not in self.deliveries:
            if not self._receive(wait_seconds=max(0.0, ends_at - time.monotonic())):
                return f"a callback was not called within {self.wait_seconds:.0f} s", job.id
        for delivery_id, answer in self.deliveries[job.id]:
            number = delivery_id.removeprefix(f"{job.id}-")
            if not number.isdecimal():
                return "a delivery has a wrong id", f"{delivery_id!r}, job {job.id}"
            if answer["state"] != "done" or json.dumps(answer["result"], sort_keys=True) != job.result:
                return "a delivery differs from its job", f"{answer}, expected {job.result}"
        return None

    def _receive(self, *, wait_seconds: float) -> bool:
        """Take one delivery from the receiver; false if none comes in time."""
        try:
            headers, body = self.receiver.received.get(timeout=wait_seconds)
        except queue.Empty:
            return False
        answer = json.loads(body)
        self.deliveries[answer["id"]].append((headers["x-framewise-delivery"], answer))
        return True

    def _report(self, fault: tuple[str, str] | None) -> None:
        if fault is not None:
            self.sender.ledger.violate(self.sender.caller, *fault)
