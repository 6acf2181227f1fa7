"""Batches the clips of concurrent requests into calls of one model. Knows no video, no HTTP and no TensorFlow.

Clips queue while the model is busy; a free call takes as many as fit into an allowed batch size. There is no timer: to
wait for more clips helps only while the model is busy anyway. If the engine runs several calls at once, the free calls
share the queue.

Clips of a request that pauses stay in the queue. The seconds of a call are charged to the requests of its clips.

Guarantees: a request that is cancelled, malformed or makes the model fail affects no other request, and every request
completes or fails; none waits indefinitely.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from service.fair_share.share import Work
from service.inference.call_times import CallTimes
from service.inference.clip_queue import ClipQueue, QueuedClip
from service.inference.errors import BatcherClosed, ModelFailed, QueueFull
from service.inference.model_call import ClipOutput, Frames, RunBatch, Valid

_log = logging.getLogger(__name__)

ObserveBatch = Callable[[int, float], None]
"""Called after each successful model call with its number of clips and its seconds."""


class Batcher:
    """Batches the clips of many callers into allowed batch sizes, in turn by caller."""

    # Weight of the newest batch in the running mean of seconds per clip.
    _SMOOTHING = 0.1

    def __init__(
        self,
        run: RunBatch,
        *,
        clip_shape: tuple[int, int, int, int],
        allowed_batch_sizes: Sequence[int],
        num_batch_threads: int,
        max_queue_length: int,
        executor: Executor,
        max_call_seconds: float = math.inf,
        observe: ObserveBatch = lambda _num_clips, _seconds: None,
    ) -> None:
        """`run` is called in `executor`, up to `num_batch_threads` calls at a time; `clip_shape` is [T, H, W, 3].

        `allowed_batch_sizes` must contain 1. A size whose calls take longer than `max_call_seconds` is used only if
        they take little longer than those of a single clip: a call cannot be interrupted for another caller.
        """
        self._run = run
        self._clip_shape = clip_shape
        self._allowed_batch_sizes = sorted(allowed_batch_sizes, reverse=True)
        self._num_batch_threads = num_batch_threads
        self._num_running = 0
        self._max_queue_length = max_queue_length
        self._executor = executor
        self._call_times = CallTimes(max_call_seconds)
        self._observe = observe
        self._queue = ClipQueue()
        self._has_work = asyncio.Event()
        self._is_closed = False
        self._seconds_per_clip: float | None = None
        self._workers: list[asyncio.Task[None]] = []

    @property
    def queue_length(self) -> int:
        """Number of clips that wait for the model."""
        return len(self._queue)

    @property
    def seconds_per_clip(self) -> float:
        """Running mean over batches of call seconds divided by clips; 0 before the first batch.

        Clips in larger batches cost less, so the value reflects the current load.
        """
        return self._seconds_per_clip or 0.0

    def start(self) -> None:
        """Start to serve in the running event loop."""
        self._workers = [asyncio.create_task(self._serve()) for _ in range(self._num_batch_threads)]

    async def close(self) -> None:
        """Reject new clips, finish the queued ones, and stop."""
        self._is_closed = True
        self._has_work.set()
        await asyncio.gather(*self._workers)

    async def predict(self, frames: Frames, valid: Valid, caller: Hashable) -> ClipOutput:
        """Run the model on one clip: frames uint8 [T, H, W, 3], valid bool [T].

        Raises:
            ValueError: the clip has the wrong shape or type, or no valid frame.
            QueueFull: the queue is full.
            BatcherClosed: the batcher is closed.
            ModelFailed: the model raised on this clip, or its output is not finite.

        A cancelled call leaves the queue at once.
        """
        if frames.shape != self._clip_shape or frames.dtype != np.uint8:
            raise ValueError(f"a clip must be uint8 {self._clip_shape}, not {frames.dtype} {frames.shape}")
        if valid.shape != self._clip_shape[:1] or valid.dtype != np.bool_:
            raise ValueError(f"valid must be bool {self._clip_shape[:1]}, not {valid.dtype} {valid.shape}")
        if not valid.any():
            raise ValueError("a clip must hold at least one valid frame")
        if self._is_closed or not self._workers:
            raise BatcherClosed("the model accepts no new clips; the service is draining or the model is unloaded")
        if len(self._queue) >= self._max_queue_length:
            raise QueueFull(f"{len(self._queue)} clips wait for the model already; try again later")
        clip = QueuedClip(frames, valid, asyncio.get_running_loop().create_future(), time.perf_counter(), caller)
        if isinstance(caller, Work):
            caller.on_resume(self._has_work.set)
        self._queue.append(clip)
        self._has_work.set()
        try:
            return await clip.output
        except asyncio.CancelledError:
            self._queue.discard(clip)
            raise

    def _take_batch(self) -> list[QueuedClip]:
        """Take the largest allowed batch within this call's fraction of the queue; the rest is for the free calls.

        The batch is never padded to a larger size: on CPUs a padded row costs as much as a clip.
        """
        # A batcher that closes waits for no request.
        num_waiting = self._queue.num_waiting(with_paused=self._is_closed)
        max_size = -(-num_waiting // (self._num_batch_threads - self._num_running))
        sizes = (
            size for size in self._allowed_batch_sizes if size <= max_size and self._call_times.is_short_enough(size)
        )
        return self._queue.take(next(sizes, 0), with_paused=self._is_closed)

    async def _serve(self) -> None:
        batch: list[QueuedClip] = []
        try:
            while True:
                batch = self._take_batch()
                if batch:
                    self._num_running += 1
                    await self._process(batch)
                    self._num_running -= 1
                elif self._is_closed:
                    return
                else:
                    self._has_work.clear()
                    await self._has_work.wait()
        finally:
            # No caller may wait for a worker that has ended, for whatever reason.
            self._is_closed = True
            for clip in [*batch, *self._queue.drain()]:
                if not clip.output.done():
                    clip.output.set_exception(BatcherClosed("the model stopped"))

    async def _process(self, batch: list[QueuedClip]) -> None:
        started_at = time.perf_counter()
        try:
            probabilities, attention = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._run_batch, batch
            )
        except Exception as error:  # noqa: BLE001 - any error of the model becomes ModelFailed for its callers
            _charge(batch, time.perf_counter() - started_at)
            _log.exception("the model failed", extra={"batch_size": len(batch)})
            if len(batch) == 1:
                if not batch[0].output.done():
                    batch[0].output.set_exception(ModelFailed(repr(error)))
                return
            # Any clip may have caused the error: run each alone, so that only that clip fails.
            for clip in batch:
                if not clip.output.done():
                    await self._process([clip])
            return
        model_seconds = time.perf_counter() - started_at
        _charge(batch, model_seconds)
        self._update_mean(model_seconds / len(batch))
        self._call_times.record(len(batch), model_seconds)
        self._observe(len(batch), model_seconds)
        for clip, clip_probabilities, clip_attention in zip(batch, probabilities, attention, strict=False):
            if clip.output.done():
                continue
            if not (np.isfinite(clip_probabilities).all() and np.isfinite(clip_attention).all()):
                clip.output.set_exception(ModelFailed("the model's output is not finite"))
                continue
            clip.output.set_result(
                ClipOutput(
                    probabilities=clip_probabilities,
                    attention=clip_attention,
                    queue_seconds=started_at - clip.queued_at,
                    model_seconds=model_seconds,
                    batch_size=len(batch),
                )
            )

    def _update_mean(self, seconds_per_clip: float) -> None:
        mean = seconds_per_clip if self._seconds_per_clip is None else self._seconds_per_clip
        self._seconds_per_clip = mean + self._SMOOTHING * (seconds_per_clip - mean)

    def _run_batch(self, batch: list[QueuedClip]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        probabilities, attention = self._run(
            np.stack([clip.frames for clip in batch]), np.stack([clip.valid for clip in batch])
        )
        if len(probabilities) != len(batch) or len(attention) != len(batch):
            raise ValueError(f"the model returned {len(probabilities)} rows for {len(batch)} clips")
        return probabilities, attention


def _charge(batch: list[QueuedClip], model_seconds: float) -> None:
    """Count an equal part of a call as used by the request of each clip."""
    for clip in batch:
        if isinstance(clip.caller, Work):
            clip.caller.charge(model_seconds / len(batch))
