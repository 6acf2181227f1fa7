"""Videos that are named by a URL instead of being sent, over a real uvicorn and a real server of files."""

from pathlib import Path

import httpx
import pytest

from tests.support.file_server import FileServer
from tests.support.running_service import RunningService

pytestmark = pytest.mark.tensorflow


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    """The response is that problem."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_a_fetched_video_gets_the_same_answer_as_one_that_is_sent(
    asking_service: RunningService, files: FileServer, ramp: Path
) -> None:
    files.put_file("/ramp.mp4", ramp.read_bytes())
    url = files.put_redirect("/latest", "/ramp.mp4")
    for path in ("/predict", "/validate"):
        fetched = asking_service.client.post(path, json={"url": url}).raise_for_status().json()
        with ramp.open("rb") as file:
            sent = asking_service.client.post(path, files={"video": file}).raise_for_status().json()
        for answer in (fetched, sent):
            assert answer["timings_ms"].pop("receive") > 0
            del answer["timings_ms"], answer["request_id"]
            answer.pop("cost", None)
        assert fetched == sent


def test_what_cannot_be_had_is_a_problem_of_its_own(
    asking_service: RunningService, files: FileServer, ramp: Path
) -> None:
    def post(url: str) -> httpx.Response:
        return asking_service.client.post("/predict", json={"url": url})

    assert_problem(post("http://localhost/clip.mp4"), 403, "url_not_allowed")
    assert_problem(post(files.put_redirect("/away", "http://169.254.169.254/")), 403, "url_not_allowed")
    assert_problem(
        post(files.put("/gone", lambda visit: visit.send_head(404, Content_Length=0))), 502, "url_unreachable"
    )
    assert_problem(post(files.put_file("/text", b"no video")), 415, "unsupported_media")
    endless = files.put("/endless", lambda visit: visit.send_until_cut_off(b"x" * 10_000))
    assert_problem(post(endless), 413, "upload_too_large")
    assert files.is_cut_off.wait(60)
    assert_problem(asking_service.client.post("/predict", json={"uri": "x"}), 400, "malformed_request")
    url = files.put_file("/ramp.mp4", ramp.read_bytes())
    assert_problem(asking_service.client.post("/predict", json={"url": url, "x": 1}), 422, "invalid_parameter")
    assert post(url).status_code == 200


def test_a_service_that_was_told_no_hosts_asks_none(shared_service: RunningService, files: FileServer) -> None:
    num_asked = len(files.paths)
    refused = shared_service.client.post("/predict", json={"url": f"http://{files.host}/ramp.mp4"})
    assert_problem(refused, 403, "url_not_allowed")
    assert len(files.paths) == num_asked
