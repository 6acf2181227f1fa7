"""Keeps the end of a worker's standard error for the log.

The text is not trusted, because a malicious video may control the worker: its length is bounded and control characters
are removed. It is never sent to a client.
"""

import asyncio
import contextlib

MAX_BYTES = 4096
"""Bytes kept from the end."""

_CHUNK_BYTES = 1 << 16
_MAX_SECONDS_TO_CLOSE = 1.0
"""Time to wait for the output of an ended worker: another process may hold it open."""


class ErrorOutput:
    """The last `MAX_BYTES` of a stream, read continuously, so that the writer never blocks and memory is bounded."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._end = b""
        self._reading = asyncio.create_task(self._read(stream))

    async def _read(self, stream: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await stream.read(_CHUNK_BYTES):
                self._end = (self._end + chunk)[-MAX_BYTES:]

    @property
    def text(self) -> str:
        """The kept end as printable text, lines joined by ` | `."""
        return " | ".join(_lines(self._end))

    @property
    def last_line(self) -> str:
        """The last non-empty line, such as the error of a Python traceback; empty if nothing was written."""
        return last_line(self._end)

    async def close(self) -> None:
        """Read the remaining output of an ended worker, then stop reading."""
        await asyncio.wait({self._reading}, timeout=_MAX_SECONDS_TO_CLOSE)
        self._reading.cancel()


def last_line(output: bytes) -> str:
    """The last non-empty line of `output` as printable text; empty if there is none."""
    lines = _lines(output[-MAX_BYTES:])
    return lines[-1] if lines else ""


def _lines(output: bytes) -> list[str]:
    lines = (_printable(line).strip() for line in output.decode(errors="replace").splitlines())
    return [line for line in lines if line]


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else " " for character in line)
