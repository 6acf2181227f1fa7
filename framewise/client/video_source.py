"""The video of a request: a file, bytes, or an open file. Depends on no HTTP library."""

import errno
import io
import os
import stat
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

VideoSource = str | os.PathLike[str] | bytes | BinaryIO
"""Path of a video file, the content of one, or a file that is open for reading bytes."""

MAX_SPOOLED_BYTES = 1 << 30
"""Most bytes that are read from a pipe, a device or a stream that cannot seek; they are stored in a temporary file."""
_CHUNK_BYTES = 1 << 16


class OpenVideo:
    """A video of known size that can be read repeatedly. Close it at the end.

    A pipe, such as standard input, is copied to a temporary file first.
    """

    def __init__(self, source: VideoSource) -> None:
        """Open the video. Blocks until a pipe has ended.

        Raises:
            OSError: the file cannot be read, or a pipe has more than `MAX_SPOOLED_BYTES`.
        """
        self._stack = ExitStack()
        try:
            self._open(source)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, source: VideoSource) -> None:
        if isinstance(source, bytes | bytearray | memoryview):
            self.name = "video"
            self._use(io.BytesIO(source))
        elif isinstance(source, str | os.PathLike):
            path = Path(source)
            self.name = path.name
            self._require_no_directory(path)
            file = self._stack.enter_context(path.open("rb"))
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                self._use(file)
            else:
                self._spool(file)
        else:
            self.name = _name_of(source)
            if not hasattr(source, "read") or hasattr(source, "encoding"):
                raise TypeError("a video is a path, bytes, or a file opened for reading bytes (mode 'rb')")
            if _can_seek(source):
                self._use(source)
            else:
                self._spool(source)

    @staticmethod
    def _require_no_directory(path: Path) -> None:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))

    def _use(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell()
        self.num_bytes = max(0, file.seek(0, io.SEEK_END) - self._start)

    def _spool(self, file: BinaryIO) -> None:
        spool = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - `close` closes it
        num_bytes = 0
        while chunk := file.read(_CHUNK_BYTES):
            num_bytes += len(chunk)
            if num_bytes > MAX_SPOOLED_BYTES:
                raise OSError(errno.EFBIG, f"more than {MAX_SPOOLED_BYTES >> 20} MiB come from the pipe; send a file")
            spool.write(chunk)
        spool.seek(0)
        self._use(spool)

    def rewind(self) -> None:
        """Go to the start of the video."""
        self._file.seek(self._start)

    def read(self, num_bytes: int) -> bytes:
        """At most `num_bytes` of the next bytes; empty at the end."""
        return self._file.read(num_bytes)

    def close(self) -> None:
        """Close the file if this object opened it. A file that the caller opened stays open."""
        self._stack.close()


def _name_of(file: BinaryIO) -> str:
    name = getattr(file, "name", None)
    # Streams have names such as `<stdin>`, files opened by descriptor have numbers.
    return Path(name).name if isinstance(name, str) and name and not name.startswith("<") else "video"


def _can_seek(file: BinaryIO) -> bool:
    try:
        return file.seekable()
    except (AttributeError, ValueError):
        return False
