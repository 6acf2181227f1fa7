"""A video as a multipart/form-data body, read while it is sent. Depends on no HTTP library."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator

from framewise.client.video_source import OpenVideo, VideoSource

CHUNK_BYTES = 1 << 16
MAX_UPLOAD_SECONDS = 3600.0
"""Longest time for one upload."""

OnProgress = Callable[[int, int], None]
"""Called with (bytes of the file sent, bytes of the file), first with 0 bytes sent and last with all."""


class VideoForm:
    """A form with one part, `video`. It can be sent repeatedly and holds one chunk of the file in memory."""

    def __init__(self, source: VideoSource, on_progress: OnProgress | None = None) -> None:
        """Find the size of the video; close the form at the end. Raises OSError if the video cannot be read."""
        boundary = secrets.token_hex(16)
        self._video = OpenVideo(source)
        self._on_progress = on_progress or _ignore_progress
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="video"; filename="{_quoted(self._video.name)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._num_bytes = self._video.num_bytes
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + self._num_bytes + len(self._tail)),
        }

    def close(self) -> None:
        """Remove the copy of a pipe."""
        self._video.close()

    def chunks(self) -> Iterator[bytes]:
        """The body in chunks. Progress is reported after the HTTP library takes a chunk.

        A file that grows meanwhile is sent up to the size that it had at first.

        Raises:
            OSError: the file cannot be read, or has become shorter.
            TimeoutError: the body took more than `MAX_UPLOAD_SECONDS` to send.
        """
        ends_at = time.monotonic() + MAX_UPLOAD_SECONDS
        num_sent = 0
        with self._video.reading() as file:
            yield self._head
            self._on_progress(0, self._num_bytes)
            while num_sent < self._num_bytes:
                chunk = file.read(min(CHUNK_BYTES, self._num_bytes - num_sent))
                if not chunk:
                    raise OSError(f"{self._video.name} became shorter while it was sent")
                yield chunk
                if time.monotonic() > ends_at:
                    raise TimeoutError(f"the upload took more than {MAX_UPLOAD_SECONDS:g} s")
                num_sent += len(chunk)
                self._on_progress(num_sent, self._num_bytes)
        yield self._tail

    async def chunks_async(self) -> AsyncIterator[bytes]:
        """The body in chunks, read from disk on a worker thread."""
        chunks = self.chunks()
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk


def _ignore_progress(_num_sent: int, _num_bytes: int) -> None:
    pass


def _quoted(name: str) -> str:
    """The file name in UTF-8 with quotes and line breaks percent-encoded, as browsers send it."""
    safe = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    return safe.encode(errors="replace").decode()
