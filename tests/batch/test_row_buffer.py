"""The row buffer: each row is written once, also after a cancellation or an error."""

import asyncio
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from service.batch.outputs import RowFolder
from service.batch.row_buffer import RowBuffer
from tests.batch.rows import row


class Bucket(MemoryFileSystem):  # type: ignore[misc]
    """A bucket whose writes wait for `is_open` and set `is_requested`; a write raises the next of `errors`."""

    protocol = "gated"
    is_requested = threading.Event()
    is_open = threading.Event()
    errors: list[OSError] = []  # noqa: RUF012 - fsspec makes its instances itself

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("gated://", "memory://")))

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        """Write a file; overrides the method of fsspec."""
        self.is_requested.set()
        assert self.is_open.wait(120), "the event loop is blocked by the write"
        if self.errors:
            raise self.errors.pop()
        super().pipe_file(path, value, **options)


@pytest.fixture
def bucket() -> Iterator[RowFolder]:
    """A folder in a bucket whose writes wait."""
    fsspec.register_implementation("gated", Bucket, clobber=True)
    for event in (Bucket.is_requested, Bucket.is_open):
        event.clear()
    yield RowFolder(f"gated://{secrets.token_hex(4)}", "jsonl")
    Bucket.is_open.set()


def rows_of(bucket: RowFolder) -> list[str]:
    """The file of each written row, with repetitions."""
    return sorted(file for part in bucket._parts() for file, _ in bucket._outcomes(part))  # noqa: SLF001 - each row


async def start_writing(buffer: RowBuffer) -> asyncio.Task[None]:
    """Start writing a part; the write waits for the bucket to open."""
    writing = asyncio.create_task(buffer.write())
    await asyncio.to_thread(Bucket.is_requested.wait)
    return writing


def test_rows_added_during_a_write_go_into_the_next_part(bucket: RowFolder) -> None:
    async def scenario() -> None:
        buffer = RowBuffer(bucket)
        await buffer.add(row("a.mp4"))
        writing = await start_writing(buffer)
        await buffer.add(row("b.mp4"))
        assert not writing.done()
        Bucket.is_open.set()
        await writing
        assert bucket.files() == {"a.mp4"}
        await buffer.write()
        assert bucket.files() == {"a.mp4", "b.mp4"}
        assert buffer.outcomes == {"unreadable_video": 2}

    asyncio.run(scenario())


def test_a_cancelled_write_stores_each_row_once(bucket: RowFolder) -> None:
    async def scenario() -> None:
        buffer = RowBuffer(bucket)
        await buffer.add(row("a.mp4"))
        writing = await start_writing(buffer)
        writing.cancel()
        await asyncio.sleep(0)
        assert not writing.done()
        Bucket.is_open.set()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await buffer.write()
        assert rows_of(bucket) == ["a.mp4"]

    asyncio.run(scenario())


def test_the_rows_of_a_failed_part_go_into_the_next_part(bucket: RowFolder) -> None:
    async def scenario() -> None:
        buffer = RowBuffer(bucket)
        Bucket.is_open.set()
        Bucket.errors.append(OSError("out of reach"))
        await buffer.add(row("a.mp4"))
        with pytest.raises(OSError, match="out of reach"):
            await buffer.write()
        assert bucket.files() == set()
        await buffer.add(row("b.mp4"))
        await buffer.write()
        assert rows_of(bucket) == ["a.mp4", "b.mp4"]

    asyncio.run(scenario())
