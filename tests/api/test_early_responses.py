"""A response that is sent before the request's body has arrived reaches every client, and in its turn."""

import asyncio
import contextlib
import http.client
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from service.api.bounded_protocol import BoundedProtocol
from service.connections.connections import Connections
from service.connections.settings import ConnectionSettings
from tests.support.protocol_server import serving
from tests.support.proxies import haproxy, nginx, require_program

pytestmark = pytest.mark.slow

BODY_BYTES = 20 << 20
NUM_TRIES = 5


async def refuse(scope: Scope, _receive: Receive, send: Send) -> None:
    """Respond without reading the body."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 429, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"no"})


def with_server(use: Callable[[int], Any]) -> Any:
    """The result of `use`, which runs in a thread and gets the port of a server that refuses."""

    async def scenario() -> Any:
        async with serving(refuse) as port:
            return await asyncio.to_thread(use, port)

    return uvloop.run(scenario())


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_that_closes_and_reads_after_its_whole_body_sees_the_refusal(version: str) -> None:
    def post(port: int) -> list[int]:
        statuses = []
        for _ in range(NUM_TRIES):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection._http_vsn_str = f"HTTP/{version}"  # type: ignore[attr-defined] # noqa: SLF001
            connection.request("POST", "/", body=bytes(BODY_BYTES), headers={"Connection": "close"})
            statuses.append(connection.getresponse().status)
            connection.close()
        return statuses

    assert with_server(post) == [429] * NUM_TRIES


@pytest.mark.parametrize(
    "settings", ["", "proxy_request_buffering off;", 'proxy_http_version 1.1; proxy_set_header Connection "";']
)
def test_nginx_passes_the_refusal_on(tmp_path: Path, settings: str) -> None:
    def post(port: int) -> list[str]:
        with nginx(tmp_path, f"location / {{ proxy_pass http://127.0.0.1:{port}; {settings} }}") as proxy_port:
            return _statuses(tmp_path, proxy_port)

    assert with_server(post) == ["429"] * NUM_TRIES


@pytest.mark.parametrize("settings", ["http-reuse always", "option httpclose"])
def test_haproxy_passes_the_refusal_on(tmp_path: Path, settings: str) -> None:
    def post(port: int) -> list[str]:
        with haproxy(tmp_path, settings, port) as proxy_port:
            return _statuses(tmp_path, proxy_port)

    assert with_server(post) == ["429"] * NUM_TRIES


def _statuses(directory: Path, port: int) -> list[str]:
    (directory / "upload").write_bytes(bytes(BODY_BYTES))
    command = [
        require_program("curl"),
        "--silent",
        "--max-time",
        "60",
        "-H",
        "Expect:",
        "-o",
        str(directory / "response"),
    ]
    command += ["-w", "%{http_code}", "--data-binary", f"@{directory}/upload", f"http://127.0.0.1:{port}/"]
    return [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(NUM_TRIES)]


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000000000\r\n\r\n"


@pytest.mark.parametrize(("chunk_bytes", "wait_seconds"), [(65536, 0.0), (1, 0.05), (0, 0.05)])
def test_a_connection_that_ends_is_closed_at_its_limit_of_bytes_of_time_and_of_a_pause(
    chunk_bytes: int, wait_seconds: float
) -> None:
    is_lost = asyncio.Event()

    class Watched(BoundedProtocol):
        max_rest_pause_seconds = 0.2

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            is_lost.set()

    async def scenario() -> bytes:
        connections = Connections(ConnectionSettings(linger_bytes=1 << 20, linger_seconds=1))
        async with serving(refuse, partial(Watched, connections_of_all=connections)) as port, asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD)
            received = await reader.read()
            with contextlib.suppress(ConnectionError):
                while not is_lost.is_set():
                    writer.write(bytes(chunk_bytes))
                    await writer.drain()
                    await asyncio.sleep(wait_seconds)
            await is_lost.wait()
            writer.close()
            return received

    assert uvloop.run(scenario()).startswith(b"HTTP/1.1 429 ")


class Held:
    """An application that responds when the test allows it."""

    def __init__(self) -> None:
        self.has_received, self.has_begun, self.may_respond = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.messages: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, wait, and respond with the path."""
        assert scope["type"] == "http"
        while True:
            message = await receive()
            self.messages.append(message["type"])
            self.has_received.set()
            if message["type"] == "http.disconnect":
                return
            if not message.get("more_body", False):
                break
        self.has_begun.set()
        await self.may_respond.wait()
        path = scope["path"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(path))]})
        await send({"type": "http.response.body", "body": path})


GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /bad HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("malformed", [b"NO HTTP\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", CHUNKED + b"zz\r\n"])
def test_malformed_bytes_are_refused_after_the_responses_to_the_requests_before_them(malformed: bytes) -> None:
    async def scenario() -> list[bytes]:
        app = Held()
        async with serving(app) as port, asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET % b"one" + GET % b"two" + malformed + GET % b"three")
            await app.has_begun.wait()
            app.may_respond.set()
            received = await reader.read()
            writer.close()
            return re.findall(rb"HTTP/1.1 (\d+)", received)

    assert uvloop.run(scenario()) == [b"200", b"200", b"400"]


def test_a_malformed_body_ends_its_request_and_is_refused() -> None:
    async def scenario() -> tuple[bytes, list[str]]:
        app = Held()
        async with serving(app) as port, asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(CHUNKED + b"1\r\nx\r\n")
            await app.has_received.wait()
            writer.write(b"zz\r\n")
            received = await reader.read()
            writer.close()
            return received, app.messages

    received, messages = uvloop.run(scenario())
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1") == 1
    assert messages[-1] == "http.disconnect"


def test_a_request_is_told_that_its_client_left_even_if_another_request_follows_it() -> None:
    is_told = asyncio.Event()

    async def wait_for_disconnect(scope: Scope, receive: Receive, _send: Send) -> None:
        assert scope["type"] == "http"
        while (await receive())["type"] != "http.disconnect":
            pass
        is_told.set()

    async def scenario() -> None:
        async with serving(wait_for_disconnect) as port, asyncio.timeout(60):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET % b"one" + GET % b"two")
            await writer.drain()
            writer.close()
            await is_told.wait()

    uvloop.run(scenario())
