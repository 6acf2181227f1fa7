"""Batching without a timer against batching with a window.

Usage: `python -m benchmarks.studies.batching MODEL_DIR [ENGINE] [SECONDS]`.

4 and 16 callers send clips to the real model in closed loops. The variants take turns, so that other load of the
machine affects all equally. Measurements for docs/decisions/0001-natural-batching.md.
"""

import asyncio
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from service.inference.batch_sizes import verified_batch_sizes
from service.inference.batcher import Batcher
from service.inference.engine import EngineName
from service.inference.engines import import_engine
from service.inference.manifest import read_manifest
from service.inference.model_call import Frames, RunBatch, Valid

_WAITS_SECONDS = (None, 0.005, 0.020)
_NUM_TURNS = 3
_MAX_BATCH_SIZE = 4


class _Batcher(Protocol):
    async def predict(self, frames: Frames, valid: Valid, caller: object) -> object: ...


class WaitingBatcher:
    """Waits for a full batch, at most `wait_seconds` from its first clip on."""

    def __init__(self, run: RunBatch, wait_seconds: float, executor: ThreadPoolExecutor) -> None:
        self._run = run
        self._wait_seconds = wait_seconds
        self._executor = executor
        self._queue: asyncio.Queue[tuple[Frames, Valid, asyncio.Future[None]]] = asyncio.Queue()

    async def predict(self, frames: Frames, valid: Valid, caller: object) -> None:
        """Return when the clip has its prediction; `caller` is ignored."""
        del caller
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._queue.put((frames, valid, done))
        await done

    async def serve(self) -> None:
        """Process batches until cancelled."""
        while True:
            batch = [await self._queue.get()]
            try:
                async with asyncio.timeout(self._wait_seconds):
                    while len(batch) < _MAX_BATCH_SIZE:
                        batch.append(await self._queue.get())
            except TimeoutError:
                pass
            size = next(size for size in (1, 2, 4) if size >= len(batch))
            padded = [*batch, *[batch[0]] * (size - len(batch))]
            frames = np.stack([frames for frames, _, _ in padded])
            valid = np.stack([valid for _, valid, _ in padded])
            await asyncio.get_running_loop().run_in_executor(self._executor, self._run, frames, valid)
            for _, _, done in batch:
                done.set_result(None)


async def closed_loop(batcher: _Batcher, clip: tuple[Frames, Valid], num_callers: int, seconds: float) -> list[float]:
    """Seconds of each prediction; each caller sends its next clip at once."""
    until = time.perf_counter() + seconds
    took: list[float] = []

    async def call(number: int) -> None:
        while (sent_at := time.perf_counter()) < until:
            await batcher.predict(*clip, caller=number)
            took.append(time.perf_counter() - sent_at)

    await asyncio.gather(*(call(number) for number in range(num_callers)))
    return took


async def main(model_dir: Path, engine_name: EngineName, seconds: float) -> None:
    """Print clips per second and latencies of each variant over all its turns."""
    manifest = read_manifest(model_dir)
    spec = manifest.clip
    shape = (spec.num_frames, spec.height, spec.width, 3)
    runtime = import_engine(engine_name, os.cpu_count() or 1)
    engine = runtime.load(model_dir, manifest)
    sizes = verified_batch_sizes(engine.run, shape, (1, 2, _MAX_BATCH_SIZE))
    clip = (
        np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8),
        np.ones(spec.num_frames, dtype=np.bool_),
    )
    print(f"{engine_name}, batch sizes {sizes}")
    print(f"{'callers':>8}{'wait':>8}{'clips/s':>10}{'p50 ms':>10}{'p99 ms':>10}")
    with ThreadPoolExecutor(runtime.num_batch_threads) as executor:
        for num_callers in (4, 16):
            took: dict[float | None, list[float]] = {wait: [] for wait in _WAITS_SECONDS}
            for _ in range(_NUM_TURNS):
                for wait in _WAITS_SECONDS:
                    took[wait] += await _turn(
                        engine.run, shape, sizes, wait, runtime.num_batch_threads, executor, clip, num_callers, seconds
                    )
            for wait, latencies in took.items():
                p50, p99 = np.percentile(latencies, [50, 99]) * 1000
                waited = "none" if wait is None else f"{wait * 1000:.0f} ms"
                rate = len(latencies) / (_NUM_TURNS * seconds)
                print(f"{num_callers:8}{waited:>8}{rate:10.2f}{p50:10.0f}{p99:10.0f}", flush=True)


async def _turn(  # noqa: PLR0917 - internal function
    run: RunBatch,
    shape: tuple[int, int, int, int],
    sizes: list[int],
    wait: float | None,
    num_batch_threads: int,
    executor: ThreadPoolExecutor,
    clip: tuple[Frames, Valid],
    num_callers: int,
    seconds: float,
) -> list[float]:
    if wait is None:
        batcher = Batcher(
            run,
            clip_shape=shape,
            allowed_batch_sizes=sizes,
            num_batch_threads=num_batch_threads,
            max_queue_length=64,
            executor=executor,
        )
        batcher.start()
        took = await closed_loop(batcher, clip, num_callers, seconds)
        await batcher.close()
        return took
    waiting = WaitingBatcher(run, wait, executor)
    serving = [asyncio.create_task(waiting.serve()) for _ in range(num_batch_threads)]
    took = await closed_loop(waiting, clip, num_callers, seconds)
    for task in serving:
        task.cancel()
    return took


if __name__ == "__main__":
    _, _model_dir, *_rest = sys.argv
    _engine: EngineName = "openvino" if "openvino" in _rest else "tensorflow"
    asyncio.run(main(Path(_model_dir), _engine, float(next((word for word in _rest if word.isdecimal()), 10))))
