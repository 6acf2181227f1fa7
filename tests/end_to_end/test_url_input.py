"""Videos by URL: a running service fetches them from a real file server."""

from pathlib import Path

import httpx
import pytest

from tests.support.file_server import FileServer
from tests.support.running_service import RunningService

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
