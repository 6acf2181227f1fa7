"""Fetching a video by its URL: from a real server, and from a public internet that is played."""

import asyncio
import gzip
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from service.egress import UrlNotAllowed
from service.uploads.errors import MalformedRequest, UnknownField, UploadTooLarge, UrlTooSlow, UrlUnreachable
from service.uploads.from_url import UrlInput
from service.uploads.receive import ReceivedVideo
from service.uploads.settings import UploadSettings
from tests.support.file_server import Answer, FileServer, Visit, file_server

LIMITS = UploadSettings(max_upload_bytes=100_000, upload_idle_timeout_seconds=20, upload_timeout_seconds=30)
# What a test waits for passes within these.
HASTY = UploadSettings(max_upload_bytes=100_000, upload_idle_timeout_seconds=0.3, upload_timeout_seconds=0.6)
CONTENT = bytes(range(256)) * 200


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A server whose host is allowed."""
    with file_server() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the video goes."""
    return tmp_path / "video"


async def receive_body(urls: UrlInput, body: bytes, path: Path) -> ReceivedVideo:
    """What comes of a body of JSON."""

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:7]
        yield body[7:]

    try:
        return await urls.receive(chunks(), path)
    finally:
        await urls.close()


def url_input(hosts: list[str], limits: UploadSettings = LIMITS, *, private: bool = True) -> UrlInput:
    return UrlInput(limits.model_copy(update={"url_allowed_hosts": tuple(hosts), "url_private_allowed": private}))


def fetch(url: str, path: Path, hosts: list[str], limits: UploadSettings = LIMITS, *, private: bool = True) -> bytes:
    """What lies in `path` after the video was fetched."""
    urls = url_input(hosts, limits, private=private)
    received = asyncio.run(receive_body(urls, json.dumps({"url": url}).encode(), path))
    content = path.read_bytes()
    assert received == ReceivedVideo(path, len(content), hashlib.sha256(content).hexdigest())
    return content


def test_the_file_holds_just_what_the_server_has(server: FileServer, path: Path) -> None:
    assert fetch(server.put_file("/clip.mp4?token=a%20b", CONTENT), path, [server.host]) == CONTENT
    assert server.paths == ["/clip.mp4?token=a%20b"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"url": 1}', b'{"url": "http://a:b/"}', b"\xff" * 9])
def test_a_body_that_tells_no_url_is_malformed(body: bytes, path: Path) -> None:
    with pytest.raises(MalformedRequest):
        asyncio.run(receive_body(UrlInput(LIMITS), body, path))


def test_an_unknown_field_beside_the_url_is_named(path: Path) -> None:
    body = b'{"url": "https://a.example/", "uri": "x"}'
    with pytest.raises(UnknownField, match="uri"):
        asyncio.run(receive_body(UrlInput(LIMITS), body, path))


def test_a_body_of_megabytes_is_no_url(path: Path) -> None:
    with pytest.raises(UploadTooLarge):
        asyncio.run(receive_body(UrlInput(LIMITS), b" " * 20_000, path))


@pytest.mark.parametrize(
    "url", ["https://a.example/", "file:///etc/passwd", "ftp://a.example/", "clip.mp4", "//a.example/", "http:///"]
)
def test_without_allowed_hosts_no_url_is_asked(url: str, path: Path) -> None:
    with pytest.raises(UrlNotAllowed):
        fetch(url, path, [], private=False)


def test_redirects_are_followed_as_far_as_they_lead_to_allowed_hosts(server: FileServer, path: Path) -> None:
    server.put_file("/clip.mp4", CONTENT)
    for number, status in enumerate((301, 302, 303, 307, 308)):
        server.put_redirect(f"/{number + 1}", "/clip.mp4" if number == 0 else f"http://{server.host}/{number}", status)
    assert fetch(f"http://{server.host}/5", path, [server.host]) == CONTENT
    assert server.paths == ["/5", "/4", "/3", "/2", "/1", "/clip.mp4"]


def test_redirects_that_go_on_and_on_end(server: FileServer, path: Path) -> None:
    url = server.put_redirect("/round", "/round")
    with pytest.raises(UrlUnreachable, match="5 redirects"):
        fetch(url, path, [server.host])
    assert len(server.paths) == 6


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2/",
        "http://localhost/",
        "http://169.254.169.254/latest/",
        "file:///etc/passwd",
        "//evil.example/",
    ],
)
def test_a_redirect_to_a_host_that_is_not_allowed_is_not_followed(
    server: FileServer, path: Path, location: str
) -> None:
    with pytest.raises(UrlNotAllowed):
        fetch(server.put_redirect("/away", location), path, [server.host])


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> list[httpx.URL]:
    """A public internet of three hosts, one of whose names is given an address of ours at the second asking.

    Holds what was asked of it, at the addresses it was asked at.
    """
    asked: list[httpx.URL] = []
    names = {"cdn.example": [["1.1.1.1"]], "inside.example": [["10.0.0.1"]], "rebound.example": [["1.1.1.1"], ["::1"]]}

    def getaddrinfo(host: str, port: int | None, *_: object, **__: object) -> list[tuple[object, ...]]:
        answers = names[host]
        address = (answers.pop(0) if len(answers) > 1 else answers[0])[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        if request.url.path == "/clip.mp4":
            return httpx.Response(200, stream=httpx.ByteStream(CONTENT))
        return httpx.Response(302, headers={"Location": f"https:/{request.url.path}/clip.mp4"})

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(httpx, "AsyncHTTPTransport", lambda **_: httpx.MockTransport(answer))
    return asked


HOSTS = ["cdn.example", "inside.example", "rebound.example"]


def test_a_redirect_to_a_public_address_is_followed(internet: list[httpx.URL], path: Path) -> None:
    assert fetch("https://rebound.example/cdn.example", path, HOSTS, private=False) == CONTENT
    assert internet == ["https://1.1.1.1/cdn.example", "https://1.1.1.1/clip.mp4"]


def test_a_redirect_to_a_private_address_is_refused_though_its_host_is_allowed(
    internet: list[httpx.URL], path: Path
) -> None:
    with pytest.raises(UrlNotAllowed, match="public internet"):
        fetch("https://cdn.example/inside.example", path, HOSTS, private=False)
    assert internet == ["https://1.1.1.1/inside.example"]


def test_a_name_that_was_public_when_first_asked_and_is_private_now_is_refused(
    internet: list[httpx.URL], path: Path
) -> None:
    with pytest.raises(UrlNotAllowed, match="public internet"):
        fetch("https://rebound.example/rebound.example", path, HOSTS, private=False)
    assert internet == ["https://1.1.1.1/rebound.example"]


def test_a_redirect_away_from_tls_is_refused(internet: list[httpx.URL], path: Path) -> None:
    with pytest.raises(UrlNotAllowed, match="https"):
        fetch("http://cdn.example/clip.mp4", path, HOSTS, private=False)
    assert internet == []


def test_a_body_that_does_not_end_is_cut_off_at_the_limit(server: FileServer, path: Path) -> None:
    url = server.put("/endless", lambda visit: visit.send_until_cut_off(b"x" * 10_000))
    with pytest.raises(UploadTooLarge, match="100000 bytes"):
        fetch(url, path, [server.host])
    assert path.stat().st_size <= LIMITS.max_upload_bytes


def test_a_body_that_announces_too_much_is_not_read(server: FileServer, path: Path) -> None:
    url = server.put("/huge", lambda visit: visit.send_head(200, Content_Length=LIMITS.max_upload_bytes + 1))
    with pytest.raises(UploadTooLarge):
        fetch(url, path, [server.host])


def hang(visit: Visit) -> None:
    """Say nothing until the test is over."""
    visit.server.is_over.wait()


def pause(visit: Visit) -> None:
    """Begin to answer, and go no further."""
    visit.send_head(200, Content_Length=1000)
    visit.wfile.write(b"x")
    visit.server.is_over.wait()


def drip(visit: Visit) -> None:
    """Answer without a pause, and without an end."""
    visit.send_until_cut_off(b"x", pause_seconds=0.05)


@pytest.mark.parametrize("slow", [hang, pause, drip])
def test_a_server_that_takes_too_long_is_left(server: FileServer, path: Path, slow: Answer) -> None:
    with pytest.raises(UrlTooSlow):
        fetch(server.put("/slow", slow), path, [server.host], HASTY)


def broken_off(visit: Visit) -> None:
    """Send less than announced."""
    visit.send_head(200, Content_Length=1000)
    visit.wfile.write(b"x" * 500)
    visit.close_connection = True


def broken_chunk(visit: Visit) -> None:
    """Send a chunk whose length is none."""
    visit.send_head(200, Transfer_Encoding="chunked")
    visit.wfile.write(b"many\r\nxxxx\r\n")
    visit.close_connection = True


def compressed(visit: Visit) -> None:
    """Send a small body that grows."""
    body = gzip.compress(bytes(10_000_000))
    visit.send_head(200, Content_Encoding="gzip", Content_Length=len(body))
    visit.wfile.write(body)


def no_http(visit: Visit) -> None:
    """Speak another language."""
    visit.wfile.write(b"220 mail.example ESMTP\r\n")
    visit.close_connection = True


def endless_head(visit: Visit) -> None:
    """Send a head that goes on and on."""
    visit.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    try:
        while not visit.server.is_over.is_set():
            visit.wfile.write(b"x" * 10_000)
    except OSError:
        visit.server.is_cut_off.set()


@pytest.mark.parametrize("broken", [broken_off, broken_chunk, compressed, no_http, endless_head])
def test_an_answer_that_is_no_whole_file_is_none(server: FileServer, path: Path, broken: Answer) -> None:
    with pytest.raises(UrlUnreachable):
        fetch(server.put("/broken", broken), path, [server.host])


@pytest.mark.parametrize("status", [204, 206, 304, 401, 404, 500])
def test_a_status_that_is_not_200_is_told(server: FileServer, path: Path, status: int) -> None:
    url = server.put("/refused", lambda visit: visit.send_head(status, Content_Length=0))
    with pytest.raises(UrlUnreachable, match=str(status)):
        fetch(url, path, [server.host])


def test_a_server_that_is_not_there_is_unreachable(path: Path) -> None:
    with file_server() as gone:
        host = gone.host
    with pytest.raises(UrlUnreachable):
        fetch(f"http://{host}/clip.mp4", path, [host])


def test_a_caller_who_leaves_ends_the_fetch(server: FileServer, path: Path) -> None:
    async def story() -> None:
        urls = url_input([server.host])
        body = json.dumps({"url": server.put("/slow", drip)}).encode()
        task = asyncio.create_task(receive_body(urls, body, path))
        assert await asyncio.to_thread(server.is_asked.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.is_cut_off.wait, 60)

    asyncio.run(story())
