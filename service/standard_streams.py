"""Standard input, output and error that every part of a program may use, however the program was started."""

import os
import select
import sys
import threading
from queue import SimpleQueue

_NUM_STREAMS = 3
_MAX_FLUSH_SECONDS = 2.0


def open_standard_streams() -> None:
    """Open each of the descriptors 0 to 2 that is closed on /dev/null.

    A program may be started without them, such as by `>&-`. The first files or sockets that it opens would then become
    its standard streams, and libuv aborts the process.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < _NUM_STREAMS:
        # Programs that this one starts inherit it.
        os.set_inheritable(descriptor, True)  # noqa: FBT003
    os.close(descriptor)
    # Python has set the object of a closed stream to None.
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


class LineWriter:
    """Writes lines to a descriptor in a thread of its own, so that a reader that stops delays no other part.

    Lines above `max_bytes` that were not written yet, and lines that cannot be written, are dropped and counted.
    """

    def __init__(self, descriptor: int, max_bytes: int) -> None:
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        # Each number is changed by one thread at a time: the first two by the writing ones, which hold a lock.
        self._num_bytes_put = 0
        self._num_refused = 0
        self._num_bytes_taken = 0
        self._num_failed = 0
        self._lock = threading.RLock()
        self._lines: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        threading.Thread(target=self._write_lines, name=f"lines to {descriptor}", daemon=True).start()

    @property
    def num_dropped(self) -> int:
        """Number of lines that were not written and never will be."""
        return self._num_refused + self._num_failed

    def write(self, line: str) -> bool:
        """Write a line soon, or drop it and return False. Does not block."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._lock:
            if self._num_bytes_put - self._num_bytes_taken + len(data) > self._max_bytes:
                self._num_refused += 1
                return False
            self._num_bytes_put += len(data)
            self._lines.put(data)
            return True

    def flush(self, max_seconds: float = _MAX_FLUSH_SECONDS) -> bool:
        """Wait until all lines are written, at most `max_seconds`; False if they were not. Blocks."""
        is_reached = threading.Event()
        self._lines.put(is_reached)
        return is_reached.wait(max_seconds)

    def _write_lines(self) -> None:
        while True:
            line = self._lines.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            if not _write(self._descriptor, line):
                self._num_failed += 1
            self._num_bytes_taken += len(line)


def _write(descriptor: int, data: bytes) -> bool:
    """Write all of data; False if the descriptor takes no more, such as a pipe without a reader. Blocks."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            # Another program has made the terminal or pipe non-blocking.
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
        except OSError:
            return False
    return True
