"""The forms in which a request may send a video: as a form, raw, by PUT, compressed."""

import gzip
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.running_service import RunningService

pytestmark = pytest.mark.tensorflow

FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def service(calling_service: RunningService) -> RunningService:
    """A service with jobs."""
    return calling_service


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(service: RunningService) -> Iterator[None]:
    yield
    assert service.uploads_left() == []


@pytest.fixture(scope="module")
def expected(service: RunningService, ramp: Path) -> list[dict[str, Any]]:
    """The probabilities of `ramp`, sent as a form."""
    return probabilities(service.post_video(ramp))


def probabilities(response: httpx.Response) -> list[dict[str, Any]]:
    """The probabilities of a prediction."""
    found: list[dict[str, Any]] = response.raise_for_status().json()["probabilities"]
    return found


def form(video: bytes) -> bytes:
    """A form with a preamble, padding after its boundaries, and an epilogue."""
    head = b'Content-Disposition: form-data; name="video"; filename="v"\r\n\r\n'
    return b"Any preamble\r\n--b \r\n" + head + video + b"\r\n--b-- \r\nAny epilogue"


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("content_type", ["video/mp4", "VIDEO/X-Other; codecs=x", "application/octet-stream", None])
def test_a_raw_body_is_the_video(
    service: RunningService, ramp: Path, expected: list[dict[str, Any]], method: str, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    request = service.client.request
    assert probabilities(request(method, "/predict", content=ramp.read_bytes(), headers=headers)) == expected
    validated = request(method, "/validate", content=ramp.read_bytes(), headers=headers)
    assert validated.raise_for_status().json()["video"]["container"] == "mp4"
    submitted = request(method, "/jobs", content=ramp.read_bytes(), headers=headers)
    assert submitted.status_code == 202
    job = submitted.headers["location"]
    while service.client.get(job).json()["state"] not in ("done", "failed"):
        pass
    assert service.client.get(job).json()["result"]["probabilities"] == expected


@pytest.mark.parametrize("arguments", [["-T"], ["-H", "Content-Type: video/mp4", "--data-binary"]])
def test_curl_sends_a_file_as_the_body(
    service: RunningService, ramp: Path, expected: list[dict[str, Any]], arguments: list[str]
) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    file = str(ramp) if arguments[0] == "-T" else f"@{ramp}"
    sent = [curl, "--silent", "--show-error", *arguments, file, f"{service.url}/predict"]
    output = subprocess.run(sent, check=True, capture_output=True).stdout
    assert probabilities(httpx.Response(200, content=output, request=httpx.Request("PUT", service.url))) == expected


def test_a_body_without_content_and_type_is_malformed(service: RunningService) -> None:
    for method in ("POST", "PUT"):
        refused = service.client.request(method, "/predict")
        assert (refused.status_code, refused.json()["code"]) == (400, "malformed_request")
    empty = service.client.put("/predict", content=b"", headers={"Content-Type": "video/mp4"})
    assert (empty.status_code, empty.json()["code"]) == (415, "unsupported_media")


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_decoded(
    service: RunningService, ramp: Path, expected: list[dict[str, Any]], encoding: str, compress: Any
) -> None:
    encoded = {"Content-Encoding": encoding}
    post = service.client.post
    assert probabilities(post("/predict", content=form(ramp.read_bytes()), headers=FORM)) == expected
    assert (
        probabilities(post("/predict", content=compress(form(ramp.read_bytes())), headers=FORM | encoded)) == expected
    )
    assert probabilities(post("/predict", content=compress(ramp.read_bytes()), headers=encoded)) == expected
    damaged = post("/predict", content=ramp.read_bytes(), headers=encoded)
    assert (damaged.status_code, damaged.json()["code"]) == (400, "malformed_request")
    assert encoding in damaged.json()["detail"]
    bomb = post("/predict", content=compress(bytes(50 << 20)), headers=encoded)
    assert (bomb.status_code, bomb.json()["code"]) == (413, "upload_too_large")


def test_another_encoding_is_refused_with_the_supported_ones(service: RunningService, ramp: Path) -> None:
    for path in ("/predict", "/validate", "/jobs"):
        for encoding in ("br", "zstd", "gzip, gzip"):
            refused = service.client.post(path, content=ramp.read_bytes(), headers={"Content-Encoding": encoding})
            assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_encoding")
            assert refused.headers["accept-encoding"] == "gzip, deflate"
