"""Problems that need a full disk, a slow file server or a slow client; and warnings about the picture."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.file_server import FileServer
from tests.support.running_service import RunningService, running_service
from tests.support.slow_upload import SlowUpload
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """A video of one clip."""
    return painted(tmp_path / "ramp.mp4", range(0, 160, 10))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 64 KiB."""
    mount_point = tmp_path / "small"
    mount_point.mkdir()
    mounting = ["/usr/bin/mount", "-t", "tmpfs", "-o", "size=64k", "none", str(mount_point)]
    if subprocess.run(mounting, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    yield mount_point
    subprocess.run(["/usr/bin/umount", "--lazy", str(mount_point)], check=True)


@pytest.fixture
def limited(grey_models_dir: Path, small_disk: Path, files: FileServer) -> Iterator[RunningService]:
    """A service with a small disk for uploads and a short idle timeout."""
    hosts = f'["{files.host}"]'
    with running_service(
        grey_models_dir, small_disk, url_allowed_hosts=hosts, url_private_allowed=True, upload_idle_timeout_seconds=3
    ) as service:
        yield service


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    """Check that the response is this problem."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_a_full_disk_a_slow_server_and_a_slow_client_get_different_problems_and_the_next_request_succeeds(
    limited: RunningService, files: FileServer, ramp: Path
) -> None:
    full = limited.client.post("/predict", files={"video": os.urandom(200_000)})
    assert_problem(full, 503, "storage_full")
    assert int(full.headers["retry-after"]) >= 1

    paused = files.put("/paused", lambda visit: visit.send_until_cut_off(b"x", pause_seconds=60))
    assert_problem(limited.client.post("/predict", json={"url": paused}), 504, "url_too_slow")

    slow = SlowUpload(limited, ramp.read_bytes())
    with slow.socket, slow.socket.makefile("rb") as response:
        received = response.read()
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"upload_too_slow"' in received

    assert limited.post_video(ramp).status_code == 200
    assert limited.uploads_left() == []


def test_a_frozen_or_black_video_gets_a_warning(shared_service: RunningService, tmp_path: Path) -> None:
    for level, code in ((120, "frozen_video"), (0, "black_video")):
        response = shared_service.post_video(painted(tmp_path / f"{code}.mp4", [level] * 24))
        assert code in {warning["code"] for warning in response.raise_for_status().json()["warnings"]}
