"""The end of a worker's standard error, for the log.

The worker may have decoded a hostile video, so the text is not trusted: its length is bounded and its control
characters are removed. It is never sent to a client.
"""

import asyncio
import contextlib

MAX_BYTES = 4096
"""How much of the end is kept."""

_CHUNK_BYTES = 1 << 16
_MAX_SECONDS_TO_CLOSE = 1.0
"""How long the output of an ended worker is waited for: another process may hold it open."""


class ErrorOutput:
    """The last `MAX_BYTES` of a stream, which is read continuously: its writer never blocks, memory stays bounded."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._end = b""
        self._reading = asyncio.create_task(self._read(stream))

    async def _read(self, stream: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await stream.read(_CHUNK_BYTES):
                self._end = (self._end + chunk)[-MAX_BYTES:]

    @property
    def text(self) -> str:
        """The end as printable text, its lines joined by ` | `."""
        return " | ".join(_lines(self._end))

    @property
    def last_line(self) -> str:
        """The last line that is not empty: of a Python traceback, the error. Empty where nothing was written."""
        return last_line(self._end)

    async def close(self) -> None:
        """Read what is left of an ended worker's output, and stop reading."""
        await asyncio.wait({self._reading}, timeout=_MAX_SECONDS_TO_CLOSE)
        self._reading.cancel()


def last_line(output: bytes) -> str:
    """The last line of `output` that is not empty, as printable text; empty where there is none."""
    lines = _lines(output[-MAX_BYTES:])
    return lines[-1] if lines else ""


def _lines(output: bytes) -> list[str]:
    lines = (_printable(line).strip() for line in output.decode(errors="replace").splitlines())
    return [line for line in lines if line]


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else " " for character in line)
