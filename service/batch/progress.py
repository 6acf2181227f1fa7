"""Progress of a batch on standard error: a bar on a terminal, lines elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

STANDARD_ERROR = Console(stderr=True, highlight=False)
"""Console for progress and errors."""
LINE_SECONDS = 10.0
"""Time between two lines."""
_MINUTE, _HOUR = 60, 3600


def print_step(text: str) -> None:
    """Print a line about the step that begins, unless a bar on a terminal shows it."""
    if not STANDARD_ERROR.is_terminal:
        STANDARD_ERROR.print(text, markup=False, soft_wrap=True)


@asynccontextmanager
async def showing_progress(num_files: int, num_problems: Callable[[], int]) -> AsyncIterator[Callable[[], None]]:
    """A function to call after each file; the progress is shown while the context lasts."""
    if STANDARD_ERROR.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=STANDARD_ERROR) as progress:
            bar = progress.add_task("videos", total=num_files)
            yield lambda: progress.advance(bar)
        return
    started_at, num_done = time.monotonic(), 0

    def advance() -> None:
        nonlocal num_done
        num_done += 1

    async def print_lines() -> None:
        while True:
            await asyncio.sleep(LINE_SECONDS)
            print_step(progress_line(num_done, num_files, num_problems(), time.monotonic() - started_at))

    lines = asyncio.create_task(print_lines())
    try:
        yield advance
    finally:
        lines.cancel()


def progress_line(num_done: int, num_files: int, num_problems: int, seconds: float) -> str:
    """Such as `120 of 4,000 files, 3 with a problem, about 31 min left`."""
    line = f"{num_done:,} of {num_files:,} files"
    if num_problems:
        line += f", {num_problems:,} with a problem"
    if not num_done:
        return f"{line}, {seconds:.0f} s so far"
    left = (num_files - num_done) * seconds / num_done
    if left < _MINUTE:
        return f"{line}, about {left:.0f} s left"
    return (
        f"{line}, about {left / _MINUTE:.0f} min left" if left < _HOUR else f"{line}, about {left / _HOUR:.1f} h left"
    )
