"""Asking other servers: real sockets on this machine, real certificates, and a resolver that lies."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from service.egress import UrlNotAllowed, async_client, is_public

NAME = "videos.example"


class Server:
    """Answers each request with its own head, and remembers it."""

    def __init__(self) -> None:
        self.port = 0
        self.heads: list[str] = []
        self.num_connections = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection for as long as the client keeps it."""
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
    listener = await asyncio.start_server(server.answer, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


class Resolver:
    """Answers in place of the system's resolver: each question with the next of its answers, the last for good."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.num_questions = 0

    def getaddrinfo(self, host: str, port: int | None, *_: object, **__: object) -> list[tuple[object, ...]]:
        """As `socket.getaddrinfo`."""
        try:
            # What is an address already needs no resolver.
            addresses = [host] if host[0].isdigit() or ":" in host else []
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        except OSError:
            self.num_questions += 1
            addresses = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port or 0, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))
            for address in addresses
        ]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Resolver]]:
    """Puts a resolver of the test's own in the place of the system's."""

    class Installed(Resolver):
        def __init__(self, *answers: list[str]) -> None:
            super().__init__(*answers)
            monkeypatch.setattr(socket, "getaddrinfo", self.getaddrinfo)

    return Installed  # type: ignore[return-value]


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "192.1.0.1"],
)
def test_an_address_of_the_public_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),  # noqa: S104
        *("169.254.169.254", "100.64.0.1", "100.100.100.200", "198.18.0.1", "192.0.2.1", "192.0.0.1"),
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:168.63.129.16", "::127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:101:101::"),
        *("2001::1", "2001:db8::1", "3fff::1", "5f00::1", "100::1"),
    ],
)
def test_any_other_address_is_not(address: str) -> None:
    assert not is_public(address)


def ask(url: str, allowed_hosts: list[str], *, is_private_allowed: bool = False) -> httpx.Response:
    """GET the URL."""

    async def get() -> httpx.Response:
        async with async_client(allowed_hosts, is_private_allowed=is_private_allowed) as client:
            return await client.get(url)

    return asyncio.run(get())


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
def test_what_is_not_on_the_list_is_not_even_resolved(
    resolve: type[Resolver], url: str, allowed_hosts: list[str]
) -> None:
    resolver = resolve(["1.1.1.1"])
    with pytest.raises((UrlNotAllowed, httpx.UnsupportedProtocol)):
        ask(url, allowed_hosts)
    assert resolver.num_questions == 0


@pytest.mark.parametrize("entry", ["", "https://a.example", "a/b", "u@a", "a?b", "*.a.example", "::1", "a b", "a:b"])
def test_an_entry_that_is_no_host_is_refused_at_once(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        async_client([entry], is_private_allowed=False)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["169.254.169.254"], ["::1"], ["1.1.1.1", "10.0.0.1"], ["::ffff:127.0.0.1"]]
)
def test_a_name_with_any_private_address_is_refused(resolve: type[Resolver], addresses: list[str]) -> None:
    resolve(addresses)
    with pytest.raises(UrlNotAllowed) as refused:
        ask(f"https://{NAME}/", [NAME])
    assert not any(address in str(refused.value) for address in addresses)


def test_an_address_in_the_url_is_judged_like_any_other() -> None:
    for host in ("127.0.0.1", "[::1]", "[::ffff:7f00:1]", "2130706433", "0x7f.1"):
        with pytest.raises(UrlNotAllowed):
            ask(f"https://{host}/", [host])


def test_the_connection_goes_to_the_address_that_was_judged_and_the_name_is_not_asked_for_again(
    resolve: type[Resolver],
) -> None:
    """A name that has one address when it is judged and another when it is connected to."""
    resolver = resolve(["127.0.0.1"], ["203.0.113.1"])

    async def story() -> None:
        async with serving() as server:
            entry = f"{NAME}:{server.port}"
            async with async_client([entry], is_private_allowed=True) as client:
                answer = await client.get(f"http://{entry}/clip?x=1")
            assert answer.text == server.heads[0]
            assert server.heads[0].startswith("GET /clip?x=1 HTTP/1.1\r\n")
            assert f"Host: {entry}\r\n" in server.heads[0]
            assert str(answer.url) == f"http://{entry}/clip?x=1"

    asyncio.run(story())
    assert resolver.num_questions == 1


def test_every_request_is_judged_anew_and_none_carries_what_another_was_given(resolve: type[Resolver]) -> None:
    resolver = resolve(["127.0.0.1"])

    async def story() -> None:
        async with serving() as server:
            entry = f"{NAME}:{server.port}"
            async with async_client([entry], is_private_allowed=True) as client:
                for _ in range(3):
                    # A redirect is an answer like any other.
                    assert (await client.get(f"http://{entry}/")).status_code == httpx.codes.FOUND
            assert server.num_connections == 3
            assert not any("cookie" in head.lower() for head in server.heads)
            assert all("Accept-Encoding: identity" in head for head in server.heads)

    asyncio.run(story())
    assert resolver.num_questions == 3


def test_an_address_that_does_not_answer_is_followed_by_the_next(resolve: type[Resolver]) -> None:
    async def story() -> None:
        async with serving() as server:
            # Nobody listens at that port of the first.
            resolve(["127.0.0.2", "127.0.0.1"])
            entry = f"{NAME}:{server.port}"
            async with async_client([entry], is_private_allowed=True) as client:
                assert (await client.get(f"http://{entry}/")).text == server.heads[0]

    asyncio.run(story())


def test_a_host_that_is_not_there_is_a_connect_error(resolve: type[Resolver]) -> None:
    resolve([])
    with pytest.raises(httpx.ConnectError):
        ask(f"https://{NAME}/", [NAME])
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        entry = f"127.0.0.1:{unheard.getsockname()[1]}"
        with pytest.raises(httpx.ConnectError):
            ask(f"http://{entry}/", [entry], is_private_allowed=True)


def test_proxies_of_the_environment_are_passed_over(resolve: type[Resolver], monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(["127.0.0.1"])
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def story() -> None:
        async with serving() as server:
            entry = f"{NAME}:{server.port}"
            async with async_client([entry], is_private_allowed=True) as client:
                assert (await client.get(f"http://{entry}/")).text.startswith("GET / ")

    asyncio.run(story())


@pytest.mark.parametrize("certified", [NAME, "other.example"])
def test_the_certificate_must_be_the_hosts_though_the_connection_goes_to_an_address(
    resolve: type[Resolver], certified: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    resolve(["127.0.0.1"])
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(certified).configure_cert(tls)
    names: list[str | None] = []
    tls.sni_callback = lambda _connection, name, _context: names.append(name)

    async def story() -> None:
        async with serving(tls) as server:
            entry = f"{NAME}:{server.port}"
            async with async_client([entry], is_private_allowed=True) as client:
                if certified != NAME:
                    with pytest.raises(httpx.ConnectError, match="not valid for"):
                        await client.get(f"https://{entry}/")
                    assert server.heads == []
                else:
                    assert (await client.get(f"https://{entry}/")).text == server.heads[0]

    asyncio.run(story())
    assert names == [NAME]
