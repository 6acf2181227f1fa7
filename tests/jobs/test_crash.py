"""Whatever is killed, and when: a job that was accepted is done, once."""

import concurrent.futures
import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.job_client import JobClient, log_lines
from tests.support.running_service import RunningService, running_service
from tests.support.videos import painted

# Four services start one after the other, which takes a busy machine a while.
pytestmark = [pytest.mark.tensorflow, pytest.mark.timeout(900)]

SEED = 20260101
NUM_JOBS_A_ROUND = 6
# Longer than a busy machine makes a living process silent, or a job would be run twice: harmless, but not told apart.
SETTINGS: dict[str, Any] = {
    "job_lease_seconds": 2,
    "job_beat_seconds": 0.1,
    "job_max_attempts": 20,
    "decode_children": 2,
    "answer_cache_bytes": 0,
}


@contextmanager
def killed_some_time(service: RunningService, within_seconds: float) -> Iterator[None]:
    """Kill the service at a moment of the next `within_seconds`, whatever it is doing then."""
    timer = threading.Timer(within_seconds, service.process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def submit_until_killed(client: JobClient, path: Path, names: list[str]) -> list[tuple[str, str]]:
    """Idempotency key and id of each job that was accepted before the service was killed."""
    accepted = []
    for name in names:
        try:
            answer = client.post(path, {"Idempotency-Key": name}, frames="none")
        except httpx.TransportError:
            break
        assert answer.status_code in (200, 202), answer.text
        accepted.append((name, answer.json()["id"]))
    return accepted


def test_no_job_is_lost_or_done_twice_when_the_service_is_killed_at_any_moment(
    grey_models_dir: Path, tmp_path: Path
) -> None:
    moments = random.Random(SEED)  # noqa: S311 - a seed makes a failure come again
    video = painted(tmp_path / "ramp.mp4", [level % 256 for level in range(0, 1600, 4)])
    (tmp_path / "incoming").mkdir()
    jobs_dir = tmp_path / "jobs"
    names = [f"job {number}" for number in range(3 * NUM_JOBS_A_ROUND)]
    accepted: dict[str, str] = {}
    for number in range(3):
        with running_service(grey_models_dir, tmp_path / "incoming", jobs_dir=jobs_dir, **SETTINGS) as service:
            client = JobClient(service)
            done_before = {job["id"]: job for job in client.get("", state="done", limit=200).json()["jobs"]}
            for job_id in accepted.values():
                assert client.get(f"/{job_id}").status_code == 200, "lost"
            with killed_some_time(service, moments.uniform(0.05, 1.5)):
                share = names[number * NUM_JOBS_A_ROUND : (number + 1) * NUM_JOBS_A_ROUND]
                # Those that were not accepted in earlier rounds are asked for again, as a client would.
                again = [name for name in names[: number * NUM_JOBS_A_ROUND] if name not in accepted]
                accepted |= submit_until_killed(client, video, [*again, *share])
            assert service.process.wait() == -signal.SIGKILL
    orphan = jobs_dir / "uploads" / ("0" * 32)
    orphan.touch()
    os.utime(orphan, (0, 0))
    with running_service(grey_models_dir, tmp_path / "incoming", jobs_dir=jobs_dir, **SETTINGS) as service:
        client = JobClient(service)
        for job in done_before.values():
            assert client.get(f"/{job['id']}").json()["finished_at"] == job["finished_at"], "done once"
        repeated = dict(submit_until_killed(client, video, names))
        assert {name: repeated[name] for name in accepted} == accepted, "accepted is accepted"
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = list(pool.map(client.wait, repeated.values()))
        listed = client.get("", limit=200).json()["jobs"]
        assert service.stop() == 0
        lines = log_lines(service)
    assert [job["state"] for job in jobs] == ["done"] * len(names)
    assert len({json.dumps(job["result"]["probabilities"]) for job in jobs}) == 1
    # No job is there that nobody asked for: one accepted by a service that died before it could say so is the same.
    assert {job["id"] for job in listed} == set(repeated.values())
    ended = [line["job_id"] for line in lines if line["message"] == "job attempt ended"]
    assert len(set(ended)) == len(ended)
    left = {path.name for path in (jobs_dir / "uploads").iterdir()}
    assert not left & set(repeated.values()), "an upload is not kept longer than its job runs"
    assert orphan.name not in left, "nor one whose service died while it came"
