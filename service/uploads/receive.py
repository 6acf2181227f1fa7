"""From a request's body to a private file on disk, under a hard limit of bytes and of time.

Not Starlette's `UploadFile`: that one spools file parts to disk without a bound before any of our
code runs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from python_multipart.multipart import parse_options_header

from service.uploads.bounded_file import BoundedFile, too_large
from service.uploads.errors import MalformedRequest, UploadTooLarge, UploadTooSlow
from service.uploads.multipart import MAX_FORM_OVERHEAD_BYTES, VideoForm
from service.uploads.settings import UploadSettings


@dataclass(frozen=True, slots=True)
class ReceivedVideo:
    """An upload on disk; `sha256` is that of its bytes, in hexadecimal."""

    path: Path
    num_bytes: int
    sha256: str


async def receive_video(
    body: AsyncIterator[bytes], content_type: str, content_length: int | None, path: Path, settings: UploadSettings
) -> ReceivedVideo:
    """Write the `video` part of a multipart body to `path`, digesting it on the way.

    Raises:
        MalformedRequest: no multipart form, no `video` part, two of them, or an unfinished body.
        UnknownField: a part of another name.
        UploadTooLarge: the file has, or the header announces, more than `settings.max_upload_bytes`.
        UploadTooSlow: as its name says.
        OSError: the file cannot be written.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise MalformedRequest("The body must be multipart/form-data with a boundary, or JSON that tells a URL.")
    if content_length is not None and content_length > settings.max_upload_bytes + MAX_FORM_OVERHEAD_BYTES:
        raise too_large(settings)
    with _opened(path, settings) as video:
        form = VideoForm(boundary, video, settings)
        async for chunk in _chunks(body, settings):
            form.write(chunk)
        form.finish()
    return ReceivedVideo(path, video.num_bytes, video.sha256)


def is_json(content_type: str) -> bool:
    """Whether the body is JSON by what its head says."""
    return parse_options_header(content_type)[0] == b"application/json"


async def receive_file(body: AsyncIterator[bytes], path: Path, settings: UploadSettings) -> ReceivedVideo:
    """Write a body that is the video itself to `path`, digesting it on the way.

    Raises:
        UploadTooLarge: the body has more than `settings.max_upload_bytes`.
        UploadTooSlow: as its name says.
        OSError: the file cannot be written.
    """
    with _opened(path, settings) as video:
        async for chunk in _chunks(body, settings):
            video.write(chunk)
    return ReceivedVideo(path, video.num_bytes, video.sha256)


async def receive_bytes(body: AsyncIterator[bytes], max_bytes: int, settings: UploadSettings) -> bytes:
    """The whole body, in memory: at most `max_bytes`, in the time that `settings` allow.

    Raises:
        UploadTooLarge: as its name says.
        UploadTooSlow: as its name says.
    """
    received = bytearray()
    try:
        async for chunk in _chunks(body, settings):
            received += chunk
            if len(received) > max_bytes:
                raise UploadTooLarge(f"The body is larger than the allowed {max_bytes} bytes.")
    except TimeoutError:
        raise UploadTooSlow("The upload took too long.") from None
    return bytes(received)


async def _chunks(body: AsyncIterator[bytes], settings: UploadSettings) -> AsyncIterator[bytes]:
    """The body's chunks; TimeoutError where one of them, or all of them together, are too long in coming."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + settings.upload_timeout_seconds
    chunks = aiter(body)
    while True:
        async with asyncio.timeout_at(min(ends_at, loop.time() + settings.upload_idle_timeout_seconds)):
            chunk = await anext(chunks, None)
        if chunk is None:
            return
        yield chunk


@contextmanager
def _opened(path: Path, settings: UploadSettings) -> "Iterator[BoundedFile]":
    """A new file in `path` to be filled; what goes wrong meanwhile comes out as the error it is to the caller."""
    try:
        with path.open("xb") as file:
            yield BoundedFile(file, settings)
    except TimeoutError:
        raise UploadTooSlow("The upload took too long.") from None
