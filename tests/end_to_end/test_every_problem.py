"""Problems that take something to go wrong: a disk, a server of others, a caller who dawdles."""

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
    place = tmp_path / "small"
    place.mkdir()
    mounting = ["/usr/bin/mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    if subprocess.run(mounting, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    yield place
    subprocess.run(["/usr/bin/umount", "--lazy", str(place)], check=True)


@pytest.fixture
def cramped(grey_models_dir: Path, small_disk: Path, files: FileServer) -> Iterator[RunningService]:
    """A service with little room for uploads and little patience with whoever sends them."""
    hosts = f'["{files.host}"]'
    with running_service(
        grey_models_dir, small_disk, url_allowed_hosts=hosts, url_private_allowed=True, upload_idle_timeout_seconds=3
    ) as service:
        yield service


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    """The response is that problem."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_a_full_disk_a_slow_server_and_a_slow_caller_are_told_apart_and_the_next_is_answered(
    cramped: RunningService, files: FileServer, ramp: Path
) -> None:
    full = cramped.client.post("/predict", files={"video": os.urandom(200_000)})
    assert_problem(full, 503, "storage_full")
    assert int(full.headers["retry-after"]) >= 1

    paused = files.put("/paused", lambda visit: visit.send_until_cut_off(b"x", pause_seconds=60))
    assert_problem(cramped.client.post("/predict", json={"url": paused}), 504, "url_too_slow")

    dawdling = SlowUpload(cramped, ramp.read_bytes())
    with dawdling.socket, dawdling.socket.makefile("rb") as response:
        answer = response.read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"upload_too_slow"' in answer

    assert cramped.post_video(ramp).status_code == 200
    assert cramped.uploads_left() == []


def test_a_video_in_which_nothing_moves_or_shows_is_answered_with_a_warning(
    shared_service: RunningService, tmp_path: Path
) -> None:
    for level, code in ((120, "frozen_video"), (0, "black_video")):
        answer = shared_service.post_video(painted(tmp_path / f"{code}.mp4", [level] * 24))
        assert code in {warning["code"] for warning in answer.raise_for_status().json()["warnings"]}
