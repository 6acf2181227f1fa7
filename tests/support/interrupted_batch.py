"""`python -m tests.support.interrupted_batch VIDEO OUT`: a batch of five videos, stopped at the third and run again.

A program of its own, because a process has TensorFlow's threads set once. Prints, as JSON, which files the
first run had written down, and which were fetched in the second.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from service.batch.options import argument_parser
from service.batch.outputs import RowFolder
from service.batch.run import run_batch


class SlowBucket(MemoryFileSystem):  # type: ignore[misc]
    """A bucket whose third file is available only after `released` is set."""

    protocol = "slow"
    stuck: Callable[[], object]
    fetched: list[str] = []  # noqa: RUF012 - fsspec makes its instances itself
    released = threading.Event()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("slow://", "memory://")))

    def get_file(self, rpath: str, lpath: str, **options: Any) -> None:
        """Fetch a file for fsspec."""
        self.fetched.append(Path(rpath).name)
        if len(self.fetched) == 3:
            type(self).stuck()
            self.released.wait()
        super().get_file(rpath, lpath, **options)


async def interrupt(arguments: list[str]) -> None:
    """Run the batch until its third file, then cancel it."""
    is_stuck, loop = asyncio.Event(), asyncio.get_running_loop()
    SlowBucket.stuck = staticmethod(lambda: loop.call_soon_threadsafe(is_stuck.set))
    run = asyncio.create_task(run_batch(argument_parser().parse_args(arguments)))
    waiting = asyncio.create_task(is_stuck.wait())
    await asyncio.wait({run, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    run.cancel()
    SlowBucket.released.set()
    await asyncio.wait({run})
    assert run.cancelled(), run.exception()


def main(video: Path, out: str) -> None:
    """Run the batch, interrupt it, run it again."""
    fsspec.register_implementation("slow", SlowBucket)
    for number in range(5):
        SlowBucket().pipe_file(f"/in/{number}.mp4", video.read_bytes())
    arguments = ["slow://in", out]
    asyncio.run(interrupt(arguments))
    done = sorted(RowFolder(out, "jsonl").files())
    num_fetched = len(SlowBucket.fetched)
    status = asyncio.run(run_batch(argument_parser().parse_args(arguments)))
    again = sorted(SlowBucket.fetched[num_fetched:])
    sys.stdout.write(json.dumps({"done": done, "fetched_again": again, "status": status}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
