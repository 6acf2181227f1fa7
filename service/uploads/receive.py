"""From a request's body to a private file on disk, under a hard limit of bytes and of time.

Not Starlette's `UploadFile`: that one spools file parts to disk without a bound before any of our
code runs.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

_FIELD = b"video"
# The body may exceed the file by its boundaries and part headers.
_MAX_OVERHEAD_BYTES = 65536


class UploadError(Exception):
    """The upload cannot be used; `str(error)` is safe to show to whoever sent it."""


class MalformedRequest(UploadError):
    """The body is not the multipart form it claims to be, or not the form that is asked for."""


class UnknownField(UploadError):
    """The form has a field that the service does not know."""


class UploadTooLarge(UploadError):
    """More bytes than are allowed."""


class UploadTooSlow(UploadError):
    """The upload paused or lasted for longer than is allowed."""


class UploadLimits(BaseModel):
    """How much and how long one upload may be."""

    model_config = ConfigDict(frozen=True)

    max_bytes: int
    idle_timeout_seconds: float
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class ReceivedVideo:
    """An upload on disk; `sha256` is that of its bytes, in hexadecimal."""

    path: Path
    num_bytes: int
    sha256: str


async def receive_video(
    body: AsyncIterator[bytes], content_type: str, content_length: int | None, path: Path, limits: UploadLimits
) -> ReceivedVideo:
    """Write the `video` part of a multipart body to `path`, digesting it on the way.

    Raises:
        MalformedRequest: no multipart form, no `video` part, two of them, or an unfinished body.
        UnknownField: a part of another name.
        UploadTooLarge: the file has, or the header announces, more than `limits.max_bytes`.
        UploadTooSlow: as its name says.
        OSError: the file cannot be written.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise MalformedRequest("The body must be multipart/form-data with a boundary, or JSON that tells a URL.")
    if content_length is not None and content_length > limits.max_bytes + _MAX_OVERHEAD_BYTES:
        raise too_large(limits)
    with _opened(path, limits) as video:
        form = _VideoForm(boundary, video, limits)
        async for chunk in _chunks(body, limits):
            form.write(chunk)
        form.finish()
    return ReceivedVideo(path, video.num_bytes, video.sha256)


def is_json(content_type: str) -> bool:
    """Whether the body is JSON by what its head says."""
    return parse_options_header(content_type)[0] == b"application/json"


async def receive_file(body: AsyncIterator[bytes], path: Path, limits: UploadLimits) -> ReceivedVideo:
    """Write a body that is the video itself to `path`, digesting it on the way.

    Raises:
        UploadTooLarge: the body has more than `limits.max_bytes`.
        UploadTooSlow: as its name says.
        OSError: the file cannot be written.
    """
    with _opened(path, limits) as video:
        async for chunk in _chunks(body, limits):
            video.write(chunk)
    return ReceivedVideo(path, video.num_bytes, video.sha256)


async def receive_bytes(body: AsyncIterator[bytes], max_bytes: int, limits: UploadLimits) -> bytes:
    """The whole body, in memory: at most `max_bytes`, in the time that `limits` allow.

    Raises:
        UploadTooLarge: as its name says.
        UploadTooSlow: as its name says.
    """
    received = bytearray()
    try:
        async for chunk in _chunks(body, limits):
            received += chunk
            if len(received) > max_bytes:
                raise UploadTooLarge(f"The body is larger than the allowed {max_bytes} bytes.")
    except TimeoutError:
        raise UploadTooSlow("The upload took too long.") from None
    return bytes(received)


async def _chunks(body: AsyncIterator[bytes], limits: UploadLimits) -> AsyncIterator[bytes]:
    """The body's chunks; TimeoutError where one of them, or all of them together, are too long in coming."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + limits.timeout_seconds
    chunks = aiter(body)
    while True:
        async with asyncio.timeout_at(min(ends_at, loop.time() + limits.idle_timeout_seconds)):
            chunk = await anext(chunks, None)
        if chunk is None:
            return
        yield chunk


@contextmanager
def _opened(path: Path, limits: UploadLimits) -> "Iterator[_VideoFile]":
    """A new file in `path` to be filled; what goes wrong meanwhile comes out as the error it is to the caller."""
    try:
        with path.open("xb") as file:
            yield _VideoFile(file, limits)
    except TimeoutError:
        raise UploadTooSlow("The upload took too long.") from None


class _VideoFile:
    """Takes no more bytes than allowed, and digests them."""

    def __init__(self, file: BinaryIO, limits: UploadLimits) -> None:
        self._file = file
        self._limits = limits
        self._digest = hashlib.sha256()
        self.num_bytes = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        self.num_bytes += len(data)
        if self.num_bytes > self._limits.max_bytes:
            raise too_large(self._limits)
        self._digest.update(data)
        self._file.write(data)


class _VideoForm:
    """Feeds a multipart parser and keeps the one part that is wanted."""

    def __init__(self, boundary: bytes, video: _VideoFile, limits: UploadLimits) -> None:
        self._video = video
        self._limits = limits
        self._num_bytes_received = 0
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._has_video = False
        self._has_ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise MalformedRequest(f"The multipart boundary cannot be used: {error}.") from error

    def write(self, chunk: bytes) -> None:
        self._num_bytes_received += len(chunk)
        if self._num_bytes_received > self._limits.max_bytes + _MAX_OVERHEAD_BYTES:
            raise too_large(self._limits)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequest(f"The multipart body cannot be read: {error}.") from error

    def finish(self) -> None:
        if not self._has_ended:
            raise MalformedRequest("The multipart body ends before its closing boundary.")
        if not self._has_video:
            raise MalformedRequest("The form has no part named video.")

    def _begin_part(self) -> None:
        self._header_name = self._header_value = self._disposition = b""

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name")
        if name is None:
            raise MalformedRequest("A part has no name.")
        if name != _FIELD:
            raise UnknownField(f"The form has an unknown field {name.decode(errors='replace')[:64]!r}.")
        if self._has_video:
            raise MalformedRequest("The form has more than one part named video.")
        self._has_video = True

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._video.write(data[start:end])

    def _end(self) -> None:
        self._has_ended = True


def too_large(limits: UploadLimits) -> UploadTooLarge:
    """What is said of a video of more bytes than `limits` allow, received or announced."""
    return UploadTooLarge(f"The video is larger than the allowed {limits.max_bytes} bytes.")
