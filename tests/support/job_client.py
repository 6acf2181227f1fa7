"""A client of the jobs of a running service."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.running_service import RunningService


@dataclass
class SentEvent:
    """One server-sent event as received; a comment has no other field."""

    id: str = ""
    name: str = ""
    data: str = ""
    comment: str = ""


@dataclass
class JobClient:
    """One client of a service, with its own API key if it has one."""

    service: RunningService
    token: str | None = None
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def post(self, path: Path, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        """POST the file to /jobs."""
        with path.open("rb") as file:
            return self.service.client.post(
                "/jobs", files={"video": file}, params=query, headers=self.headers | (headers or {})
            )

    def submit(self, path: Path, headers: dict[str, str] | None = None, **query: Any) -> str:
        """The id of a new job for the file."""
        answer = self.post(path, headers, **query)
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["id"]
        assert answer.headers["location"] == f"/jobs/{job_id}"
        return job_id

    def get(self, path: str, **query: Any) -> httpx.Response:
        """GET a path below /jobs."""
        return self.service.client.get(f"/jobs{path}", params=query, headers=self.headers)

    def delete(self, job_id: str) -> httpx.Response:
        """DELETE the job."""
        return self.service.client.delete(f"/jobs/{job_id}", headers=self.headers)

    def metrics(self) -> str:
        """The text of /metrics."""
        return self.service.client.get("/metrics", headers=self.headers).raise_for_status().text

    def wait_for_metric(self, line: str) -> None:
        """Return when /metrics has that line."""
        while f"\n{line}\n" not in self.metrics():
            pass

    @contextmanager
    def events(self, job_id: str, last_seen: str | None = None) -> Iterator[Iterator[SentEvent]]:
        """Yield the job's events and comments."""
        headers = self.headers | ({} if last_seen is None else {"Last-Event-ID": last_seen})
        with self.service.client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as response:
            assert response.status_code == 200, response.read()
            assert response.headers["content-type"].startswith("text/event-stream")
            yield _parsed(response.iter_lines())

    def wait(self, job_id: str) -> dict[str, Any]:
        """The job, once it has ended."""
        with self.events(job_id) as events:
            assert [event for event in events if not event.comment][-1].name in ("done", "failed", "cancelled")
        job: dict[str, Any] = self.get(f"/{job_id}").raise_for_status().json()
        return job

    def wait_until_running(self, job_id: str) -> None:
        """Return when the job is running."""
        with self.events(job_id) as events:
            assert any(event.name == "running" for event in events)


def _parsed(lines: Iterator[str]) -> Iterator[SentEvent]:
    event = SentEvent()
    for line in lines:
        if not line:
            yield event
            event = SentEvent()
        elif line.startswith(":"):
            event.comment = line[1:].strip()
        else:
            name, value = line.split(": ", 1)
            setattr(event, {"event": "name"}.get(name, name), value)


def log_lines(service: RunningService) -> list[dict[str, Any]]:
    """The log records of the service; lines of TensorFlow are skipped."""
    return [json.loads(line) for line in service.log_path.read_text().splitlines() if line.startswith("{")]


_WORKER = "service.video.sandbox.worker"


@contextmanager
def decoders_standing_still(admin: JobClient, num_workers: int = 3) -> Iterator[set[int]]:
    """Suspend the decode workers for the length of the context, so that running jobs stay running; yields their ids."""
    # A worker that is stopped while it starts would never become ready.
    admin.wait_for_metric(f'framewise_decode_children{{state="idle"}} {num_workers}.0')
    workers: set[int] = set()
    # While a thread or one of its child processes ends, the list of the system may be incomplete.
    while len(workers) != num_workers:
        tasks = Path(f"/proc/{admin.service.process.pid}/task")
        children = {process for task in tasks.glob("*/children") for process in _text(task).split()}
        # Other processes of the service, and those that have just ended, have another command line or none.
        workers = {int(process) for process in children if _WORKER in _text(Path(f"/proc/{process}/cmdline"))}
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        yield workers
    finally:
        for worker in workers:
            try:
                os.kill(worker, signal.SIGCONT)
            except ProcessLookupError:
                # The worker was killed when its work was cancelled.
                continue


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        # The thread or process has just ended.
        return ""
