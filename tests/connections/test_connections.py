"""The limits of connections: which is closed, which is refused, and how many the limit of open files allows."""

import asyncio
import resource
import socket
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from service.api.accepted_connection import IS_REFUSED
from service.api.bounded_protocol import BoundedProtocol
from service.connections.connections import Connections
from service.connections.descriptors import RESERVED_CONNECTIONS, TooFewDescriptors, max_connections_within
from service.connections.settings import ConnectionSettings
from tests.support.bare_service import bare_service
from tests.support.protocol_server import serving

pytestmark = pytest.mark.slow


class Client:
    """A connection that records whether it was closed."""

    def __init__(self, address: str = "a") -> None:
        self.address = address
        self.is_closed = False

    def close_idle(self) -> None:
        """Note that the connection was closed."""
        self.is_closed = True

    def close_after_response(self) -> None:
        """Nothing to do."""


def connected(connections: Connections, *clients: Client) -> None:
    """Add the clients."""
    for client in clients:
        connections.add(client)


def test_above_the_limit_the_connection_without_a_request_for_the_longest_time_is_closed() -> None:
    connections = Connections(ConnectionSettings(max_connections=3, max_connections_per_address=3))
    busy, returned, idle, newest, next_newest = clients = [Client() for _ in range(5)]
    connected(connections, busy, returned, idle)
    connections.set_busy(busy)
    connections.set_busy(returned)
    connections.set_idle(returned)
    connected(connections, newest)
    assert [client.is_closed for client in clients] == [False, False, True, False, False]
    connected(connections, next_newest)
    assert [client.is_closed for client in clients] == [False, True, True, False, False]
    assert connections.accept_request(next_newest)
    assert (connections.num_busy, connections.num_idle, connections.num_closed_idle) == (1, 2, 2)


def test_an_address_above_its_own_limit_loses_its_own_connections_only() -> None:
    connections = Connections(ConnectionSettings(max_connections=4))
    other, *own = clients = [Client("b"), Client(), Client(), Client()]
    connected(connections, *clients)
    assert [client.is_closed for client in own] == [True, False, False]
    assert not other.is_closed


def test_if_all_connections_have_a_request_another_one_is_refused_until_one_ends() -> None:
    connections = Connections(ConnectionSettings(max_connections=2, max_connections_per_address=2))
    first, second, third = clients = [Client() for _ in range(3)]
    for client in clients:
        connections.add(client)
        connections.set_busy(client)
    assert not connections.accept_request(third)
    connections.remove(first)
    assert connections.accept_request(third)
    assert not second.is_closed


def test_connections_above_the_limit_are_bounded_themselves() -> None:
    connections = Connections(ConnectionSettings(max_connections=1))
    clients = [Client() for _ in range(RESERVED_CONNECTIONS + 3)]
    for client in clients:
        connections.add(client)
        if not client.is_closed:
            connections.set_busy(client)
    assert [client.is_closed for client in clients].count(True) == 2
    assert connections.num_busy == RESERVED_CONNECTIONS + 1


def test_a_low_limit_of_open_files_leaves_room_for_uploads_and_decode_workers() -> None:
    assert max_connections_within(1 << 20, max_uploads=64, num_workers=4) > 1 << 19
    for limit in (120, 160, 256, 1024):
        num_connections = max_connections_within(limit, max_uploads=64, num_workers=2)
        assert 1 <= num_connections < limit - 2 * min(num_connections, 64)
    with pytest.raises(TooFewDescriptors, match="ulimit -n"):
        max_connections_within(60, max_uploads=64, num_workers=2)


class Held:
    """An application that responds when the test allows it."""

    def __init__(self) -> None:
        self.num_begun = asyncio.Semaphore(0)
        self.may_respond = asyncio.Event()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Refuse, or wait and respond."""
        assert scope["type"] == "http"
        status = 503
        if not scope["state"].get(IS_REFUSED):
            status = 200
            self.num_begun.release()
            await self.may_respond.wait()
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_request_of_a_connection_above_the_limit_is_marked_and_its_connection_is_closed() -> None:
    async def scenario() -> None:
        app = Held()
        connections = Connections(ConnectionSettings(max_connections=2, max_connections_per_address=2))
        async with serving(app, partial(BoundedProtocol, connections_of_all=connections)) as port, asyncio.timeout(60):
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            for _, writer in held:
                writer.write(GET)
                await app.num_begun.acquire()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET)
            refused = await reader.read()
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"connection: close" in refused
            writer.close()
            app.may_respond.set()
            for reader, _ in held:
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            # The connections are idle now, and the first of them gives way.
            _, third = await asyncio.open_connection("127.0.0.1", port)
            assert await held[0][0].read() == b""
            for writer in (held[0][1], held[1][1], third):
                writer.close()

    uvloop.run(scenario())


def test_the_time_without_a_request_is_a_setting() -> None:
    async def scenario(keep_alive_seconds: float) -> bool:
        app = Held()
        app.may_respond.set()
        connections = Connections(ConnectionSettings(keep_alive_seconds=keep_alive_seconds))
        async with serving(app, partial(BoundedProtocol, connections_of_all=connections)) as port, asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            try:
                async with asyncio.timeout(1):
                    return await reader.read() == b""
            except TimeoutError:
                return False
            finally:
                writer.close()

    assert uvloop.run(scenario(0.05))
    assert not uvloop.run(scenario(600))


def test_hundreds_of_silent_connections_do_not_keep_health_probes_out(tmp_path: Path) -> None:
    """Regression: with few descriptors, new connections were reset, and uploads got a 500."""
    with bare_service(tmp_path, command_line='ulimit -n 160; exec "$@"') as service, ExitStack() as silent:
        for _ in range(300):
            silent.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=60))
        for _ in range(10):
            assert httpx.get(f"{service.url}/health/live", timeout=60).status_code == 200
        metrics = httpx.get(f"{service.url}/metrics", timeout=60).text
        assert service.metric(metrics, "framewise_idle_connections_closed_total") >= 200
        assert service.metric(metrics, "framewise_max_connections") < 60
        assert "fewer connections than configured" in service.log_path.read_text()


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096:
        pytest.skip("this machine allows fewer than 4096 open files")
    with bare_service(tmp_path, command_line='ulimit -Sn 128; ulimit -Hn 4096; exec "$@"') as service:
        metrics = httpx.get(f"{service.url}/metrics", timeout=60).text
        assert service.metric(metrics, "framewise_max_connections") == 1024
        assert service.metric(metrics, "process_max_fds") == 4096


def test_too_few_open_files_end_the_start_with_a_line_that_says_so() -> None:
    command = ["sh", "-c", 'ulimit -n 50; exec "$@"', "sh", sys.executable, "-m", "service"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert "The process may open 50 files (`ulimit -n`)." in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
