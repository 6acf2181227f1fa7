"""Measures the processor time of another process."""

import contextlib
import ctypes
import time


class ProcessorTime:
    """Processor time of a process and all its threads; elapsed time where the system has no clock for a process."""

    def __init__(self, process_id: int) -> None:
        self._clock = _clock_of(process_id)
        self._seconds = 0.0

    def seconds(self) -> float:
        """Return the seconds used so far; after the end of the process, those of the last call."""
        if self._clock is None:
            return time.monotonic()
        with contextlib.suppress(OSError):
            self._seconds = time.clock_gettime(self._clock)
        return self._seconds


def _clock_of(process_id: int) -> int | None:
    """The number of the clock that measures a process (POSIX `clock_getcpuclockid`), or None if there is none."""
    number = ctypes.c_int()
    try:
        status = ctypes.CDLL(None).clock_getcpuclockid(process_id, ctypes.byref(number))
    except AttributeError:
        # macOS has no such function.
        return None
    return None if status else number.value
