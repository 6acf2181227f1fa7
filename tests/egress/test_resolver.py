"""Lookups of host names, with a resolver of the system that answers when the test says so."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.egress.client import async_client
from service.egress.resolver import resolve_host

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]


class SystemResolver:
    """Answers every name at once, except those that begin with `silent`: they wait for `answer`."""

    def __init__(self) -> None:
        self.num_lookups: Counter[str] = Counter()
        self.answer = threading.Event()
        self.error: Exception | None = None

    def getaddrinfo(self, host: str, *_: object, **__: object) -> list[Any]:
        """The addresses of a host."""
        self.num_lookups[host] += 1
        if host.startswith("silent"):
            self.answer.wait()
            if self.error is not None:
                raise self.error
        return FOUND


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> SystemResolver:
    """The resolver of the system."""
    system = SystemResolver()
    monkeypatch.setattr(socket, "getaddrinfo", system.getaddrinfo)
    return system


async def ended(condition: Callable[[], bool]) -> None:
    """Wait until the threads of the lookups have ended."""
    while not condition():  # noqa: ASYNC110 - a thread has no event of its own
        await asyncio.sleep(0)


def num_lookup_threads() -> int:
    return sum(thread.name.startswith("lookup ") for thread in threading.enumerate())


def test_a_host_without_an_answer_delays_no_other_host(system: SystemResolver) -> None:
    """Regression: lookups that their callers had given up filled the threads for all lookups."""

    async def scenario() -> None:
        hosts = [f"silent{number}.example" for number in range(20)]
        for _ in range(3):
            for host in hosts:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(resolve_host(host, None), 0.001)
        assert await resolve_host("good.example", 443) == ["127.0.0.1"]
        # However often a host is asked for, it has one thread.
        assert system.num_lookups == {**dict.fromkeys(hosts, 1), "good.example": 1}
        assert num_lookup_threads() <= len(hosts) + 1
        system.answer.set()
        assert await resolve_host(hosts[0], None) == ["127.0.0.1"]
        await ended(lambda: num_lookup_threads() == 0)

    asyncio.run(scenario())


def test_callers_of_the_same_host_share_a_lookup_and_later_ones_start_another(system: SystemResolver) -> None:
    async def scenario() -> None:
        waiting = [asyncio.create_task(resolve_host("silent.example", None)) for _ in range(9)]
        await ended(lambda: system.num_lookups["silent.example"] == 1)
        waiting.pop().cancel()
        system.error = socket.gaierror(socket.EAI_AGAIN, "try again")
        system.answer.set()
        for failure in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(failure, socket.gaierror)
        system.error = None
        assert await resolve_host("silent.example", None) == ["127.0.0.1"]
        assert system.num_lookups["silent.example"] == 2

    asyncio.run(scenario())


def test_a_lookup_that_fails_after_its_caller_left_is_no_error_of_the_event_loop(system: SystemResolver) -> None:
    errors: list[dict[str, Any]] = []
    system.error = UnicodeError("label too long")

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(resolve_host("silent.example", None), 0.001)
        system.answer.set()
        await ended(lambda: num_lookup_threads() == 0)
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert not errors


def test_a_request_to_a_host_without_an_answer_is_a_timeout(system: SystemResolver) -> None:
    async def scenario() -> None:
        async with async_client(["silent.example"], is_private_allowed=False) as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client.get("https://silent.example/", timeout=0.01)
        system.answer.set()
        await ended(lambda: num_lookup_threads() == 0)

    asyncio.run(scenario())


def test_the_end_of_the_process_does_not_wait_for_a_lookup() -> None:
    """Regression: the process was still there minutes after its event loop had ended."""
    program = """
import asyncio, socket, threading, uvloop
from service.egress.resolver import resolve_host
socket.getaddrinfo = lambda *_, **__: threading.Event().wait()
async def scenario():
    try:
        await asyncio.wait_for(resolve_host("silent.example", None), 0.01)
    except TimeoutError:
        print("given up")
uvloop.run(scenario())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("given up\n", "")
