"""How a child process is ended, whatever it has still to say."""

import asyncio
import contextlib

_CHUNK_BYTES = 1 << 20


async def kill_and_wait(process: asyncio.subprocess.Process) -> None:
    """Kill the process, if it is still there, and wait until it has ended. Nobody else may be reading its output.

    What it had written is read and thrown away: while output is left, asyncio of Python 3.11 does not tell those
    who wait for the process that it has ended, and reading stops where nobody takes what was read.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):
        while await process.stdout.read(_CHUNK_BYTES):
            pass
    await process.wait()
