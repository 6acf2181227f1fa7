"""Failures around a job: its decode worker crashes, its process dies, its database is unavailable."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.job_client import JobClient, decoders_standing_still, log_lines
from tests.support.running_service import RunningService, running_service
from tests.support.videos import painted

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the decode workers under /proc"),
]

SETTINGS: dict[str, Any] = {
    "decode_children": 2,
    "job_beat_seconds": 0.1,
    "answer_cache_bytes": 0,
    # Decode workers that stand still are not replaced before the test continues.
    "decode_stall_seconds": 600,
}
STALL_SECONDS = 3


@pytest.fixture
def service(grey_models_dir: Path, tmp_path: Path) -> Iterator[RunningService]:
    """A service with jobs and without API keys."""
    (tmp_path / "incoming").mkdir()
    with running_service(grey_models_dir, tmp_path / "incoming", jobs_dir=tmp_path / "jobs", **SETTINGS) as service:
        yield service


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """A video of several clips."""
    return painted(tmp_path / "ramp.mp4", range(0, 192, 4))


def test_a_job_that_crashes_its_decode_worker_fails_and_other_requests_succeed(
    service: RunningService, ramp: Path
) -> None:
    client = JobClient(service)
    with decoders_standing_still(client) as workers:
        crashing = client.submit(ramp)
        client.wait_for_metric('framewise_decode_children{state="busy"} 1.0')
        waiting = client.submit(ramp)
        # The worker dies when it continues, as with a video that crashes the decoder.
        for worker in workers:
            os.kill(worker, signal.SIGSEGV)
    failed = client.wait(crashing)
    assert (failed["state"], failed["attempt"], failed["result"]) == ("failed", 1, None)
    assert (failed["problem"]["status"], failed["problem"]["code"]) == (422, "unreadable_video")
    assert failed["problem"]["request_id"] == failed["request_id"]
    assert client.wait(waiting)["state"] == "done"
    assert service.post_video(ramp).status_code == 200
    client.wait_for_metric('framewise_decode_children{state="idle"} 3.0')
    assert "a decode worker died" in {line["message"] for line in log_lines(service)}


def test_a_job_whose_processes_died_is_abandoned_with_a_problem(
    grey_models_dir: Path, tmp_path: Path, ramp: Path
) -> None:
    (tmp_path / "incoming").mkdir()
    settings = {**SETTINGS, "jobs_dir": tmp_path / "jobs", "job_max_attempts": 1, "job_lease_seconds": 1}
    with running_service(grey_models_dir, tmp_path / "incoming", **settings) as first:
        client = JobClient(first)
        with decoders_standing_still(client):
            job_id = client.submit(ramp, {"X-Request-Id": "abandoned"})
            client.wait_until_running(job_id)
            first.stop(signal.SIGKILL)
    settings["decode_stall_seconds"] = STALL_SECONDS
    with running_service(grey_models_dir, tmp_path / "incoming", **settings) as second:
        client = JobClient(second)
        failed = client.wait(job_id)
        assert (failed["state"], failed["attempt"]) == ("failed", 1)
        problem = failed["problem"]
        assert (problem["status"], problem["code"], problem["request_id"]) == (500, "job_abandoned", "abandoned")
        assert client.wait(client.submit(ramp))["state"] == "done"
        # After its last attempt, a job whose decode workers stalled fails as its video does.
        with decoders_standing_still(client):
            failed = client.wait(client.submit(ramp))
        problem = failed["problem"]
        assert (failed["state"], failed["attempt"]) == ("failed", 1)
        assert (problem["status"], problem["code"]) == (422, "unreadable_video")
        assert f"made no progress for {STALL_SECONDS} s" in problem["detail"]
        assert "the last of 1 attempts (SERVICE_JOB_MAX_ATTEMPTS)" in problem["detail"]


def test_decode_workers_that_stand_still_are_replaced_and_cost_no_job_and_no_request(
    grey_models_dir: Path, tmp_path: Path, ramp: Path
) -> None:
    """Regression: the job worker stood still until the deadline of the job, an hour later."""
    (tmp_path / "incoming").mkdir()
    settings = {**SETTINGS, "jobs_dir": tmp_path / "jobs", "decode_stall_seconds": STALL_SECONDS}
    with running_service(grey_models_dir, tmp_path / "incoming", **settings) as service:
        client = JobClient(service)
        with decoders_standing_still(client):
            job = client.wait(client.submit(ramp))
            # The first attempt met two of the three workers.
            assert (job["state"], job["attempt"]) == ("done", 2)
        with decoders_standing_still(client):
            assert service.post_video(ramp).status_code == 200
        messages = [line["message"] for line in log_lines(service)]
        assert messages.count("a decode worker stalled") == 6
        assert "a decode worker failed" not in messages
        client.wait_for_metric('framewise_job_attempts_total{outcome="retried"} 1.0')


def test_a_service_survives_an_unavailable_database(service: RunningService, tmp_path: Path, ramp: Path) -> None:
    client = JobClient(service)
    before = client.submit(ramp)
    client.wait(before)
    with closing(sqlite3.connect(tmp_path / "jobs" / "jobs.db", timeout=60)) as database:
        database.execute("ALTER TABLE jobs RENAME TO out_of_reach")
        for response in (client.get(f"/{before}"), client.get(""), client.post(ramp), client.delete(before)):
            assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
            assert int(response.headers["retry-after"]) >= 1
            assert "out_of_reach" not in response.text
            assert "jobs.db" not in response.text
        # Predictions without a job need no database.
        assert service.post_video(ramp).status_code == 200
        health = service.client.get("/health")
        assert (health.status_code, health.json()["state"]) == (200, "degraded")
        database.execute("ALTER TABLE out_of_reach RENAME TO jobs")
    assert client.get(f"/{before}").json()["state"] == "done"
    assert client.wait(client.submit(ramp))["state"] == "done"
    assert len(list((tmp_path / "jobs" / "uploads").iterdir())) == 0


@pytest.mark.parametrize("is_made_again", [True, False])
def test_a_job_waits_for_a_directory_that_is_away(
    grey_models_dir: Path, tmp_path: Path, ramp: Path, *, is_made_again: bool
) -> None:
    """It failed at its first start, as if the video were to blame, and /health stayed `ready`."""
    for name in ("incoming", "database"):
        (tmp_path / name).mkdir()
    jobs_dir, away = tmp_path / "jobs", tmp_path / "away"
    url = f"sqlite:///{tmp_path}/database/jobs.db"
    settings = {**SETTINGS, "jobs_dir": jobs_dir, "database_url": url}
    with running_service(grey_models_dir, tmp_path / "incoming", **settings) as service:
        client = JobClient(service)
        with decoders_standing_still(client):
            running = client.submit(ramp)
            client.wait_until_running(running)
            waiting = client.submit(ramp)
            jobs_dir.rename(away)
            if not is_made_again:
                # A file in its place: the directory cannot be created.
                jobs_dir.touch()
                while (health := service.client.get("/health").json())["state"] == "ready":
                    pass
                assert [(part["part"], part["reason"]) for part in health["degraded"]] == [("jobs", "directory")]
        if is_made_again:
            while client.get(f"/{waiting}").json()["attempt"] == 0 or not (jobs_dir / "uploads").exists():
                pass
            shutil.rmtree(jobs_dir)
        else:
            jobs_dir.unlink()
        away.rename(jobs_dir)
        assert client.wait(running)["state"] == "done"
        done = client.wait(waiting)
        assert (done["state"], done["attempt"]) == ("done", 2 if is_made_again else 1)
        while service.client.get("/health").json()["state"] != "ready":
            pass
