"""Each kind of bad request gets its own problem and leaves no file behind."""

import gzip
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.running_service import RunningService, running_service
from tests.support.videos import audio_only, encode, grey, painted

pytestmark = pytest.mark.tensorflow

MAX_UPLOAD_BYTES = 200_000


@pytest.fixture(scope="module")
def service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with small limits."""
    with running_service(
        grey_models_dir,
        tmp_path_factory.mktemp("uploads"),
        max_upload_bytes=MAX_UPLOAD_BYTES,
        max_duration_seconds=5,
        max_pixels_per_frame=64 * 48,
        max_packets=60,
    ) as service:
        yield service


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(service: RunningService) -> Iterator[None]:
    yield
    assert service.uploads_left() == []


@pytest.fixture(scope="module")
def good_video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video that the service accepts."""
    return painted(tmp_path_factory.mktemp("videos") / "good.mp4", range(0, 160, 10)).read_bytes()


def assert_problem(response: httpx.Response, status: int, code: str) -> str:
    """Check that the response is this problem, and return its detail."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["request_id"] == response.headers["x-request-id"]
    detail: str = problem["detail"]
    return detail


def post(service: RunningService, content: bytes, **query: object) -> httpx.Response:
    """POST `content` as the video."""
    return service.client.post("/predict", files={"video": content}, params=query)  # type: ignore[arg-type]


def test_text_is_not_a_video(service: RunningService) -> None:
    assert_problem(post(service, b"I am no video at all\n" * 100), 415, "unsupported_media")


def test_an_empty_file_is_not_a_video(service: RunningService) -> None:
    assert_problem(post(service, b""), 415, "unsupported_media")


def test_a_playlist_is_not_a_video(service: RunningService, tmp_path: Path, good_video: bytes) -> None:
    target = tmp_path / "secret.mp4"
    target.write_bytes(good_video)
    for playlist in (f"ffconcat version 1.0\nfile {target}\n", f"#EXTM3U\n#EXTINF:1,\n{target}\n"):
        assert_problem(post(service, playlist.encode()), 415, "unsupported_media")


def test_the_problem_of_an_audio_file_names_its_streams(service: RunningService, tmp_path: Path) -> None:
    detail = assert_problem(post(service, audio_only(tmp_path / "a.mp4").read_bytes()), 415, "unsupported_media")
    assert "audio" in detail


def test_a_video_cut_before_its_index_is_unreadable(service: RunningService, good_video: bytes) -> None:
    assert_problem(post(service, good_video[: len(good_video) // 2]), 422, "unreadable_video")


def test_a_video_cut_within_its_frames_gets_a_warning(service: RunningService, tmp_path: Path) -> None:
    whole = painted(tmp_path / "v.mkv", range(0, 160, 5)).read_bytes()
    response = post(service, whole[: len(whole) * 2 // 3])
    assert response.status_code == 200
    assert {warning["code"] for warning in response.json()["warnings"]} & {"truncated_video", "damaged_video"}


def test_a_file_larger_than_the_limit_is_refused(service: RunningService) -> None:
    assert_problem(post(service, b"x" * (MAX_UPLOAD_BYTES + 1)), 413, "upload_too_large")
    assert_problem(post(service, b"x" * (20 * MAX_UPLOAD_BYTES)), 413, "upload_too_large")
    raw = {"Content-Type": "video/mp4"}
    for content in (b"x" * (MAX_UPLOAD_BYTES + 1), gzip.compress(b"x" * (20 * MAX_UPLOAD_BYTES))):
        headers = raw if content.startswith(b"x") else raw | {"Content-Encoding": "gzip"}
        assert_problem(service.client.post("/predict", content=content, headers=headers), 413, "upload_too_large")


def test_a_chunked_body_larger_than_the_limit_is_refused(service: RunningService) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="video"; filename="v"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 65536

    response = service.client.post(
        "/predict", content=chunks(), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert_problem(response, 413, "upload_too_large")


def test_a_video_beyond_each_decode_limit_is_refused(service: RunningService, tmp_path: Path) -> None:
    too_long = painted(tmp_path / "long.mp4", [9] * 41)
    assert "the limit is 5 s" in assert_problem(post(service, too_long.read_bytes()), 413, "video_too_large")
    too_big = encode(tmp_path / "big.mp4", [grey(9, 128, 96)] * 4)
    assert "128x96" in assert_problem(post(service, too_big.read_bytes()), 413, "video_too_large")
    too_many = painted(tmp_path / "many.mp4", [9] * 61, rate=60)
    assert "limit of 60" in assert_problem(post(service, too_many.read_bytes()), 413, "video_too_large")


def test_an_empty_body_is_malformed(service: RunningService) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(service.client.post("/predict", content=b"", headers=headers), 400, "malformed_request")
    assert_problem(service.client.post("/predict"), 400, "malformed_request")


def test_a_body_that_is_neither_multipart_nor_a_video_is_malformed(service: RunningService, good_video: bytes) -> None:
    text = service.client.post("/predict", content=good_video, headers={"Content-Type": "text/plain"})
    assert "application/octet-stream" in assert_problem(text, 400, "malformed_request")
    mislabelled = service.client.post(
        "/predict", content=good_video, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert_problem(mislabelled, 400, "malformed_request")
    endless = b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\n' + good_video
    unfinished = service.client.post(
        "/predict", content=endless, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert_problem(unfinished, 400, "malformed_request")


def test_a_boundary_that_is_too_long_is_malformed(service: RunningService) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={'b' * 400}"}
    assert_problem(service.client.post("/predict", content=b"x", headers=headers), 400, "malformed_request")


def test_a_part_header_that_is_too_long_is_malformed(service: RunningService) -> None:
    body = b"--b\r\nX-Long: " + b"x" * 50_000 + b"\r\n\r\n\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(service.client.post("/predict", content=body, headers=headers), 400, "malformed_request")


def test_a_form_without_a_video_part_is_malformed(service: RunningService) -> None:
    body = b"--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(service.client.post("/predict", content=body, headers=headers), 400, "malformed_request")
    nameless = b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"
    assert_problem(service.client.post("/predict", content=nameless, headers=headers), 400, "malformed_request")


def test_two_video_parts_are_malformed(service: RunningService, good_video: bytes) -> None:
    two = [("video", good_video), ("video", good_video)]
    assert_problem(service.client.post("/predict", files=two), 400, "malformed_request")


def test_an_unknown_form_field_is_refused(service: RunningService, good_video: bytes) -> None:
    response = service.client.post("/predict", files={"video": good_video}, data={"modle": "grey"})
    assert "modle" in assert_problem(response, 422, "invalid_parameter")


@pytest.mark.parametrize(
    "query",
    [
        {"unknown": "1"},
        {"top_k": "0"},
        {"top_k": "many"},
        {"threshold": "1.5"},
        {"threshold": "nan"},
        {"deadline_seconds": "-1"},
        {"frames": "some"},
        {"model": "x" * 65},
    ],
)
def test_an_unknown_or_invalid_parameter_is_refused(
    service: RunningService, good_video: bytes, query: dict[str, str]
) -> None:
    assert next(iter(query)) in assert_problem(post(service, good_video, **query), 422, "invalid_parameter")


def test_an_unknown_model_or_version_is_refused(service: RunningService, good_video: bytes) -> None:
    assert_problem(post(service, good_video, model="nope"), 404, "unknown_model")
    assert_problem(post(service, good_video, model="grey", version="7"), 404, "unknown_model")
    assert_problem(post(service, good_video, model="../grey"), 404, "unknown_model")
    assert_problem(service.client.get("/models/nope"), 404, "unknown_model")


def test_a_wrong_method_or_path_gets_a_problem(service: RunningService) -> None:
    wrong = service.client.get("/predict")
    assert_problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST, PUT"
    assert service.client.put("/models").headers["allow"] == "HEAD, GET"
    assert_problem(service.client.post("/nowhere"), 404, "not_found")


def test_a_deadline_too_short_for_the_work_is_exceeded(service: RunningService, good_video: bytes) -> None:
    assert_problem(post(service, good_video, deadline_seconds=0.0001), 504, "deadline_exceeded")
    assert post(service, good_video).status_code == 200


def test_an_endless_head_is_refused_and_does_not_block_the_service(service: RunningService) -> None:
    """Httptools itself has no limit for the head, and copies it repeatedly."""
    url = httpx.URL(service.url)
    with socket.create_connection((url.host, url.port or 80), timeout=120) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: test\r\nX-Endless: ")
        try:
            for _ in range(64):
                connection.sendall(b"x" * 65536)
            response = connection.recv(1024)
        except (ConnectionResetError, BrokenPipeError):
            response = b""
        assert response == b"" or response.startswith(b"HTTP/1.1 400 ")
    assert service.client.get("/health/live").status_code == 200


def test_a_large_body_does_not_count_as_a_large_head(service: RunningService, good_video: bytes) -> None:
    padding = b"x" * (MAX_UPLOAD_BYTES - len(good_video) - 1000)
    for _ in range(3):
        assert post(service, good_video + padding).status_code == 200
