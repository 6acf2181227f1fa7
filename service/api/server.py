"""The HTTP server: Uvicorn with a drain before its end, and an end within a stated time."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Generator
from types import FrameType

import uvicorn

from service.state import AppState

STOP_TOO_LONG_EXIT_STATUS = 4
"""Exit status of a process that could not close its parts in time."""

_log = logging.getLogger(__name__)

_MAX_REPORT_SECONDS = 1.0
_SIGNAL_EXIT_STATUS = 128
"""A process that a signal ends has this exit status plus the signal's number, as in a shell."""
_GENTLE_SIGNALS = (signal.SIGHUP, signal.SIGQUIT)
"""Signals that start a drain, and never cut it off: a closed terminal sends SIGHUP more than once."""


def listen(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Sockets that listen on every address of `host`; raises OSError if one of them is taken or not permitted."""
    # By the flag, an address that another process listens on is refused, and one in the state TIME_WAIT is not.
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with contextlib.ExitStack() as on_error:
        listeners = []
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            listener = on_error.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(backlog)
            listeners.append(listener)
        on_error.pop_all()
    return listeners


class DrainingServer(uvicorn.Server):
    """Responds to new predictions with 503 while it drains, instead of closing their connections.

    SIGTERM, SIGINT, SIGHUP or SIGQUIT starts the drain; a second SIGTERM or SIGINT ends the process at once. A signal
    that the process ignored when it started, such as SIGHUP under `nohup`, stays ignored.
    """

    def __init__(self, config: uvicorn.Config, state: AppState, drain_seconds: float, close_seconds: float) -> None:
        super().__init__(config)
        self._state = state
        self._drain_seconds = drain_seconds
        self._close_seconds = close_seconds
        self._is_stopping = False
        self._drain_task: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept, and print the address on standard output (with port 0, it is not known before)."""
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                sys.stdout.write(f"http://{f'[{host}]' if ':' in host else host}:{port}\n")
        sys.stdout.flush()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle the signals that stop the server while the context lasts."""
        with super().capture_signals():
            for number in _GENTLE_SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self.handle_exit)
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        """Start the drain; end the process at once if it has already started."""
        if self._is_stopping:
            if sig not in _GENTLE_SIGNALS:
                os._exit(_SIGNAL_EXIT_STATUS + sig)
            return
        self._is_stopping = True
        exit_after(self._drain_seconds + self._close_seconds)
        if not self.started:
            self.should_exit = True
            return
        self._state.drain()
        self._drain_task = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        await self._state.admission.wait_until_idle(self._drain_seconds)
        self.should_exit = True


def exit_after(seconds: float) -> None:
    """End this process after `seconds` unless it has ended by then, whatever its event loop and threads wait for."""

    def end() -> None:
        # In a thread of its own: the reader of the log may be what the process waits for.
        report = threading.Thread(target=_log.error, args=("the process was not closed in time",), daemon=True)
        report.start()
        report.join(_MAX_REPORT_SECONDS)
        os._exit(STOP_TOO_LONG_EXIT_STATUS)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
