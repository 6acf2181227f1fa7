"""The HTTP server: Uvicorn with a drain before its end."""

import asyncio
import signal
import socket
import sys
from types import FrameType

import uvicorn

from service.state import AppState


class DrainingServer(uvicorn.Server):
    """Responds to new predictions with 503 while it drains, instead of closing their connections.

    The first SIGTERM or SIGINT starts the drain; a second one ends the server at once.
    """

    def __init__(self, config: uvicorn.Config, state: AppState, drain_seconds: float) -> None:
        super().__init__(config)
        self._state = state
        self._drain_seconds = drain_seconds
        self._drain_task: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and print the address on standard output (with port 0, it is not known before)."""
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                sys.stdout.write(f"http://{f'[{host}]' if ':' in host else host}:{port}\n")
        sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start the drain; end at once if it has already started."""
        if self._drain_task is not None or not self.started:
            super().handle_exit(sig, frame)
            super().handle_exit(signal.SIGINT, frame)  # a second signal: uvicorn does not wait
            return
        self._state.drain()
        self._drain_task = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        await self._state.admission.wait_until_idle(self._drain_seconds)
        self.should_exit = True
