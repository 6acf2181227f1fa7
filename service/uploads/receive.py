"""Writes a request body to a private file on disk, under limits of bytes and time.

Starlette's `UploadFile` is not used: it writes file parts to disk without a limit before the service's code runs.
"""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from python_multipart.multipart import parse_options_header

from service.uploads.bounded_file import BoundedFile, too_large
from service.uploads.directory import raising_storage_errors
from service.uploads.errors import MalformedRequest, UploadTooLarge, UploadTooSlow
from service.uploads.multipart import MAX_FORM_OVERHEAD_BYTES, VideoForm
from service.uploads.settings import UploadSettings

_VIDEO_TYPES = frozenset(
    {
        b"application/octet-stream",
        # Registered types of supported containers.
        b"application/mp4",
        b"application/mxf",
        b"image/apng",
        b"image/avif",
        b"image/gif",
        # `curl -T` and `http.client` send none.
        b"",
    }
)
_WANTED = (
    "Send the video as the part named video of a multipart/form-data body with a boundary, as the body itself with "
    "the Content-Type video/* or application/octet-stream, or as JSON with its URL."
)


@dataclass(frozen=True, slots=True)
class ReceivedVideo:
    """A received video on disk; `sha256` of its bytes is hexadecimal, `file_name` is what the client called it."""

    path: Path
    num_bytes: int
    sha256: str
    file_name: str | None = field(default=None, compare=False)


async def receive_video(
    body: AsyncIterator[bytes], content_type: str, content_length: int | None, path: Path, settings: UploadSettings
) -> ReceivedVideo:
    """Write the video of a body to `path`: the part `video` of a multipart form, or a body that is the video itself.

    Raises:
        MalformedRequest: the body is neither a video nor a complete multipart form with exactly one `video` part.
        UnknownField: a part has another name.
        UploadTooLarge: the file has, or `content_length` announces, more than `settings.max_upload_bytes`.
        UploadTooSlow: the upload pauses or lasts longer than `settings` allow.
        StorageFull, StorageUnavailable: the file cannot be written.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if _is_video(kind):
        if content_length is not None and content_length > settings.max_upload_bytes:
            raise too_large(settings)
        video_file = await receive_file(body, path, settings)
        if not kind and not video_file.num_bytes:
            raise MalformedRequest("The request has no body. " + _WANTED)
        return video_file
    if kind != b"multipart/form-data" or not boundary:
        raise MalformedRequest(_WANTED)
    if content_length is not None and content_length > settings.max_upload_bytes + MAX_FORM_OVERHEAD_BYTES:
        raise too_large(settings)
    with _opened(path, settings) as video:
        form = VideoForm(boundary, video, settings)
        async for chunk in _chunks(body, settings):
            form.write(chunk)
        form.finish()
    return ReceivedVideo(path, video.num_bytes, video.sha256, form.file_name)


def _is_video(kind: bytes) -> bool:
    """Whether a body of this media type is a video itself, not a form."""
    return kind.startswith(b"video/") or kind in _VIDEO_TYPES


def is_json(content_type: str) -> bool:
    """Whether a Content-Type header announces JSON."""
    return parse_options_header(content_type)[0] == b"application/json"


async def receive_file(body: AsyncIterator[bytes], path: Path, settings: UploadSettings) -> ReceivedVideo:
    """Write a body that consists of the video alone to `path`.

    Raises:
        UploadTooLarge: the body has more than `settings.max_upload_bytes`.
        UploadTooSlow: the upload pauses or lasts longer than `settings` allow.
        StorageFull, StorageUnavailable: the file cannot be written.
    """
    with _opened(path, settings) as video:
        async for chunk in _chunks(body, settings):
            video.write(chunk)
    return ReceivedVideo(path, video.num_bytes, video.sha256)


async def receive_bytes(body: AsyncIterator[bytes], max_bytes: int, settings: UploadSettings) -> bytes:
    """Receive a body of at most `max_bytes` into memory.

    Raises:
        UploadTooLarge: the body has more than `max_bytes`.
        UploadTooSlow: the upload pauses or lasts longer than `settings` allow.
    """
    received = bytearray()
    try:
        async for chunk in _chunks(body, settings):
            received += chunk
            if len(received) > max_bytes:
                raise UploadTooLarge(f"The body is larger than the allowed {max_bytes} bytes.")
    except TimeoutError:
        raise _too_slow(settings) from None
    return bytes(received)


async def _chunks(body: AsyncIterator[bytes], settings: UploadSettings) -> AsyncIterator[bytes]:
    """The chunks of the body; raises TimeoutError after the longest pause or the longest time."""
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
def _opened(path: Path, settings: UploadSettings) -> Iterator[BoundedFile]:
    """A new file at `path`; a TimeoutError in the `with` block becomes UploadTooSlow.

    Raises:
        StorageFull: the disk is full.
        StorageUnavailable: the file cannot be created or written for another reason.
    """
    with raising_storage_errors():
        try:
            with path.open("xb") as file:
                yield BoundedFile(file, settings)
                if not os.fstat(file.fileno()).st_nlink:
                    raise FileNotFoundError(errno.ENOENT, "the file was removed while it was written")
        except TimeoutError:
            raise _too_slow(settings) from None


def _too_slow(settings: UploadSettings) -> UploadTooSlow:
    return UploadTooSlow(
        f"The upload was too slow: it may pause for {settings.upload_idle_timeout_seconds:g} s, and take "
        f"{settings.upload_timeout_seconds:g} s in all."
    )
