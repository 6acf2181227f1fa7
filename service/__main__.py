"""`python -m service`: settings -> app -> uvicorn."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType

import uvicorn
from pydantic import ValidationError

from service.api.access_log import set_up_logging
from service.api.bounded_protocol import BoundedHead
from service.app import create_app
from service.model_control.loader import ANSWERING_THREAD, LOADING_THREAD
from service.settings import Settings
from service.state import Parts
from service.video.sandbox.isolation import become_undumpable


class DrainingServer(uvicorn.Server):
    """Goes on answering while it drains: new predictions are told 503 instead of being cut off.

    The first SIGTERM or SIGINT drains; a second one ends at once.
    """

    def __init__(self, config: uvicorn.Config, parts: Parts, drain_seconds: float) -> None:
        super().__init__(config)
        self._parts = parts
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
        self._parts.drain()
        self._drainage = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        await self._parts.classifier.admission.wait_until_idle(self._drain_seconds)
        self.should_exit = True


def main() -> int:
    """Serve until told to stop; the exit status is 0 after a drain, 2 for unusable settings."""
    # Before anything secret is known: a decode child that was taken over has the same user.
    become_undumpable()
    try:
        settings = Settings()
    except ValidationError as error:
        for fault in error.errors():
            # A fault of one setting says which; one of several together names them itself.
            name = "_".join(["SERVICE", *(str(part) for part in fault["loc"])]).upper()
            sys.stderr.write(f"{name}: {fault['msg']}\n" if fault["loc"] else f"{fault['msg']}\n")
        return 2
    set_up_logging(settings.log_level)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        loop="uvloop",
        http=BoundedHead,
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    DrainingServer(config, app.state.parts, settings.drain_seconds).run()
    _leave_models_at_work()
    return 0


def _leave_models_at_work() -> None:
    """End the process now if a model is loaded or asked: Python would wait for its thread, which nothing interrupts."""
    for thread in threading.enumerate():
        if thread.name.startswith((LOADING_THREAD, ANSWERING_THREAD)):
            # One that rests is told already to end.
            thread.join(timeout=1)
            if thread.is_alive():
                logging.shutdown()
                sys.stdout.flush()
                os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
