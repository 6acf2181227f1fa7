"""Malicious requests: each gets a documented refusal, and the service goes on."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.support.running_service import RunningService

pytestmark = pytest.mark.tensorflow

FORM = "Content-Type: multipart/form-data; boundary=b"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="video"; filename="v"\r\n\r\n'


@pytest.fixture(autouse=True)
def _service_stays_ready(shared_service: RunningService) -> Iterator[None]:
    yield
    assert shared_service.client.get("/health").json()["state"] == "ready"


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    """Check that the response is this problem, and that it is short."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.content) < 5000


def exchange(service: RunningService, sent: bytes, *, until: bytes | None = None) -> bytes:
    """Send bytes; return the bytes received up to `until` or the end of the connection, b"" if there are none."""
    url = httpx.URL(service.url)
    received = b""
    with socket.create_connection((url.host, url.port or 80), timeout=60) as connection:
        try:
            connection.sendall(sent)
            while (until is None or until not in received) and (chunk := connection.recv(65536)):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    return received


def request_head(method: str, path: str, *headers: str) -> bytes:
    """Return the head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    "name", ["..%2F..%2Fetc%2Fpasswd", "%2e%2e", "..%5C..", "grey%00", "%ff%fe", "grey%2F..%2Fgrey", "x" * 5000, "%0a"]
)
def test_a_model_name_in_the_path_reaches_no_other_file(shared_service: RunningService, name: str) -> None:
    get = shared_service.client.get
    for response in (get(f"/models/{name}"), get(f"/models/grey/versions/{name}"), get(f"/models/{name}/versions/1")):
        assert response.status_code == 404
        assert response.json()["code"] in ("unknown_model", "not_found")
        assert len(response.content) < 12_000
    assert get(f"/v2/models/{name}").status_code == 404
    assert list(get(f"/v2/models/{name}").json()) == ["error"]


@pytest.mark.parametrize("model", ["../grey", "grey/../grey", "grey\x00", "\udcff", " grey", "grey/1"])
def test_a_model_name_in_the_query_reaches_no_other_file(shared_service: RunningService, model: str) -> None:
    query = httpx.QueryParams({"model": model.encode(errors="surrogateescape").decode("latin-1")})
    assert_problem(shared_service.client.post("/predict", files={"video": b"x"}, params=query), 404, "unknown_model")


def test_a_query_of_thousands_of_parameters_gets_a_short_problem(shared_service: RunningService) -> None:
    query = "&".join(f"p{number}=1" for number in range(5000))
    assert_problem(shared_service.client.post(f"/predict?{query}", files={"video": b"x"}), 422, "invalid_parameter")
    long = "m" * 50_000
    assert_problem(
        shared_service.client.post(f"/predict?model={long}", files={"video": b"x"}), 422, "invalid_parameter"
    )


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/predict?model=grey&model=grey", "model"),
        ("POST", "/predict?threshold=0.1&top_k=1&threshold=0.9", "threshold"),
        ("POST", "/validate?version=1&version=2", "version"),
        ("POST", "/predict?%6dodel=grey&model=other", "model"),
        ("GET", "/models?name=grey", "name"),
        ("GET", "/models/grey?version=1", "version"),
        ("GET", "/capabilities?all", "all"),
        ("GET", "/metrics?name=process", "name"),
    ],
)
def test_an_unknown_or_repeated_parameter_is_refused_by_name(
    shared_service: RunningService, method: str, path: str, name: str
) -> None:
    response = shared_service.client.request(method, path, files={"video": b"x"} if method == "POST" else None)
    assert_problem(response, 422, "invalid_parameter")
    assert f"{name}: " in response.json()["detail"]


def test_health_probes_may_have_any_query(shared_service: RunningService) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/v2/health/ready", "/v2/models/grey/ready"):
        assert shared_service.client.get(f"{path}?probe=1&probe=2").status_code == 200


def test_a_repeated_header_of_the_api_is_refused(shared_service: RunningService) -> None:
    name = "Inference-Header-Content-Length"
    for path in ("/v2/models/grey/infer", "/v2/models/grey/versions/1/infer"):
        response = shared_service.client.post(path, content=b"{}", headers=[(name, "1"), (name, "2")])
        assert (response.status_code, list(response.json())) == (422, ["error"])
        assert name in response.json()["error"]


def test_an_oversized_query_ends_the_connection(shared_service: RunningService) -> None:
    response = exchange(shared_service, request_head("GET", "/models?" + "x" * 300_000))
    assert response == b"" or response.startswith(b"HTTP/1.1 400 ")


def test_too_many_headers_end_the_connection(shared_service: RunningService) -> None:
    response = exchange(shared_service, request_head("GET", "/models", *(f"X-{number}: y" for number in range(50_000))))
    assert response == b"" or response.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: -1",),
        ("Content-Length: many",),
        ("Content-Length: 99999999999999999999999999",),
        ("Transfer-Encoding: chunked, identity",),
        ("X-Nul: a\x00b",),
        (" folded: header",),
    ],
)
def test_an_ambiguous_head_is_refused(shared_service: RunningService, headers: tuple[str, ...]) -> None:
    """The bytes after it are never read as a second request (request smuggling)."""
    smuggled = request_head("GET", "/health/live")
    head = request_head("POST", "/predict", FORM, *headers)
    response = exchange(shared_service, head + b"0\r\n\r\n" + smuggled)
    assert response == b"" or response.startswith(b"HTTP/1.1 400 "), response
    assert b'"live"' not in response


def test_an_invalid_chunk_ends_the_connection(shared_service: RunningService) -> None:
    head = request_head("POST", "/predict", FORM, "Transfer-Encoding: chunked")
    for chunks in (b"zz\r\nx\r\n", b"-1\r\nx\r\n", b"1\r\nxyz\r\n", b"ffffffffffffffffff\r\nx\r\n"):
        response = exchange(shared_service, head + chunks)
        assert response == b"" or response.startswith(b"HTTP/1.1 4"), response


def test_a_content_length_above_the_limit_is_refused_before_the_body(shared_service: RunningService) -> None:
    head = request_head("POST", "/predict", FORM, "Content-Length: 99999999999")
    assert exchange(shared_service, head, until=b"upload_too_large").startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("disposition", "status", "code"),
    [
        (b'form-data; name="\xff\xfe"', 422, "invalid_parameter"),
        (b'form-data; name="v\xc3\xadd\xc3\xa9o"', 422, "invalid_parameter"),
        (b'form-data; name="video\x00"', 422, "invalid_parameter"),
        (b'form-data; name=""', 422, "invalid_parameter"),
        (b"form-data; name*=utf-8''%ff", 400, "malformed_request"),
        (b"attachment", 400, "malformed_request"),
        (b"\xff" * 500, 400, "malformed_request"),
        (b'form-data; name="video"; filename="../../../etc/\xff.mp4"', 415, "unsupported_media"),
        (b'form-data; name="video"; filename="' + b"x" * 2000 + b'"', 415, "unsupported_media"),
    ],
)
def test_names_of_arbitrary_bytes_get_the_right_problem(
    shared_service: RunningService, disposition: bytes, status: int, code: str
) -> None:
    body = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\nno video\r\n--b--\r\n"
    assert_problem(shared_service.client.post("/predict", content=body, headers=MULTIPART), status, code)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="',
        "multipart/form-data; boundary=other",
        "multipart/form-data; boundary=b; boundary=other",
        "multipart/form-data; boundary=\xff",
        "multipart/mixed; boundary=b",
        "application/x-www-form-urlencoded",
        "application/json",
        "text/plain",
        "x" * 5000,
    ],
)
def test_a_content_type_that_does_not_match_the_body_is_malformed(
    shared_service: RunningService, content_type: str
) -> None:
    headers = [(b"Content-Type", content_type.encode("latin-1"))]
    body = PART + b"no video\r\n--b--\r\n"
    response = shared_service.client.post("/predict", content=body, headers=headers)
    # If one of two boundaries matches the body, the body has a part that is not a video.
    assert response.status_code in (400, 415), response.text
    assert response.json()["code"] in ("malformed_request", "unsupported_media")


def test_a_form_of_thousands_of_parts_is_refused_at_the_second(shared_service: RunningService) -> None:
    body = (PART + b"x\r\n") * 10_000 + b"--b--\r\n"
    assert_problem(shared_service.client.post("/predict", content=body, headers=MULTIPART), 400, "malformed_request")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"url": ' + b"[" * 10_000, 400, "malformed_request"),
        (b'{"url": "' + b"x" * 20_000 + b'"}', 413, "upload_too_large"),
        (b'{"url": "\\ud800"}', 400, "malformed_request"),
        (b'{"url": "https://\\u0000/"}', 400, "malformed_request"),
        (b'{"url": "https://' + b"a." * 200 + b'"}', 403, "url_not_allowed"),
        (b'{"url": "https://127.0.0.1/", "url": "https://localhost/"}', 403, "url_not_allowed"),
        (b'{"url": "https://localhost/", "' + b"x" * 9000 + b'": 1}', 422, "invalid_parameter"),
    ],
)
def test_malicious_json_instead_of_a_video_is_refused(
    shared_service: RunningService, body: bytes, status: int, code: str
) -> None:
    headers = {"Content-Type": "application/json"}
    assert_problem(shared_service.client.post("/predict", content=body, headers=headers), status, code)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "PUT", "PATCH", "HEAD"])
def test_unsupported_methods_are_refused(shared_service: RunningService, method: str) -> None:
    response = exchange(shared_service, request_head(method, "/predict", "Connection: close"))
    assert response.startswith((b"HTTP/1.1 405 ", b"HTTP/1.1 400 ")), response


def test_a_path_of_arbitrary_bytes_is_not_found(shared_service: RunningService) -> None:
    for path in ("/%00", "/%ff", "/..%2f..%2fetc/passwd", "//predict", "/" + "a/" * 5000, "/page/..%2fapp.py"):
        response = exchange(shared_service, request_head("GET", path, "Connection: close"))
        assert response.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 307 ")), (path, response[:200])


def test_a_request_id_with_unsafe_characters_is_replaced(shared_service: RunningService) -> None:
    for offered in ("a\tb", "x" * 129, "<script>", "\xe9", ""):
        headers = [(b"X-Request-Id", offered.encode("latin-1")), (b"traceparent", b"00-" + b"z" * 60)]
        request_id = shared_service.client.get("/health", headers=headers).headers["x-request-id"]
        assert request_id != offered
        assert len(request_id) == 32
