"""Directories that are removed or unusable while the service runs: reported by /health, and made again."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.job_client import JobClient
from tests.support.running_service import RunningService, running_service
from tests.support.slow_upload import SlowUpload

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service whose directories the tests remove. When it starts, its upload directory is a file."""
    place = tmp_path_factory.mktemp("removed")
    uploads = place / "uploads"
    uploads.write_text("not mounted yet")
    settings: dict[str, Any] = {"jobs_dir": place / "jobs", "upload_dir_check_seconds": 0.05, "job_beat_seconds": 0.1}
    settings |= {"decode_children": 2, "answer_cache_bytes": 0}
    with running_service(grey_models_dir, uploads, until_ready=False, **settings) as service:
        yield service


def wait_for_state(service: RunningService, state: str) -> dict[str, Any]:
    """The response of /health, once it has this state."""
    while True:
        health: dict[str, Any] = service.client.get("/health").json()
        if health["state"] == state:
            return health


def assert_unavailable(response: httpx.Response, code: str) -> None:
    """Check that the response is this 503."""
    assert (response.status_code, response.json()["code"]) == (503, code), response.text
    assert int(response.headers["retry-after"]) >= 1


def test_a_service_started_without_its_upload_directory_becomes_ready_when_it_can_be_made(
    service: RunningService, ramp: Path
) -> None:
    health = wait_for_state(service, "failed")
    assert service.client.get("/health/ready").status_code == 503
    assert [(part["part"], part["reason"]) for part in health["degraded"]] == [("uploads", "directory")]
    assert "SERVICE_UPLOAD_DIR" in health["detail"]
    assert str(service.upload_dir) not in str(health)
    assert_unavailable(service.post_video(ramp), "storage_unavailable")
    # What needs no upload is answered.
    assert service.client.get("/models").status_code == 200
    assert JobClient(service).wait(JobClient(service).submit(ramp))["state"] == "done"
    service.upload_dir.unlink()
    wait_for_state(service, "ready")
    assert service.post_video(ramp).status_code == 200


@pytest.mark.parametrize("removed", ["the directory", "its parent"])
def test_a_removed_upload_directory_is_made_again(service: RunningService, ramp: Path, removed: str) -> None:
    wait_for_state(service, "ready")
    (own,) = service.upload_dir.iterdir()
    slow = SlowUpload(service, ramp.read_bytes())
    while not list(own.glob("[!.]*")):
        pass
    shutil.rmtree(own if removed == "the directory" else service.upload_dir)
    responses = [service.post_video(ramp) for _ in range(3)]
    assert [response.status_code for response in responses] == [200] * 3
    # The file of an upload in progress is gone with its directory.
    assert " 503 " in slow.finish()
    assert service.post_video(ramp).status_code == 200
    assert service.client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("removed", ["the directory", "the uploads", "the database"])
def test_no_job_is_accepted_into_a_removed_jobs_directory(service: RunningService, ramp: Path, removed: str) -> None:
    wait_for_state(service, "ready")
    jobs_dir, client = service.upload_dir.parent / "jobs", JobClient(service)
    client.wait(client.submit(ramp))
    if removed == "the database":
        for file in jobs_dir.glob("jobs.db*"):
            file.unlink()
    else:
        shutil.rmtree(jobs_dir if removed == "the directory" else jobs_dir / "uploads")
    accepted = []
    for _ in range(10):
        response = client.post(ramp)
        if response.status_code == 202:
            accepted.append(response.json()["id"])
        else:
            assert response.status_code == 503, response.text
        assert client.get("").status_code in (200, 503)
        assert service.post_video(ramp).status_code == 200
    wait_for_state(service, "ready")
    accepted.append(client.submit(ramp))
    for job_id in accepted:
        assert client.wait(job_id)["state"] == "done"
    assert (jobs_dir / "jobs.db").stat().st_size > 0
    assert "Traceback" not in "".join(
        line for line in service.log_path.read_text().splitlines() if '"internal error"' in line
    )
