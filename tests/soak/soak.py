"""Runs mixed traffic against one service, and reports outcomes, resources and violations."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.resources import ResourceWatch, resources_report
from tests.support.file_server import FileServer, file_server
from tests.support.running_service import RunningService, running_service
from tests.support.traffic.connections import LeavingCaller, OversizedCaller, SlowCaller
from tests.support.traffic.contract import Contract
from tests.support.traffic.crew import Caller, calling
from tests.support.traffic.footage import Footage, make_footage
from tests.support.traffic.golden import Golden, predict_golden
from tests.support.traffic.job_audit import JobAudit
from tests.support.traffic.job_book import JobBook
from tests.support.traffic.jobs import JobCaller
from tests.support.traffic.keys import create_keys
from tests.support.traffic.ledger import Ledger
from tests.support.traffic.predictions import FloodingCaller, GoodCaller, HostileCaller, ReadingCaller
from tests.support.traffic.sender import Sender
from tests.support.webhook_receiver import Receiver, running_receiver

_MAX_UPLOAD_BYTES = 8 << 20
_DEADLINE_SECONDS = 60.0
# The deadline counts from the end of the upload, and slow callers upload for some seconds.
_CALLER_DEADLINE_SECONDS = _DEADLINE_SECONDS + 15
_NUM_UNLOADED = 20
_WELL_BEHAVED = "well-behaved"
_KEYS = (_WELL_BEHAVED, "good", "url", "hostile", "slow", "leaving", "oversized", "flooding", "jobs", "reading")
_SETTINGS: dict[str, Any] = {
    "decode_children": 3,
    "max_upload_bytes": _MAX_UPLOAD_BYTES,
    "deadline_seconds": _DEADLINE_SECONDS,
    # More positions than callers: otherwise they refuse each other, which is right, but hides a flood that does.
    "max_waiting_requests": 32,
    "upload_idle_timeout_seconds": 2,
    "answer_cache_bytes": 1 << 20,
    "job_beat_seconds": 0.2,
    "url_private_allowed": True,
    "webhook_private_addresses": True,
    "webhook_secret": "a secret of thirty-two characters",
}


@dataclass
class Soak:
    """One run: its place on disk, its length, and its traffic."""

    models_dir: Path
    directory: Path
    seconds: float
    seed: int
    database_url: str | None = None
    """Default: SQLite."""
    long_seconds: int = 60
    """Length of the video that the flooding key sends."""
    num_flooding: int = 3
    """Floods at the same time, all of one key."""
    job_wait_seconds: float = 120
    """Longest time from the acceptance of a job to its end, and from there to its callback."""
    ledger: Ledger = field(default_factory=Ledger, init=False)
    book: JobBook = field(default_factory=JobBook, init=False)

    def run(self) -> dict[str, Any]:
        """The report; the run is clean if its `num_violations` is 0."""
        footage = make_footage(self.directory / "videos", long_seconds=self.long_seconds)
        with running_receiver(204) as receiver, file_server() as files, self._service(receiver, files) as service:
            senders = self._senders(service)
            golden = predict_golden(senders["good"], footage)
            unloaded = self._unloaded_seconds(senders[_WELL_BEHAVED], footage, golden)
            directories = [self.directory / name for name in ("incoming", "jobs/uploads", "temporary")]
            watch = ResourceWatch(service.process.pid, directories)
            before = watch.sample()
            jobs = self._job_caller(senders["jobs"], footage, golden, receiver)
            with calling([jobs, *self._callers(senders, footage, golden, files)], self.ledger), watch.watching():
                threading.Event().wait(self.seconds)
            audited = JobAudit(senders["jobs"], self.book, [jobs], golden, receiver, self.job_wait_seconds).run()
            for sender in senders.values():
                sender.client.close()
            resources = resources_report(watch, before, watch.sample_at_rest(before), self.ledger.violate)
            self._require_clean_stop(service)
        return {
            "seconds": self.seconds,
            "seed": self.seed,
            "database": "postgresql" if self.database_url else "sqlite",
            "well_behaved_seconds": {"unloaded": unloaded, "loaded": self.ledger.durations()[_WELL_BEHAVED]},
            "jobs": audited,
            "resources": resources,
            **self.ledger.report(),
        }

    @contextmanager
    def _service(self, receiver: Receiver, files: FileServer) -> Iterator[RunningService]:
        for name in ("incoming", "temporary"):
            (self.directory / name).mkdir()
        self._tokens = create_keys(self.directory / "keys.json", _KEYS)
        settings = _SETTINGS | {
            "api_keys_file": self.directory / "keys.json",
            "jobs_dir": self.directory / "jobs",
            "url_allowed_hosts": files.host,
            "webhook_allowed_hosts": receiver.host,
        }
        if self.database_url is not None:
            settings["database_url"] = self.database_url
        with running_service(
            self.models_dir,
            self.directory / "incoming",
            variables={"TMPDIR": str(self.directory / "temporary")},
            **settings,
        ) as service:
            yield service

    def _senders(self, service: RunningService) -> dict[str, Sender]:
        contract = Contract.of(service.client.get("/openapi.json").json())
        return {
            name: Sender(name, service.url, token, contract, self.ledger, _CALLER_DEADLINE_SECONDS)
            for name, token in self._tokens.items()
        }

    def _unloaded_seconds(self, sender: Sender, footage: Footage, golden: Golden) -> dict[str, float]:
        """How long the well-behaved key waits while there is no other."""
        unloaded = Ledger()
        alone = Sender(sender.caller, sender.url, sender.token, sender.contract, unloaded, sender.deadline_seconds)
        caller = self._well_behaved(alone, footage, golden)
        for _ in range(_NUM_UNLOADED):
            caller.call()
        alone.client.close()
        for violation in unloaded.violations:
            self.ledger.violate(sender.caller, f"without load: {violation.fact}", violation.first_detail)
        return unloaded.durations()[sender.caller]

    def _well_behaved(self, sender: Sender, footage: Footage, golden: Golden) -> GoodCaller:
        rng = self._rng(sender.caller)
        return GoodCaller(
            sender, footage, golden, rng, 0.5, is_refusal_allowed=False, new_fraction=1, videos=("ramp.mp4",)
        )

    def _job_caller(self, sender: Sender, footage: Footage, golden: Golden, receiver: Receiver) -> JobCaller:
        rng = self._rng(sender.caller)
        return JobCaller(sender, footage, golden, self.book, receiver.url, rng, 0.3, self.job_wait_seconds)

    def _callers(self, senders: dict[str, Sender], footage: Footage, golden: Golden, files: FileServer) -> list[Caller]:
        urls = {name: files.put_file(f"/{name}", content) for name, content in footage.good.items()}
        good = [GoodCaller(senders["good"], footage, golden, self._rng(f"good {i}"), 0.2) for i in range(2)]
        flooding = [
            FloodingCaller(senders["flooding"], footage.long, self._rng(f"flooding {i}"), 0.05)
            for i in range(self.num_flooding)
        ]
        return [
            self._well_behaved(senders[_WELL_BEHAVED], footage, golden),
            *good,
            GoodCaller(senders["url"], footage, golden, self._rng("url"), 1, url_of=urls),
            HostileCaller(senders["hostile"], footage.hostile(self.seed), self._rng("hostile"), 0.2),
            SlowCaller(senders["slow"], footage.good["ramp.mp4"], self._rng("slow"), 0.5),
            LeavingCaller(senders["leaving"], footage.good["moving.mp4"], self._rng("leaving"), 0.3),
            OversizedCaller(senders["oversized"], _MAX_UPLOAD_BYTES + 1, self._rng("oversized"), 2),
            ReadingCaller(senders["reading"], self._rng("reading"), 1),
            *flooding,
        ]

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}/{name}")  # noqa: S311 - the seed makes a run reproducible

    def _require_clean_stop(self, service: RunningService) -> None:
        started_at = time.monotonic()
        status = service.stop()
        if status != 0:
            self.ledger.violate("service", f"the service ended with status {status}")
        self.ledger.record("service", f"stopped with status {status}", time.monotonic() - started_at)
