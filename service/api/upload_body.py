"""Handles a request whose body is a video, until its response is ready or its client disconnects."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request

from framewise.schemas.prediction import VideoUrl
from service.api.errors import ClientDisconnected
from service.state import AppState
from service.uploads.content_encoding import select_decoder
from service.uploads.receiver import Upload

VIDEO_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["video"],
                    "properties": {"video": {"type": "string", "format": "binary"}},
                    "additionalProperties": False,
                }
            },
            **{
                media_type: {"schema": {"type": "string", "format": "binary"}}
                for media_type in ("video/*", "application/octet-stream")
            },
            "application/json": {
                "schema": VideoUrl.model_json_schema(),
                "examples": {"url": {"value": {"url": "https://videos.example.org/clip.mp4"}}},
            },
        },
    }
}
"""OpenAPI description of the body. FastAPI does not read the body, so it cannot generate this."""

_Response = TypeVar("_Response")


async def respond_to_upload(request: Request, handle: Callable[[Upload], Coroutine[Any, Any, _Response]]) -> _Response:
    """Return the result of `handle` for the request's upload; cancel `handle` when the client disconnects.

    After a disconnect, the time until the request has released all resources is measured.

    Raises:
        ClientDisconnected: the client closed the connection before the result was ready.
        UnsupportedEncoding: the body has a Content-Encoding that the service cannot decode.
    """
    decoder = select_decoder(", ".join(request.headers.getlist("content-encoding")))
    body = _Body(request)
    length = request.headers.get("content-length", "")
    upload = Upload(
        caller=request.state.caller,
        body=body.chunks() if decoder is None else decoder.decoded(body.chunks()),
        content_type=request.headers.get("content-type", ""),
        # The length of the decoded body is unknown.
        content_length=int(length) if decoder is None and length.isdecimal() else None,
    )
    task = asyncio.create_task(handle(upload))
    watcher = asyncio.create_task(body.wait_for_disconnect())
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnected
        return task.result()
    finally:
        watcher.cancel()
        task.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)
        if body.disconnected_at is not None:
            AppState.of(request).metrics.observe_release(time.perf_counter() - body.disconnected_at)


class _Body:
    """The request's body; after its end, reports when the client disconnects."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._is_received = asyncio.Event()
        self.disconnected_at: float | None = None
        """When the disconnect was noticed, by the clock of `time.perf_counter`."""

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                self.disconnected_at = time.perf_counter()
                raise ClientDisconnected
            yield message.get("body", b"")
            if not message.get("more_body", False):
                self._is_received.set()
                return

    async def wait_for_disconnect(self) -> None:
        """Wait until the client disconnects after the end of the body; before that, `chunks` raises."""
        await self._is_received.wait()
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self.disconnected_at = time.perf_counter()
