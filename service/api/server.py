"""The HTTP server: Uvicorn, which drains before it closes."""

import asyncio
import signal
import socket
import sys
from types import FrameType

import uvicorn

from service.state import AppState


class DrainingServer(uvicorn.Server):
    """Goes on answering while it drains: new predictions are told 503 instead of being cut off.

    The first SIGTERM or SIGINT drains; a second one ends at once.
    """

    def __init__(self, config: uvicorn.Config, state: AppState, drain_seconds: float) -> None:
        super().__init__(config)
        self._state = state
        self._drain_seconds = drain_seconds
        self._drainage: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say on standard output where: with port 0 nobody else knows."""
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                sys.stdout.write(f"http://{f'[{host}]' if ':' in host else host}:{port}\n")
        sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain, or end at once if that has begun already."""
        if self._drainage is not None or not self.started:
            super().handle_exit(sig, frame)
            super().handle_exit(signal.SIGINT, frame)  # uvicorn's word for "do not wait"
            return
        self._state.drain()
        self._drainage = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        await self._state.admission.wait_until_idle(self._drain_seconds)
        self.should_exit = True
