"""Fetching a video by URL, from a real server and from a simulated public internet."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from service.egress.errors import UrlNotAllowed
from service.uploads.errors import MalformedRequest, UnknownField, UploadTooLarge, UrlTooSlow, UrlUnreachable
from service.uploads.from_url import UrlFetcher
from service.uploads.receive import ReceivedVideo
from service.uploads.settings import UploadSettings
from tests.support.file_server import FileRequestHandler, FileServer, Responder, file_server

pytestmark = pytest.mark.slow

LIMITS = UploadSettings(max_upload_bytes=100_000, upload_idle_timeout_seconds=20, upload_timeout_seconds=30)
# Short limits, for tests that wait until they pass.
SHORT_LIMITS = UploadSettings(max_upload_bytes=100_000, upload_idle_timeout_seconds=0.3, upload_timeout_seconds=0.6)
CONTENT = bytes(range(256)) * 200


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A server whose host is allowed."""
    with file_server() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The destination of the video."""
    return tmp_path / "video"


async def receive_body(fetcher: UrlFetcher, body: bytes, path: Path) -> ReceivedVideo:
    """Fetch the video that a JSON body names."""

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:7]
        yield body[7:]

    try:
        return await fetcher.receive(chunks(), path)
    finally:
        await fetcher.close()


def url_fetcher(hosts: list[str], limits: UploadSettings = LIMITS, *, private: bool = True) -> UrlFetcher:
    return UrlFetcher(limits.model_copy(update={"url_allowed_hosts": tuple(hosts), "url_private_allowed": private}))


def fetch(url: str, path: Path, hosts: list[str], limits: UploadSettings = LIMITS, *, private: bool = True) -> bytes:
    """Fetch the video at a URL, and return its content."""
    return fetch_with(url_fetcher(hosts, limits, private=private), url, path)


def fetch_with(fetcher: UrlFetcher, url: str, path: Path) -> bytes:
    """Fetch the video at a URL with `fetcher`, and return its content."""
    received = asyncio.run(receive_body(fetcher, json.dumps({"url": url}).encode(), path))
    content = path.read_bytes()
    assert received == ReceivedVideo(path, len(content), hashlib.sha256(content).hexdigest())
    return content


def test_the_file_equals_the_file_of_the_server(server: FileServer, path: Path) -> None:
    assert fetch(server.put_file("/clip.mp4?token=a%20b", CONTENT), path, [server.host]) == CONTENT
    assert server.paths == ["/clip.mp4?token=a%20b"]


def test_a_fetched_video_is_named_after_the_path_of_its_url(server: FileServer, path: Path) -> None:
    url = server.put_file("/folder/a%20clip.mp4?token=secret", CONTENT)
    body = json.dumps({"url": url}).encode()
    assert asyncio.run(receive_body(url_fetcher([server.host]), body, path)).file_name == "a clip.mp4"


# httpx decodes the names of these URLs only when they are read, and then refuses them.
UNDECODABLE = ["https://xn--/", "https://xn--a/", "https://xn--ls8h.la/", "//xn--/clip.mp4"]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"{}", b'{"url": 1}', b'{"url": "http://a:b/"}', b"\xff" * 9),
        *(json.dumps({"url": url}).encode() for url in UNDECODABLE),
    ],
)
def test_a_body_without_a_valid_url_is_malformed(body: bytes, path: Path) -> None:
    with pytest.raises(MalformedRequest):
        asyncio.run(receive_body(UrlFetcher(LIMITS), body, path))


def test_an_unknown_field_is_named_in_the_error(path: Path) -> None:
    body = b'{"url": "https://a.example/", "uri": "x"}'
    with pytest.raises(UnknownField, match="uri"):
        asyncio.run(receive_body(UrlFetcher(LIMITS), body, path))


def test_a_body_larger_than_a_url_is_rejected(path: Path) -> None:
    with pytest.raises(UploadTooLarge):
        asyncio.run(receive_body(UrlFetcher(LIMITS), b" " * 20_000, path))


@pytest.mark.parametrize(
    "url", ["https://a.example/", "file:///etc/passwd", "ftp://a.example/", "clip.mp4", "//a.example/", "http:///"]
)
def test_without_allowed_hosts_every_url_is_rejected(url: str, path: Path) -> None:
    with pytest.raises(UrlNotAllowed):
        fetch(url, path, [], private=False)


def test_redirects_to_allowed_hosts_are_followed(server: FileServer, path: Path) -> None:
    server.put_file("/clip.mp4", CONTENT)
    for number, status in enumerate((301, 302, 303, 307, 308)):
        server.put_redirect(f"/{number + 1}", "/clip.mp4" if number == 0 else f"http://{server.host}/{number}", status)
    assert fetch(f"http://{server.host}/5", path, [server.host]) == CONTENT
    assert server.paths == ["/5", "/4", "/3", "/2", "/1", "/clip.mp4"]


def test_a_redirect_loop_ends_after_five_redirects(server: FileServer, path: Path) -> None:
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
def test_a_redirect_to_a_host_that_is_not_allowed_is_rejected(server: FileServer, path: Path, location: str) -> None:
    with pytest.raises(UrlNotAllowed):
        fetch(server.put_redirect("/away", location), path, [server.host])


@pytest.mark.parametrize("location", [*UNDECODABLE, "http://[", "http://a:b/"])
def test_a_redirect_to_no_valid_url_is_rejected(server: FileServer, path: Path, location: str) -> None:
    with pytest.raises(UrlNotAllowed):
        fetch(server.put_redirect("/away", location), path, [server.host])


class FakeInternet:
    """A public internet of three hosts; `rebound.example` resolves to a private address from the second time on.

    `requested` lists the URLs that were requested, with the addresses that they were sent to.
    """

    def __init__(self) -> None:
        self.requested: list[httpx.URL] = []
        self._addresses = {
            "cdn.example": ["1.1.1.1"],
            "inside.example": ["10.0.0.1"],
            "rebound.example": ["1.1.1.1", "::1"],
        }

    async def resolve(self, host: str, _port: int | None) -> list[str]:
        """The host's next address, the last one repeatedly."""
        addresses = self._addresses[host]
        return [addresses.pop(0) if len(addresses) > 1 else addresses[0]]

    def respond(self, request: httpx.Request) -> httpx.Response:
        """The content for `/clip.mp4`; from any other path `/HOST` a redirect to the clip of HOST."""
        self.requested.append(request.url)
        if request.url.path == "/clip.mp4":
            return httpx.Response(200, stream=httpx.ByteStream(CONTENT))
        return httpx.Response(302, headers={"Location": f"https:/{request.url.path}/clip.mp4"})

    def fetch(self, url: str, path: Path) -> bytes:
        """Fetch a URL, with all three hosts allowed."""
        settings = LIMITS.model_copy(update={"url_allowed_hosts": tuple(self._addresses)})
        fetcher = UrlFetcher(settings, resolve=self.resolve, transport=httpx.MockTransport(self.respond))
        return fetch_with(fetcher, url, path)


@pytest.fixture
def internet() -> FakeInternet:
    """A public internet without a network."""
    return FakeInternet()


def test_a_redirect_to_a_public_address_is_followed(internet: FakeInternet, path: Path) -> None:
    assert internet.fetch("https://rebound.example/cdn.example", path) == CONTENT
    assert internet.requested == ["https://1.1.1.1/cdn.example", "https://1.1.1.1/clip.mp4"]


def test_a_redirect_to_a_private_address_of_an_allowed_host_is_rejected(internet: FakeInternet, path: Path) -> None:
    with pytest.raises(UrlNotAllowed, match="public internet"):
        internet.fetch("https://cdn.example/inside.example", path)
    assert internet.requested == ["https://1.1.1.1/inside.example"]


def test_a_host_that_resolves_to_a_private_address_the_second_time_is_rejected(
    internet: FakeInternet, path: Path
) -> None:
    with pytest.raises(UrlNotAllowed, match="public internet"):
        internet.fetch("https://rebound.example/rebound.example", path)
    assert internet.requested == ["https://1.1.1.1/rebound.example"]


def test_an_http_url_is_rejected(internet: FakeInternet, path: Path) -> None:
    with pytest.raises(UrlNotAllowed, match="https"):
        internet.fetch("http://cdn.example/clip.mp4", path)
    assert internet.requested == []


def test_an_endless_file_is_cut_off_at_the_limit(server: FileServer, path: Path) -> None:
    url = server.put("/endless", lambda handler: handler.send_until_cut_off(b"x" * 10_000))
    with pytest.raises(UploadTooLarge, match="100000 bytes"):
        fetch(url, path, [server.host])
    assert path.stat().st_size <= LIMITS.max_upload_bytes


def test_a_file_that_announces_too_many_bytes_is_rejected(server: FileServer, path: Path) -> None:
    url = server.put("/huge", lambda handler: handler.send_head(200, Content_Length=LIMITS.max_upload_bytes + 1))
    with pytest.raises(UploadTooLarge):
        fetch(url, path, [server.host])


def hang(handler: FileRequestHandler) -> None:
    """Send nothing until the test is over."""
    handler.server.is_over.wait()


def pause(handler: FileRequestHandler) -> None:
    """Send the first byte of the body, then nothing."""
    handler.send_head(200, Content_Length=1000)
    handler.wfile.write(b"x")
    handler.server.is_over.wait()


def drip(handler: FileRequestHandler) -> None:
    """Send an endless body without pauses."""
    handler.send_until_cut_off(b"x", pause_seconds=0.05)


@pytest.mark.parametrize("slow", [hang, pause, drip])
def test_a_slow_server_is_a_timeout(server: FileServer, path: Path, slow: Responder) -> None:
    with pytest.raises(UrlTooSlow):
        fetch(server.put("/slow", slow), path, [server.host], SHORT_LIMITS)


def broken_off(handler: FileRequestHandler) -> None:
    """Send fewer bytes than announced."""
    handler.send_head(200, Content_Length=1000)
    handler.wfile.write(b"x" * 500)
    handler.close_connection = True


def broken_chunk(handler: FileRequestHandler) -> None:
    """Send a chunk with an invalid length."""
    handler.send_head(200, Transfer_Encoding="chunked")
    handler.wfile.write(b"many\r\nxxxx\r\n")
    handler.close_connection = True


def compressed(handler: FileRequestHandler) -> None:
    """Send a small body that decompresses to a large one."""
    body = gzip.compress(bytes(10_000_000))
    handler.send_head(200, Content_Encoding="gzip", Content_Length=len(body))
    handler.wfile.write(body)


def no_http(handler: FileRequestHandler) -> None:
    """Send a response of another protocol."""
    handler.wfile.write(b"220 mail.example ESMTP\r\n")
    handler.close_connection = True


def endless_head(handler: FileRequestHandler) -> None:
    """Send an endless header."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    try:
        while not handler.server.is_over.is_set():
            handler.wfile.write(b"x" * 10_000)
    except OSError:
        handler.server.is_cut_off.set()


@pytest.mark.parametrize("broken", [broken_off, broken_chunk, compressed, no_http, endless_head])
def test_a_broken_response_is_an_error(server: FileServer, path: Path, broken: Responder) -> None:
    with pytest.raises(UrlUnreachable):
        fetch(server.put("/broken", broken), path, [server.host])


@pytest.mark.parametrize("status", [204, 206, 304, 401, 404, 500])
def test_a_status_other_than_200_is_named_in_the_error(server: FileServer, path: Path, status: int) -> None:
    url = server.put("/refused", lambda handler: handler.send_head(status, Content_Length=0))
    with pytest.raises(UrlUnreachable, match=str(status)):
        fetch(url, path, [server.host])


def test_a_stopped_server_is_unreachable(path: Path) -> None:
    with file_server() as gone:
        host = gone.host
    with pytest.raises(UrlUnreachable):
        fetch(f"http://{host}/clip.mp4", path, [host])


def test_cancelling_ends_the_connection_to_the_server(server: FileServer, path: Path) -> None:
    async def scenario() -> None:
        fetcher = url_fetcher([server.host])
        body = json.dumps({"url": server.put("/slow", drip)}).encode()
        task = asyncio.create_task(receive_body(fetcher, body, path))
        assert await asyncio.to_thread(server.is_requested.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.is_cut_off.wait, 60)

    asyncio.run(scenario())
