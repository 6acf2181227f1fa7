"""A uvicorn server with the service's protocol and an application of the test, in the event loop of the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from service.api.bounded_protocol import BoundedProtocol


@asynccontextmanager
async def serving(app: ASGIApp, protocol: Callable[..., BoundedProtocol] = BoundedProtocol) -> AsyncIterator[int]:
    """Serve `app` on a free port of 127.0.0.1, which is yielded."""
    config = uvicorn.Config(
        app,
        port=0,
        http=protocol,  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    # The signal handlers belong to the process of the tests.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running
