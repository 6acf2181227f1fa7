"""Kill a process, also if its output was not read to the end."""

import asyncio
import contextlib

_CHUNK_BYTES = 1 << 20


async def kill_and_wait(process: asyncio.subprocess.Process) -> None:
    """Kill the process if it still runs, and wait until it has ended; no other task may read its output.

    The remaining output is read and discarded: asyncio of Python 3.11 does not finish `process.wait()` while output
    is left, and it stops reading while its buffer is full.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):
        while await process.stdout.read(_CHUNK_BYTES):
            pass
    await process.wait()
