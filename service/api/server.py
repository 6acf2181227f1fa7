"""The HTTP server: Uvicorn with a drain before its end, and an end within a stated time."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Generator
from types import FrameType

import uvicorn

from service.standard_streams import LineWriter
from service.state import AppState
from service.telemetry.logs import flush_logs

STOP_TOO_LONG_EXIT_STATUS = 4
"""Exit status of a process that could not close its parts in time."""

_log = logging.getLogger(__name__)

_STANDARD_OUTPUT = 1
_MAX_ANNOUNCED_BYTES = 1 << 16
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
                # The unspecified address `::` stands for every address of both families.
                is_for_both = address[0] == "::"
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not is_for_both))
            listener.bind(address)
            listener.listen(backlog)
            listeners.append(listener)
        on_error.pop_all()
    return listeners


class DrainingServer(uvicorn.Server):
    """Responds to new predictions with 503 while it drains, instead of closing their connections.

    SIGTERM starts the drain after a delay, in which requests are served but /health/ready is 503. SIGINT, SIGHUP and
    SIGQUIT start it at once; a second SIGTERM or SIGINT ends the process at once. A signal
    that the process ignored when it started, such as SIGHUP under `nohup`, stays ignored.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        state: AppState,
        drain_seconds: float,
        close_seconds: float,
        drain_delay_seconds: float = 0,
    ) -> None:
        super().__init__(config)
        self._drain_delay_seconds = drain_delay_seconds
        self._state = state
        self._drain_seconds = drain_seconds
        self._close_seconds = close_seconds
        self._is_stopping = False
        self._drain_task: asyncio.Task[None] | None = None
        self._announcements = LineWriter(_STANDARD_OUTPUT, _MAX_ANNOUNCED_BYTES)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept, and print the address on standard output (with port 0, it is not known before)."""
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                self._announcements.write(f"http://{f'[{host}]' if ':' in host else host}:{port}")

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
                flush_logs()
                os._exit(_SIGNAL_EXIT_STATUS + sig)
            return
        self._is_stopping = True
        # A service that is not ready gets no requests that a load balancer would have to stop sending.
        delay_seconds = self._drain_delay_seconds if sig == signal.SIGTERM and self._state.lifecycle.is_ready else 0
        exit_after(delay_seconds + self._drain_seconds + self._close_seconds)
        if not self.started:
            self.should_exit = True
            return
        self._state.announce_drain()
        if not delay_seconds:
            self._state.drain()
        self._drain_task = asyncio.get_running_loop().create_task(self._drain(delay_seconds))

    async def _drain(self, delay_seconds: float) -> None:
        await asyncio.sleep(delay_seconds)
        self._state.drain()
        await self._state.admission.wait_until_idle(self._drain_seconds)
        self.should_exit = True


def exit_after(seconds: float) -> None:
    """End this process after `seconds` unless it has ended by then, whatever its event loop and threads wait for."""

    def report_end() -> None:
        _log.error("the process was not closed in time")
        flush_logs()

    def end() -> None:
        # In a thread of its own: the reader of the log may be what the process waits for.
        report = threading.Thread(target=report_end, daemon=True)
        report.start()
        report.join(_MAX_REPORT_SECONDS)
        os._exit(STOP_TOO_LONG_EXIT_STATUS)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
