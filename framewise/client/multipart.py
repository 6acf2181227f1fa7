"""A video file as a multipart/form-data body, read from disk while it is sent. Depends on no HTTP library."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

CHUNK_BYTES = 1 << 16

OnProgress = Callable[[int, int], None]
"""Called with (bytes of the file sent, bytes of the file), first with 0 bytes sent and last with all."""


class VideoForm:
    """A form with one part, `video`. It can be sent repeatedly and holds one chunk of the file in memory."""

    def __init__(self, path: Path, on_progress: OnProgress | None = None) -> None:
        boundary = secrets.token_hex(16)
        self._path = path
        self._on_progress = on_progress or _ignore_progress
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="video"; filename="{_quoted(path.name)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._num_bytes = path.stat().st_size
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + self._num_bytes + len(self._tail)),
        }

    def chunks(self) -> Iterator[bytes]:
        """The body in chunks. Progress is reported after the HTTP library takes a chunk."""
        num_sent = 0
        with self._path.open("rb") as file:
            yield self._head
            self._on_progress(0, self._num_bytes)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
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
