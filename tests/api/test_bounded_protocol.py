"""Connections whose clients send what nobody works on: a head without end, the rest of a refused body."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.bounded_protocol import BoundedHead

REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Impatient(BoundedHead):
    """Waits for next to nothing and reads next to nothing."""

    max_head_seconds = 0.2
    max_rest_seconds = 0.2
    max_rest_bytes = 1 << 20
    max_unread_seconds = 0.2


class Patient(BoundedHead):
    """Waits for as long as a test may last, and reads next to nothing."""

    max_head_seconds = 600
    max_rest_seconds = 600
    max_rest_bytes = 1 << 20


async def refuse(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer without reading a byte of the body."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 429, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"no"})


@asynccontextmanager
async def connected(
    protocol: type[BoundedHead], app: ASGIApp = refuse
) -> AsyncIterator[Callable[[], Awaitable[Streams]]]:
    """A server that refuses everything, and how to connect to it."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False)
    )
    # Signals are for the tests' own process.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield lambda: asyncio.open_connection("127.0.0.1", port)
    finally:
        server.should_exit = True
        await serving


def head(num_bytes: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: " + str(num_bytes).encode() + b"\r\n\r\n"


async def refused(reader: asyncio.StreamReader) -> None:
    """Read one refusal."""
    assert await reader.readline() == REFUSAL
    assert (await reader.readuntil(b"\r\n\r\n")).endswith(b"\r\n\r\n")
    assert await reader.readexactly(2) == b"no"


async def send_until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunk: bytes) -> int:
    """How many bytes went before the connection was closed."""
    num_sent = 0
    with contextlib.suppress(ConnectionError):
        while not reader.at_eof():
            writer.write(chunk)
            await writer.drain()
            num_sent += len(chunk)
            await asyncio.sleep(0)
    return num_sent


def test_a_small_rest_is_read_and_the_connection_serves_the_next_request() -> None:
    async def story() -> None:
        async with connected(Patient) as connect:
            reader, writer = await connect()
            for _ in range(3):
                writer.write(head(500_000))
                await refused(reader)
                writer.write(bytes(500_000))
            writer.write(head(0))
            await refused(reader)
            writer.close()

    asyncio.run(story())


def test_a_large_rest_is_cut_off_after_so_many_bytes_and_the_answer_came_first() -> None:
    async def story() -> None:
        async with connected(Patient) as connect:
            reader, writer = await connect()
            writer.write(head(1 << 40))
            await refused(reader)
            # What the kernel takes in between is no concern of ours, but it is bounded too.
            assert await send_until_closed(reader, writer, bytes(65536)) < 64 << 20
            writer.close()

    asyncio.run(story())


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nHost: te", head(1000), head(1000) + b"x" * 10])
def test_who_dawdles_over_a_head_or_over_the_rest_of_a_body_is_cut_off(sent: bytes) -> None:
    async def story() -> None:
        async with connected(Impatient) as connect:
            reader, writer = await connect()
            writer.write(sent)
            async with asyncio.timeout(60):
                answer = await reader.read()
            assert answer == b"" or answer.startswith(REFUSAL)
            writer.close()

    asyncio.run(story())


def test_a_head_that_follows_another_request_has_its_time_limit_too() -> None:
    async def story() -> None:
        async with connected(Impatient) as connect:
            reader, writer = await connect()
            writer.write(head(0))
            await refused(reader)
            writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
            async with asyncio.timeout(60):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(story())


def test_an_empty_line_after_a_body_costs_nobody_an_answer_that_takes_time() -> None:
    async def story() -> None:
        is_asked, is_late, may_answer = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def take_time(scope: Scope, receive: Receive, send: Send) -> None:
            is_asked.set()
            await may_answer.wait()
            await refuse(scope, receive, send)

        class Watched(Impatient):
            def _cut_off(self) -> None:
                super()._cut_off()
                is_late.set()

        async with connected(Watched, take_time) as connect, asyncio.timeout(60):
            reader, writer = await connect()
            writer.write(head(2) + b"no")
            await is_asked.wait()
            writer.write(b"\r\n")
            await is_late.wait()
            may_answer.set()
            await refused(reader)
            writer.close()

    asyncio.run(story())


ANSWER_BYTES = 20 << 20


async def answer_at_length(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer more than any buffer between two processes holds."""
    assert scope["type"] == "http"
    length = (b"content-length", str(ANSWER_BYTES).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": bytes(ANSWER_BYTES)})


def test_who_does_not_read_the_answer_is_left() -> None:
    async def told() -> int:
        left = asyncio.Event()

        class Telling(Impatient):
            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                left.set()

        async with connected(Telling, answer_at_length) as connect:
            reader, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(60):
                await left.wait()
            num_read = 0
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(1 << 16):
                    num_read += len(part)
            writer.close()
            return num_read

    assert asyncio.run(told()) < ANSWER_BYTES


def test_who_reads_the_answer_slowly_gets_it_all() -> None:
    async def told() -> int:
        async with connected(Impatient, answer_at_length) as connect:
            reader, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            num_read = 0
            while part := await reader.read(1 << 17):
                num_read += len(part)
                # A part at a time, so that all of it takes several times as long as nothing may.
                await asyncio.sleep(0.01)
            writer.close()
            return num_read

    assert asyncio.run(told()) > ANSWER_BYTES
