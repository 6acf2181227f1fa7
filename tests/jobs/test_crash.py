"""Crashes: a service is killed three times at random moments; every accepted job is done once."""

import concurrent.futures
import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.job_client import JobClient, log_lines
from tests.support.running_service import RunningService, running_service
from tests.support.videos import painted

# The fixture starts four services one after the other, which takes minutes on a busy machine.
pytestmark = [pytest.mark.tensorflow, pytest.mark.timeout(900)]

SEED = 20260101
NUM_KILLS = 3
NUM_JOBS_PER_KILL = 6
NAMES = [f"job {number}" for number in range(NUM_KILLS * NUM_JOBS_PER_KILL)]
# The lease is longer than a busy machine delays a live process; otherwise another process would run the job again.
SETTINGS: dict[str, Any] = {
    "job_lease_seconds": 2,
    "job_beat_seconds": 0.1,
    "job_max_attempts": 20,
    "decode_children": 2,
    "answer_cache_bytes": 0,
}


@dataclass
class History:
    """Observations before and after the kills. Jobs are identified by the idempotency keys in `NAMES`."""

    exit_statuses: list[int]
    lost_ids: list[str]
    """Accepted jobs that a restarted service did not know."""
    accepted: dict[str, str]
    """Ids of the jobs whose acceptance was received before a kill."""
    done_before: dict[str, dict[str, Any]]
    """Jobs that were done at the start of the last killed service, by id."""
    done_after: dict[str, dict[str, Any]]
    """The same jobs after the last restart."""
    resubmitted: dict[str, str]
    """Ids returned for all names after the last restart."""
    jobs: list[dict[str, Any]]
    """The ended jobs."""
    listed_ids: set[str]
    logged_ids: list[str]
    """The job ids of the log lines about ended attempts."""
    uploads_left: set[str]


@contextmanager
def killed_within(service: RunningService, seconds: float) -> Iterator[None]:
    """Kill the service after `seconds`, and wait for the kill."""
    timer = threading.Timer(seconds, service.process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def submit_until_killed(client: JobClient, path: Path, names: list[str]) -> dict[str, str]:
    """Job id by idempotency key of each submission that was accepted before the service was killed."""
    accepted = {}
    for name in names:
        try:
            response = client.post(path, {"Idempotency-Key": name}, frames="none")
        except httpx.TransportError:
            break
        assert response.status_code in (200, 202), response.text
        accepted[name] = response.json()["id"]
    return accepted


def run_until_killed(
    service: RunningService, video: Path, history: History, names: list[str], kill_after_seconds: float
) -> None:
    """Check the accepted jobs, submit those of `names` that are not accepted yet, and kill the service meanwhile."""
    client = JobClient(service)
    done = client.get("", state="done", limit=200).json()["jobs"]
    history.done_before = {job["id"]: job for job in done}
    history.lost_ids += [
        job_id for job_id in history.accepted.values() if client.get(f"/{job_id}").status_code != httpx.codes.OK
    ]
    with killed_within(service, kill_after_seconds):
        history.accepted |= submit_until_killed(client, video, names)
    history.exit_statuses.append(service.process.wait())


def run_to_the_end(service: RunningService, video: Path, history: History) -> None:
    """Submit all of `NAMES` again, wait until every job has ended, and stop the service."""
    client = JobClient(service)
    history.done_after = {job_id: client.get(f"/{job_id}").json() for job_id in history.done_before}
    history.resubmitted = submit_until_killed(client, video, NAMES)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        history.jobs = list(pool.map(client.wait, history.resubmitted.values()))
    history.listed_ids = {job["id"] for job in client.get("", limit=200).json()["jobs"]}
    history.exit_statuses.append(service.stop())
    history.logged_ids = [line["job_id"] for line in log_lines(service) if line["message"] == "job attempt ended"]


@pytest.fixture(scope="module")
def orphan() -> str:
    """The name of an upload whose service died before its job was stored."""
    return "0" * 32


@pytest.fixture(scope="module")
def history(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory, orphan: str) -> History:
    """The history of one jobs directory: three killed services and one that runs to the end."""
    directory = tmp_path_factory.mktemp("crash")
    (directory / "incoming").mkdir()
    jobs_dir = directory / "jobs"
    video = painted(directory / "ramp.mp4", [level % 256 for level in range(0, 1600, 4)])
    moments = random.Random(SEED)  # noqa: S311 - the seed makes a failure reproducible
    history = History([], [], {}, {}, {}, {}, [], set(), [], set())
    for number in range(1, NUM_KILLS + 1):
        with running_service(grey_models_dir, directory / "incoming", jobs_dir=jobs_dir, **SETTINGS) as service:
            # Names that were not accepted before are submitted again, as a client would do.
            names = [name for name in NAMES[: number * NUM_JOBS_PER_KILL] if name not in history.accepted]
            run_until_killed(service, video, history, names, moments.uniform(0.05, 1.5))
    (jobs_dir / "uploads" / orphan).touch()
    os.utime(jobs_dir / "uploads" / orphan, (0, 0))
    with running_service(grey_models_dir, directory / "incoming", jobs_dir=jobs_dir, **SETTINGS) as service:
        run_to_the_end(service, video, history)
    history.uploads_left = {path.name for path in (jobs_dir / "uploads").iterdir()}
    return history


def test_the_services_were_killed_and_the_last_one_stopped_cleanly(history: History) -> None:
    assert history.exit_statuses == [-signal.SIGKILL] * NUM_KILLS + [0]


def test_no_accepted_job_is_lost(history: History) -> None:
    assert history.lost_ids == []


def test_a_done_job_is_not_run_again(history: History) -> None:
    for job_id, job in history.done_before.items():
        assert history.done_after[job_id]["finished_at"] == job["finished_at"]


def test_a_repeated_submission_returns_the_accepted_job(history: History) -> None:
    assert {name: history.resubmitted[name] for name in history.accepted} == history.accepted


def test_every_job_is_done_with_the_same_result(history: History) -> None:
    assert [job["state"] for job in history.jobs] == ["done"] * len(NAMES)
    assert len({json.dumps(job["result"]["probabilities"]) for job in history.jobs}) == 1


def test_a_submission_interrupted_by_a_kill_makes_no_second_job(history: History) -> None:
    assert history.listed_ids == set(history.resubmitted.values())


def test_the_last_service_ends_each_job_once(history: History) -> None:
    assert len(set(history.logged_ids)) == len(history.logged_ids)


def test_the_upload_of_an_ended_job_is_removed(history: History) -> None:
    assert not history.uploads_left & set(history.resubmitted.values())


def test_an_upload_without_a_job_is_removed(history: History, orphan: str) -> None:
    assert orphan not in history.uploads_left
