"""Collects rows and writes them as parts of a limited size and age."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from service.batch.outputs import RowFolder
from service.batch.rows import Row

_MAX_ROWS_PER_PART = 1000
_MAX_SECONDS_PER_PART = 60


@dataclass
class RowBuffer:
    """Rows that are not written yet, and the counts of all outcomes of this run."""

    folder: RowFolder
    outcomes: Counter[str] = field(default_factory=Counter)
    """Number of files by problem code; files with a prediction count as `classified`."""
    _rows: list[Row] = field(default_factory=list)
    _since: float = field(default_factory=time.monotonic)
    _is_writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def num_problems(self) -> int:
        """The number of files of this run that have a problem."""
        return self.outcomes.total() - self.outcomes["classified"]

    async def add(self, row: Row) -> None:
        """Add the row, and write a part if the buffer is full or old. Raises OSError if the part cannot be written."""
        self.outcomes["classified" if row.problem is None else row.problem.code] += 1
        self._rows.append(row)
        if len(self._rows) >= _MAX_ROWS_PER_PART or time.monotonic() - self._since >= _MAX_SECONDS_PER_PART:
            await self.write()

    async def write(self) -> None:
        """Write the buffered rows on a worker thread.

        A cancelled call waits until the part is written or has failed. Rows of a failed part stay in the buffer.
        Raises OSError if the part cannot be written.
        """
        async with self._is_writing:
            rows, self._rows, self._since = self._rows, [], time.monotonic()
            if not rows:
                return
            writing = asyncio.create_task(asyncio.to_thread(self.folder.add, rows))
            try:
                await asyncio.shield(writing)
            finally:
                await asyncio.wait({writing})
                if writing.exception() is not None:
                    self._rows = rows + self._rows
