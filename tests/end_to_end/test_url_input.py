"""Videos by URL: a running service fetches them from a real file server."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.file_server import FileServer
from tests.support.running_service import RunningService, running_service

pytestmark = pytest.mark.tensorflow


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    """Check that the response is this problem."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_a_fetched_video_gets_the_same_prediction_as_an_uploaded_one(
    calling_service: RunningService, files: FileServer, ramp: Path
) -> None:
    files.put_file("/ramp.mp4", ramp.read_bytes())
    url = files.put_redirect("/latest", "/ramp.mp4")
    for path in ("/predict", "/validate"):
        fetched = calling_service.client.post(path, json={"url": url}).raise_for_status().json()
        with ramp.open("rb") as file:
            uploaded = calling_service.client.post(path, files={"video": file}).raise_for_status().json()
        for response in (fetched, uploaded):
            assert response["timings_ms"].pop("receive") > 0
            del response["timings_ms"], response["request_id"]
            response.pop("cost", None)
        assert fetched == uploaded


def test_each_failure_to_fetch_has_its_own_problem(
    calling_service: RunningService, files: FileServer, ramp: Path
) -> None:
    def post(url: str) -> httpx.Response:
        return calling_service.client.post("/predict", json={"url": url})

    assert_problem(post("http://localhost/clip.mp4"), 403, "url_not_allowed")
    assert_problem(post(files.put_redirect("/away", "http://169.254.169.254/")), 403, "url_not_allowed")
    # httpx decodes these names late, which was a 500.
    for undecodable in ("https://xn--/", "https://xn--a/", "https://xn--ls8h.la/"):
        assert_problem(post(undecodable), 400, "malformed_request")
        assert_problem(post(files.put_redirect("/undecodable", undecodable)), 403, "url_not_allowed")
    assert_problem(
        post(files.put("/gone", lambda visit: visit.send_head(404, Content_Length=0))), 502, "url_unreachable"
    )
    assert_problem(post(files.put_file("/text", b"no video")), 415, "unsupported_media")
    endless = files.put("/endless", lambda visit: visit.send_until_cut_off(b"x" * 10_000))
    assert_problem(post(endless), 413, "upload_too_large")
    assert files.is_cut_off.wait(60)
    assert_problem(calling_service.client.post("/predict", json={"uri": "x"}), 400, "malformed_request")
    url = files.put_file("/ramp.mp4", ramp.read_bytes())
    assert_problem(calling_service.client.post("/predict", json={"url": url, "x": 1}), 422, "invalid_parameter")
    assert post(url).status_code == 200


def test_a_service_without_allowed_hosts_fetches_from_none(shared_service: RunningService, files: FileServer) -> None:
    num_requests = len(files.paths)
    refused = shared_service.client.post("/predict", json={"url": f"http://{files.host}/ramp.mp4"})
    assert_problem(refused, 403, "url_not_allowed")
    assert len(files.paths) == num_requests


@pytest.fixture
def python_without_names(tmp_path: Path) -> Iterator[Path]:
    """A Python whose system asks a name server that never answers."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a file of this machine cannot be replaced for one process")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        try:
            silent.bind(("127.0.0.153", 53))
        except OSError:
            pytest.skip("a name server cannot be started")
        names, python = tmp_path / "resolv.conf", tmp_path / "python"
        names.write_text("nameserver 127.0.0.153\noptions timeout:30 attempts:5\n")
        python.write_text(
            f"#!/bin/sh\nexec {unshare} -m sh -c "
            f'\'mount --bind {names} /etc/resolv.conf && exec {sys.executable} "$@"\' python "$@"\n'
        )
        python.chmod(0o755)
        yield python


def test_a_name_that_never_resolves_delays_no_other_host_and_not_the_end_of_the_service(
    python_without_names: Path, files: FileServer, grey_models_dir: Path, tmp_path: Path, ramp: Path
) -> None:
    """Regression: its lookups took all threads for lookups, and the process waited for them minutes after SIGTERM."""
    files.put_file("/other.mp4", ramp.read_bytes())
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    port = files.host.rpartition(":")[2]
    with (
        running_service(
            grey_models_dir,
            uploads,
            installed_python=python_without_names,
            url_allowed_hosts=f'["silent.example", "localhost:{port}"]',
            url_private_allowed=True,
        ) as service,
        ThreadPoolExecutor(8) as pool,
    ):

        def post(host: str) -> httpx.Response:
            return service.client.post("/predict", json={"url": f"http://{host}/other.mp4"})

        for _ in range(2):
            silent = [pool.submit(post, "silent.example") for _ in range(8)]
            assert post(f"localhost:{port}").status_code == 200
            for response in silent:
                assert_problem(response.result(), 504, "url_too_slow")
        assert post(f"localhost:{port}").status_code == 200
        assert service.stop() == 0
