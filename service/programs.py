"""Start another Python process of this service, such as `python -m service.video.sandbox.worker`."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path

import service

_DEFAULT_LINE_BYTES = 1 << 16


async def start_program(
    *arguments: str,
    stdin: int = PIPE,
    stderr: int | None = PIPE,
    cwd: str | None = None,
    max_line_bytes: int = _DEFAULT_LINE_BYTES,
    variables: Mapping[str, str] | None = None,
) -> Process:
    """Start `python ARGUMENTS...` with standard output as a pipe; raises OSError if the system refuses.

    The process inherits no environment variables, because the parent's may hold secrets. It gets the import path of
    this package, one thread for OpenBLAS, and `variables`.
    """
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
        limit=max_line_bytes,
        cwd=cwd,
        env={
            "PYTHONPATH": str(Path(service.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",
            **(variables or {}),
        },
    )
