"""Runs the planned events under traffic, and reports each with the time until the service was ready again."""

import random
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from tests.chaos import causes_of_clock, causes_of_database, causes_of_disk, causes_of_service, causes_of_workers
from tests.chaos.plan import PlannedEvent, plan_events
from tests.chaos.readiness import Readiness
from tests.chaos.site import Cause, Site
from tests.support.traffic.connections import LeavingCaller, SlowCaller
from tests.support.traffic.contract import Contract
from tests.support.traffic.crew import Caller, calling
from tests.support.traffic.footage import Footage
from tests.support.traffic.golden import Golden, predict_golden
from tests.support.traffic.job_audit import JobAudit
from tests.support.traffic.job_book import JobBook
from tests.support.traffic.jobs import JobCaller
from tests.support.traffic.ledger import Ledger, percentiles
from tests.support.traffic.predictions import GoodCaller, HostileCaller, ReadingCaller
from tests.support.traffic.sender import Sender
from tests.support.webhook_receiver import Receiver

KEYS = ("good", "hostile", "slow", "leaving", "reading", "jobs", "probe")
CAUSES: dict[str, Cause] = {
    cause.name: cause
    for module in (causes_of_workers, causes_of_service, causes_of_database, causes_of_disk, causes_of_clock)
    for cause in module.CAUSES
}
DEADLINE_SECONDS = 20.0
"""The service's own deadline."""
_CALLER_DEADLINE_SECONDS = 45.0
"""From the first request of a caller to its answer: the service's deadline, and an upload, a freeze and a start."""
_GIVE_UP_SECONDS = 90.0
"""Longest time for a job to end, and for its callback, after the last event."""
_MAX_READY_SECONDS = 60.0
# A killed worker cannot tell whether the video killed it.
_OF_KILLED_WORKERS = frozenset({"422 unreadable_video"})


@dataclass(frozen=True)
class EventRecord:
    """One event as it happened; times are in seconds."""

    number: int
    cause: str
    choice: float
    at_seconds: float
    lasted_seconds: float
    ready_after_seconds: float
    """From the end of the cause until health, a prediction and a job were right again."""
    max_ready_after_seconds: float
    num_restarts: int
    """Processes that were started from the beginning of the event until the service was ready."""


@dataclass
class Chaos:
    """One run: what to act on, who calls, and what happened."""

    site: Site
    tokens: Mapping[str, str]
    footage: Footage
    receiver: Receiver
    seed: int
    ready_seconds: float = 5.0
    """Longest time from the end of a cause to a service that is ready again.

    If the event ended the process, the longest of the orderly restarts that were measured under the same traffic,
    before the events, is allowed besides: it is the time to start a process and to load and check its models.
    """
    num_measured_restarts: int = 3
    ledger: Ledger = field(default_factory=Ledger, init=False)
    records: list[EventRecord] = field(default_factory=list, init=False)

    def run(self, causes: Sequence[str], num_events: int) -> dict[str, Any]:
        """The report; the run is clean if its `num_violations` is 0."""
        missing = {name: CAUSES[name].missing(self.site) for name in causes}
        skipped = {name: reason for name, reason in missing.items() if reason is not None}
        events = plan_events([name for name in causes if name not in skipped], num_events, self.seed)
        self._wait_until_ready()
        senders = self._senders()
        golden = predict_golden(senders["good"], self.footage)
        jobs, probing = (self._job_caller(senders[name], golden) for name in ("jobs", "probe"))
        readiness = Readiness(senders["probe"].client, self.footage.good["ramp.mp4"], probing)
        with calling([jobs, *self._callers(senders, golden)], self.ledger):
            is_restarted = any(CAUSES[event.cause].ends_process for event in events)
            num_measured = self.num_measured_restarts if is_restarted else 0
            restarts = [self._restart_seconds(readiness) for _ in range(num_measured)]
            for number, event in enumerate(events, 1):
                self.records.append(self._record(number, event, readiness, max(restarts, default=0)))
        audited = {
            caller.sender.caller: JobAudit(
                caller.sender, caller.book, [caller], golden, self.receiver, _GIVE_UP_SECONDS
            ).run()
            for caller in (jobs, probing)
        }
        self._require_orderly_ends()
        for sender in senders.values():
            sender.client.close()
        return {
            "seed": self.seed,
            "database": "sqlite" if self.site.postgres is None else "postgresql",
            "num_events": len(events),
            "skipped_causes": skipped,
            "ready_seconds": self.ready_seconds,
            "orderly_restart_seconds": restarts,
            "ready_after_seconds": self._ready_after_seconds(),
            "jobs": audited,
            "events": [asdict(record) for record in self.records],
            **self.ledger.report(),
        }

    def _record(self, number: int, event: PlannedEvent, readiness: Readiness, restart_seconds: float) -> EventRecord:
        threading.Event().wait(event.pause_seconds)
        num_before, at_seconds = len(self.site.service.processes), self.ledger.elapsed_seconds
        with CAUSES[event.cause].begun(self.site, event):
            pass
        lasted_seconds = self.ledger.elapsed_seconds - at_seconds
        ready_after_seconds, missing = readiness.wait(_MAX_READY_SECONDS)
        num_restarts = len(self.site.service.processes) - num_before
        limit_seconds = self.ready_seconds + (restart_seconds if num_restarts else 0)
        if missing is not None or ready_after_seconds > limit_seconds:
            fact = f"{event.cause}: {'ready too late' if missing is None else 'not ready again'}"
            detail = f"event {number}, after {ready_after_seconds:.1f} s (limit {limit_seconds:.1f} s): {missing}"
            self.ledger.violate("probe", fact, detail)
        if missing is not None:
            # The next events would only show the same fault again.
            self._restart_seconds(readiness)
        return EventRecord(
            number=number,
            cause=event.cause,
            choice=event.choice,
            at_seconds=round(at_seconds, 2),
            lasted_seconds=round(lasted_seconds, 2),
            ready_after_seconds=round(ready_after_seconds, 2),
            max_ready_after_seconds=round(limit_seconds, 2),
            num_restarts=num_restarts,
        )

    def _restart_seconds(self, readiness: Readiness) -> float:
        """From the end of the old process to a new one that is ready, without any other fault."""
        self.site.service.end(signal.SIGTERM)
        seconds, missing = readiness.wait(_MAX_READY_SECONDS)
        if missing is not None:
            self.ledger.violate("probe", "not ready after an orderly restart", f"after {seconds:.1f} s: {missing}")
        return round(seconds, 2)

    def _wait_until_ready(self) -> None:
        ends_at = time.monotonic() + _MAX_READY_SECONDS
        with httpx.Client(base_url=self.site.service.url) as client:
            while client.get("/health").json()["state"] != "ready":
                if time.monotonic() > ends_at:
                    raise TimeoutError(self.site.service.log_path.read_text()[-10_000:])
                threading.Event().wait(0.1)

    def _senders(self) -> dict[str, Sender]:
        service = self.site.service
        contract = Contract.of(httpx.get(f"{service.url}/openapi.json").json())
        return {
            name: Sender(name, service.url, token, contract, self.ledger, _CALLER_DEADLINE_SECONDS, service.has_ended)
            for name, token in self.tokens.items()
        }

    def _job_caller(self, sender: Sender, golden: Golden) -> JobCaller:
        return JobCaller(
            sender=sender,
            footage=self.footage,
            golden=golden,
            book=JobBook(),
            callback_url=self.receiver.url,
            rng=self._rng(sender.caller),
            pause_seconds=0.2,
            wait_seconds=_GIVE_UP_SECONDS,
            # After a restart a client cannot know whether its DELETE was carried out.
            is_removal_allowed=False,
            may_streams_break_off=True,
            # Deliveries to one receiver can only be audited for one key.
            callback_fraction=0.5 if sender.caller == "jobs" else 0,
        )

    def _callers(self, senders: Mapping[str, Sender], golden: Golden) -> list[Caller]:
        good = [
            GoodCaller(senders["good"], self.footage, golden, self._rng(f"good {i}"), 0.1, allowed=_OF_KILLED_WORKERS)
            for i in range(2)
        ]
        return [
            *good,
            HostileCaller(senders["hostile"], self.footage.hostile(self.seed), self._rng("hostile"), 0.5),
            SlowCaller(senders["slow"], self.footage.good["ramp.mp4"], self._rng("slow"), 0.5),
            LeavingCaller(senders["leaving"], self.footage.good["moving.mp4"], self._rng("leaving"), 0.5),
            ReadingCaller(senders["reading"], self._rng("reading"), 0.5),
        ]

    def _ready_after_seconds(self) -> dict[str, dict[str, float]]:
        """Percentiles by cause."""
        names = sorted({record.cause for record in self.records})
        return {
            name: percentiles([record.ready_after_seconds for record in self.records if record.cause == name])
            for name in names
        }

    def _require_orderly_ends(self) -> None:
        if statuses := self.site.service.unrequested_ends:
            self.ledger.violate("service", f"processes ended by themselves with statuses {statuses}")
        if status := self.site.service.close():
            self.ledger.violate("service", f"the last process ended with status {status}")

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}/{name}")  # noqa: S311 - the seed makes a run reproducible
