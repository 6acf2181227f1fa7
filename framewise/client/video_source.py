"""The video of a request: a file, bytes, or an open file. Depends on no HTTP library."""

import errno
import io
import os
import select
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

VideoSource = str | os.PathLike[str] | bytes | BinaryIO
"""Path of a video file, the content of one, or a file that is open for reading bytes."""

MAX_SPOOLED_BYTES = 1 << 30
"""Most bytes that are read from a pipe, a device or a stream that cannot seek; they are stored in a temporary file."""
MAX_PIPE_SECONDS = 3600.0
"""Longest time until a pipe has ended."""
_CHUNK_BYTES = 1 << 16


class OpenVideo:
    """A video of known size that can be read repeatedly. Close it at the end.

    A pipe, such as standard input, is copied to a temporary file first.
    """

    def __init__(self, source: VideoSource) -> None:
        """Find the size of the video. Blocks until a pipe has ended.

        Raises:
            OSError: the file cannot be read, or a pipe has more than `MAX_SPOOLED_BYTES` or lasts for more than
                `MAX_PIPE_SECONDS`.
        """
        self._path: Path | None = None
        self._copy: BinaryIO | None = None
        self._start = 0
        if isinstance(source, bytes | bytearray | memoryview):
            self.name = "video"
            self._use(io.BytesIO(source))
        elif isinstance(source, str | os.PathLike):
            self._use_path(Path(source))
        else:
            self.name = _name_of(source)
            if not hasattr(source, "read") or hasattr(source, "encoding"):
                raise TypeError("a video is a path, bytes, or a file opened for reading bytes (mode 'rb')")
            self._use(source if _can_seek(source) else self._spooled(source))

    @contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        """The video at its start. A file that the caller opened stays open."""
        if self._path is not None:
            with self._path.open("rb") as file:
                yield file
        else:
            self._file.seek(self._start)
            yield self._file

    def close(self) -> None:
        """Remove the copy of a pipe."""
        if self._copy is not None:
            self._copy.close()

    def _use_path(self, path: Path) -> None:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        self.name = path.name
        # A pipe is opened without waiting for its writer.
        with open(path, "rb", buffering=0, opener=_open_without_waiting) as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode):
                self._path, self.num_bytes = path, found.st_size
            else:
                self._use(self._spooled(file))

    def _use(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell()
        self.num_bytes = max(0, file.seek(0, io.SEEK_END) - self._start)

    def _spooled(self, file: BinaryIO | io.FileIO) -> BinaryIO:
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        try:
            _copy_bounded(file, copy)
            copy.seek(0)
        except BaseException:
            copy.close()
            raise
        self._copy = copy
        return copy


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _copy_bounded(source: BinaryIO | io.FileIO, target: BinaryIO) -> None:
    ends_at = time.monotonic() + MAX_PIPE_SECONDS
    num_bytes = 0
    while chunk := _read(source, ends_at):
        num_bytes += len(chunk)
        if num_bytes > MAX_SPOOLED_BYTES:
            raise OSError(errno.EFBIG, f"more than {MAX_SPOOLED_BYTES >> 20} MiB come from the pipe; send a file")
        target.write(chunk)


def _read(source: BinaryIO | io.FileIO, ends_at: float) -> bytes:
    """The next bytes; empty at the end. Raises TimeoutError at `ends_at`, for a pipe also while it is silent."""
    while True:
        seconds_left = ends_at - time.monotonic()
        is_pipe = isinstance(source, io.FileIO) and os.name == "posix"
        if seconds_left <= 0 or (is_pipe and not select.select([source], [], [], seconds_left)[0]):
            raise TimeoutError(f"the pipe has not ended within {MAX_PIPE_SECONDS:g} s; send a file")
        # None: another program took the bytes.
        chunk: bytes | None = source.read(_CHUNK_BYTES)
        if chunk is not None:
            return chunk


def _name_of(file: BinaryIO) -> str:
    name = getattr(file, "name", None)
    # Streams have names such as `<stdin>`, files opened by descriptor have numbers.
    return Path(name).name if isinstance(name, str) and name and not name.startswith("<") else "video"


def _can_seek(file: BinaryIO) -> bool:
    try:
        return file.seekable()
    except (AttributeError, ValueError):
        return False
