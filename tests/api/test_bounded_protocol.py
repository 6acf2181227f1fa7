"""Limits of connections: an endless head, the rest of a refused body, a response that the client does not read."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.bounded_protocol import BoundedProtocol
from tests.support.protocol_server import serving

REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Impatient(BoundedProtocol):
    """A protocol with short time limits and a small limit for the rest of a body."""

    max_head_seconds = 0.2
    max_rest_seconds = 0.2
    max_rest_bytes = 1 << 20
    max_unread_seconds = 0.2


class Patient(BoundedProtocol):
    """A protocol with long time limits and a small limit for the rest of a body."""

    max_head_seconds = 600
    max_rest_seconds = 600
    max_rest_bytes = 1 << 20


async def refuse(scope: Scope, _receive: Receive, send: Send) -> None:
    """Respond without reading the body."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 429, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"no"})


@asynccontextmanager
async def connected(
    protocol: type[BoundedProtocol], app: ASGIApp = refuse
) -> AsyncIterator[Callable[[], Awaitable[Streams]]]:
    """Run a server with `app`, and yield a function that connects to it."""
    async with serving(app, protocol) as port:
        yield lambda: asyncio.open_connection("127.0.0.1", port)


def head(num_bytes: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: " + str(num_bytes).encode() + b"\r\n\r\n"


async def read_refusal(reader: asyncio.StreamReader) -> None:
    """Read one response of `refuse`."""
    assert await reader.readline() == REFUSAL
    assert (await reader.readuntil(b"\r\n\r\n")).endswith(b"\r\n\r\n")
    assert await reader.readexactly(2) == b"no"


async def send_until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunk: bytes) -> int:
    """Send `chunk` repeatedly; return the number of bytes sent before the connection was closed."""
    num_sent = 0
    with contextlib.suppress(ConnectionError):
        while not reader.at_eof():
            writer.write(chunk)
            await writer.drain()
            num_sent += len(chunk)
            await asyncio.sleep(0)
    return num_sent


def test_the_small_rest_of_a_body_is_discarded_and_the_connection_serves_the_next_request() -> None:
    async def scenario() -> None:
        async with connected(Patient) as connect:
            reader, writer = await connect()
            for _ in range(3):
                writer.write(head(500_000))
                await read_refusal(reader)
                writer.write(bytes(500_000))
            writer.write(head(0))
            await read_refusal(reader)
            writer.close()

    uvloop.run(scenario())


def test_the_connection_is_closed_at_the_size_limit_for_the_rest_of_a_body_after_the_response() -> None:
    async def scenario() -> None:
        async with connected(Patient) as connect:
            reader, writer = await connect()
            writer.write(head(1 << 40))
            await read_refusal(reader)
            # Includes the buffers of the kernel.
            assert await send_until_closed(reader, writer, bytes(65536)) < 64 << 20
            writer.close()

    uvloop.run(scenario())


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nHost: te", head(1000), head(1000) + b"x" * 10])
def test_the_connection_is_closed_at_the_time_limit_for_a_head_or_for_the_rest_of_a_body(sent: bytes) -> None:
    async def scenario() -> None:
        async with connected(Impatient) as connect:
            reader, writer = await connect()
            writer.write(sent)
            async with asyncio.timeout(60):
                response = await reader.read()
            assert response == b"" or response.startswith(REFUSAL)
            writer.close()

    uvloop.run(scenario())


def test_the_second_head_of_a_connection_has_the_same_time_limit() -> None:
    async def scenario() -> None:
        async with connected(Impatient) as connect:
            reader, writer = await connect()
            writer.write(head(0))
            await read_refusal(reader)
            writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
            async with asyncio.timeout(60):
                assert await reader.read() == b""
            writer.close()

    uvloop.run(scenario())


def test_an_empty_line_after_a_body_does_not_close_the_connection_before_a_slow_response() -> None:
    async def scenario() -> None:
        is_received, is_late, may_respond = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def respond_late(scope: Scope, receive: Receive, send: Send) -> None:
            is_received.set()
            await may_respond.wait()
            await refuse(scope, receive, send)

        class Watched(Impatient):
            def _on_deadline(self) -> None:
                super()._on_deadline()
                is_late.set()

        async with connected(Watched, respond_late) as connect, asyncio.timeout(60):
            reader, writer = await connect()
            writer.write(head(2) + b"no")
            await is_received.wait()
            writer.write(b"\r\n")
            await is_late.wait()
            may_respond.set()
            await read_refusal(reader)
            writer.close()

    uvloop.run(scenario())


RESPONSE_BYTES = 20 << 20


async def respond_with_many_bytes(scope: Scope, _receive: Receive, send: Send) -> None:
    """Respond with more bytes than the buffers between two processes hold."""
    assert scope["type"] == "http"
    length = (b"content-length", str(RESPONSE_BYTES).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": bytes(RESPONSE_BYTES)})


def test_the_connection_is_aborted_if_the_client_does_not_read_the_response() -> None:
    async def scenario() -> int:
        is_lost = asyncio.Event()

        class Watched(Impatient):
            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                is_lost.set()

        async with connected(Watched, respond_with_many_bytes) as connect:
            reader, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(60):
                await is_lost.wait()
            num_read = 0
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(1 << 16):
                    num_read += len(part)
            writer.close()
            return num_read

    assert uvloop.run(scenario()) < RESPONSE_BYTES


def test_a_client_that_reads_slowly_gets_the_whole_response() -> None:
    async def scenario() -> int:
        async with connected(Impatient, respond_with_many_bytes) as connect:
            reader, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            num_read = 0
            while part := await reader.read(1 << 17):
                num_read += len(part)
                # Reading the whole response takes several times the limit for reading nothing.
                await asyncio.sleep(0.01)
            writer.close()
            return num_read

    assert uvloop.run(scenario()) > RESPONSE_BYTES
