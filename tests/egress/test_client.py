"""The egress client: real sockets on this machine, real certificates, and a fake resolver."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from service.egress.client import Resolve, async_client
from service.egress.errors import UrlNotAllowed
from service.egress.resolver import resolve_host

NAME = "videos.example"


class Server:
    """Responds to each request with a redirect whose body is the head of the request, and keeps the heads."""

    def __init__(self) -> None:
        self.port = 0
        self.heads: list[str] = []
        self.num_connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client closes it."""
        self.num_connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head.decode())
                location = b"Location: http://localhost/elsewhere\r\nSet-Cookie: crumb=1\r\n"
                writer.write(b"HTTP/1.1 302 Found\r\n" + location + b"Content-Length: %d\r\n\r\n" % len(head) + head)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server on a free port of 127.0.0.1."""
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


class FakeResolver:
    """Resolves every name to the next of `answers`, the last one repeatedly; no addresses means an unknown name."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.num_calls = 0

    async def resolve(self, _host: str, _port: int | None) -> list[str]:
        """The addresses of a name."""
        self.num_calls += 1
        addresses = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return addresses


LOCALHOST = ["127.0.0.1"]


def get(
    url: str, allowed_hosts: list[str], *, is_private_allowed: bool = False, resolve: Resolve = resolve_host
) -> httpx.Response:
    """Request a URL."""

    async def request() -> httpx.Response:
        async with async_client(allowed_hosts, is_private_allowed=is_private_allowed, resolve=resolve) as client:
            return await client.get(url)

    return asyncio.run(request())


def local_client(entry: str, *addresses: str) -> httpx.AsyncClient:
    """A client for the allowed host `entry`, which resolves to these addresses of this machine."""
    resolver = FakeResolver(list(addresses) or LOCALHOST)
    return async_client([entry], is_private_allowed=True, resolve=resolver.resolve)


@pytest.mark.parametrize(
    ("url", "allowed_hosts"),
    [
        (f"https://{NAME}/", []),
        (f"https://{NAME}/", ["other.example"]),
        (f"https://sub.{NAME}/", [NAME]),
        (f"https://{NAME}.evil.example/", [NAME]),
        (f"https://{NAME}./", [NAME]),
        (f"https://{NAME}:8443/", [NAME]),
        (f"https://{NAME}/", [f"{NAME}:8443"]),
        (f"https://someone@{NAME}/", [NAME]),
        (f"https://{NAME}@evil.example/", [NAME]),
        (f"http://{NAME}/", [NAME]),
        (f"ftp://{NAME}/", [NAME]),
    ],
)
def test_a_host_that_is_not_allowed_is_not_resolved(url: str, allowed_hosts: list[str]) -> None:
    resolver = FakeResolver(["1.1.1.1"])
    with pytest.raises((UrlNotAllowed, httpx.UnsupportedProtocol)):
        get(url, allowed_hosts, resolve=resolver.resolve)
    assert resolver.num_calls == 0


@pytest.mark.parametrize("entry", ["", "https://a.example", "a/b", "u@a", "a?b", "*.a.example", "::1", "a b", "a:b"])
def test_an_allowed_host_must_be_a_host(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        async_client([entry], is_private_allowed=False)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["169.254.169.254"], ["::1"], ["1.1.1.1", "10.0.0.1"], ["::ffff:127.0.0.1"]]
)
def test_a_host_with_any_private_address_is_rejected(addresses: list[str]) -> None:
    with pytest.raises(UrlNotAllowed) as rejected:
        get(f"https://{NAME}/", [NAME], resolve=FakeResolver(addresses).resolve)
    assert not any(address in str(rejected.value) for address in addresses)


def test_an_address_in_the_url_is_checked_too() -> None:
    for host in ("127.0.0.1", "[::1]", "[::ffff:7f00:1]", "2130706433", "0x7f.1"):
        with pytest.raises(UrlNotAllowed):
            get(f"https://{host}/", [host])


def test_the_connection_goes_to_the_checked_address_without_a_second_resolution() -> None:
    """DNS rebinding: the host has another address after the check."""
    resolver = FakeResolver(LOCALHOST, ["203.0.113.1"])

    async def scenario() -> None:
        async with serving() as server:
            entry = f"{NAME}:{server.port}"
            async with async_client([entry], is_private_allowed=True, resolve=resolver.resolve) as client:
                response = await client.get(f"http://{entry}/clip?x=1")
            assert response.text == server.heads[0]
            assert server.heads[0].startswith("GET /clip?x=1 HTTP/1.1\r\n")
            assert f"Host: {entry}\r\n" in server.heads[0]
            assert str(response.url) == f"http://{entry}/clip?x=1"

    asyncio.run(scenario())
    assert resolver.num_calls == 1


def test_every_request_is_checked_again_and_shares_no_cookie_or_connection() -> None:
    resolver = FakeResolver(LOCALHOST)

    async def scenario() -> None:
        async with serving() as server:
            entry = f"{NAME}:{server.port}"
            async with async_client([entry], is_private_allowed=True, resolve=resolver.resolve) as client:
                for _ in range(3):
                    # The client does not follow the redirect.
                    assert (await client.get(f"http://{entry}/")).status_code == httpx.codes.FOUND
            assert server.num_connections == 3
            assert not any("cookie" in head.lower() for head in server.heads)
            assert all("Accept-Encoding: identity" in head for head in server.heads)

    asyncio.run(scenario())
    assert resolver.num_calls == 3


def test_if_one_address_refuses_the_connection_the_next_is_tried() -> None:
    async def scenario() -> None:
        async with serving() as server:
            entry = f"{NAME}:{server.port}"
            # No server listens on this port of the first address.
            async with local_client(entry, "127.0.0.2", "127.0.0.1") as client:
                assert (await client.get(f"http://{entry}/")).text == server.heads[0]

    asyncio.run(scenario())


def test_an_unknown_host_and_a_closed_port_are_connect_errors() -> None:
    with pytest.raises(httpx.ConnectError):
        get(f"https://{NAME}/", [NAME], resolve=FakeResolver([]).resolve)
    with socket.socket() as closed_port:
        closed_port.bind(("127.0.0.1", 0))
        entry = f"127.0.0.1:{closed_port.getsockname()[1]}"
        with pytest.raises(httpx.ConnectError):
            get(f"http://{entry}/", [entry], is_private_allowed=True)


def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def scenario() -> None:
        async with serving() as server:
            entry = f"{NAME}:{server.port}"
            async with local_client(entry) as client:
                assert (await client.get(f"http://{entry}/")).text.startswith("GET / ")

    asyncio.run(scenario())


@pytest.mark.parametrize("certified", [NAME, "other.example"])
def test_the_certificate_must_be_that_of_the_host(
    certified: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(certified).configure_cert(tls)
    names: list[str | None] = []
    tls.sni_callback = lambda _connection, name, _context: names.append(name)

    async def scenario() -> None:
        async with serving(tls) as server:
            entry = f"{NAME}:{server.port}"
            async with local_client(entry) as client:
                if certified != NAME:
                    with pytest.raises(httpx.ConnectError, match="not valid for"):
                        await client.get(f"https://{entry}/")
                    assert server.heads == []
                else:
                    assert (await client.get(f"https://{entry}/")).text == server.heads[0]

    asyncio.run(scenario())
    assert names == [NAME]
