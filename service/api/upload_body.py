"""A request whose body is a video: as it streams in, and for as long as somebody waits for the answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request

from framewise.schemas.prediction import VideoUrl
from service.api.errors import ClientDisconnected
from service.state import AppState
from service.uploads.receiver import Upload

FORM = {
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
            "application/json": {
                "schema": VideoUrl.model_json_schema(),
                "examples": {"url": {"value": {"url": "https://videos.example.org/clip.mp4"}}},
            },
        },
    }
}
"""What OpenAPI says of such a request; FastAPI cannot know, since it is not FastAPI that reads the body."""

_Answer = TypeVar("_Answer")


async def answer_upload(request: Request, story: Callable[[Upload], Coroutine[Any, Any, _Answer]]) -> _Answer:
    """What `story` makes of the request's upload; a client that leaves ends the story at once.

    How long it took from there until everything the request held was free again is measured.
    """
    body = _Body(request)
    length = request.headers.get("content-length", "")
    upload = Upload(
        caller=request.state.caller,
        body=body.chunks(),
        content_type=request.headers.get("content-type", ""),
        content_length=int(length) if length.isdecimal() else None,
    )
    task = asyncio.create_task(story(upload))
    watcher = asyncio.create_task(body.disconnect())
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnected
        return task.result()
    finally:
        watcher.cancel()
        task.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)
        if body.left_at is not None:
            AppState.of(request).metrics.observe_release(time.perf_counter() - body.left_at)


class _Body:
    """The request's body, and after its end the news that the client left."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._is_received = asyncio.Event()
        self.left_at: float | None = None
        """When the client was found to have left, on the clock that counts from nowhere in particular."""

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                self.left_at = time.perf_counter()
                raise ClientDisconnected
            yield message.get("body", b"")
            if not message.get("more_body", False):
                self._is_received.set()
                return

    async def disconnect(self) -> None:
        """Wait until the client leaves; before the body's end that shows in `chunks` instead."""
        await self._is_received.wait()
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self.left_at = time.perf_counter()
