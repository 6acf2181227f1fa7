"""A video file as the body of `POST /predict`: multipart/form-data, read from disk as it is sent.

Knows no HTTP library: what it makes is bytes, and two headers that go with them.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

CHUNK_BYTES = 1 << 16

OnProgress = Callable[[int, int], None]
"""Called with (bytes of the file sent so far, bytes of the file): first with 0, last with all of them."""


class VideoForm:
    """One form of exactly one part, `video`. May be sent any number of times; no chunk outlives its sending."""

    def __init__(self, path: Path, on_progress: OnProgress = lambda _sent, _total: None) -> None:
        boundary = secrets.token_hex(16)
        self._path = path
        self._on_progress = on_progress
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
        """The body, piece by piece; progress is told when a piece was taken, not when it was read."""
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
        """As `chunks`, with the disk read on another thread."""
        chunks = self.chunks()
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk


def _quoted(name: str) -> str:
    """A file name as browsers put it in a form: in UTF-8, without what would end the quotes."""
    safe = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    return safe.encode(errors="replace").decode()
