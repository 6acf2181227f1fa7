"""Batches the clips of concurrent requests into calls of one model. Knows no video, no HTTP and no TensorFlow.

Clips queue while the model is busy; a free call takes as many as fit into an allowed batch size. There is no timer: to
wait for more clips helps only while the model is busy anyway. If the engine runs several calls at once, the free calls
share the queue.

Guarantees: a request that is cancelled, malformed or makes the model fail affects no other request, and every request
completes or fails; none waits indefinitely.
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.inference.errors import BatcherClosed, ModelFailed, QueueFull

_log = logging.getLogger(__name__)

Frames = NDArray[np.uint8]
Valid = NDArray[np.bool_]
RunBatch = Callable[[Frames, Valid], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Runs the model: frames uint8 [B, T, H, W, 3], valid bool [B, T] -> probabilities float32 [B, K], attention
float32 [B, T]. The batcher calls it in threads of the executor; B is one of the allowed batch sizes."""

ObserveBatch = Callable[[int, float], None]
"""Called after each successful model call with its number of clips and its seconds."""


@dataclass(frozen=True, slots=True)
class ClipOutput:
    """The model's output for one clip: probabilities float32 [K], attention float32 [T]."""

    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    queue_seconds: float
    model_seconds: float
    batch_size: int


@dataclass(slots=True)
class _QueuedClip:
    frames: Frames
    valid: Valid
    output: asyncio.Future[ClipOutput]
    queued_at: float


class Batcher:
    """Batches the clips of many callers into allowed batch sizes, round-robin by caller."""

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
        observe: ObserveBatch = lambda _num_clips, _seconds: None,
    ) -> None:
        """`run` is called in `executor`, up to `num_batch_threads` calls at a time; `clip_shape` is [T, H, W, 3].

        `allowed_batch_sizes` must contain 1.
        """
        self._run = run
        self._clip_shape = clip_shape
        self._allowed_batch_sizes = sorted(allowed_batch_sizes, reverse=True)
        self._num_batch_threads = num_batch_threads
        self._num_running = 0
        self._max_queue_length = max_queue_length
        self._executor = executor
        self._observe = observe
        # One queue per caller, served round-robin: a caller with a thousand clips delays another by one clip.
        self._queues: OrderedDict[Hashable, deque[_QueuedClip]] = OrderedDict()
        self._queue_length = 0
        self._has_work = asyncio.Event()
        self._is_closed = False
        self._seconds_per_clip: float | None = None
        self._workers: list[asyncio.Task[None]] = []

    @property
    def queue_length(self) -> int:
        """Number of clips that wait for the model."""
        return self._queue_length

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
        if self._queue_length >= self._max_queue_length:
            raise QueueFull(f"{self._queue_length} clips wait for the model already; try again later")
        clip = _QueuedClip(frames, valid, asyncio.get_running_loop().create_future(), time.perf_counter())
        self._queues.setdefault(caller, deque()).append(clip)
        self._queue_length += 1
        self._has_work.set()
        try:
            return await clip.output
        except asyncio.CancelledError:
            self._remove_from_queue(caller, clip)
            raise

    def _remove_from_queue(self, caller: Hashable, clip: _QueuedClip) -> None:
        queue = self._queues.get(caller)
        if queue is None:
            return
        for position, queued in enumerate(queue):
            if queued is clip:
                del queue[position]
                self._queue_length -= 1
                break
        if not queue:
            del self._queues[caller]

    def _take_batch(self) -> list[_QueuedClip]:
        """Take the largest allowed batch within this call's fraction of the queue; the rest is for the free calls.

        The batch is never padded to a larger size: on CPUs a padded row costs as much as a clip.
        """
        num_waiting = sum(not clip.output.done() for queue in self._queues.values() for clip in queue)
        max_size = -(-num_waiting // (self._num_batch_threads - self._num_running))
        size = next((size for size in self._allowed_batch_sizes if size <= max_size), 0)
        batch: list[_QueuedClip] = []
        while len(batch) < size:
            caller, queue = self._queues.popitem(last=False)
            clip = queue.popleft()
            self._queue_length -= 1
            if queue:
                self._queues[caller] = queue
            if not clip.output.done():
                batch.append(clip)
        return batch

    async def _serve(self) -> None:
        batch: list[_QueuedClip] = []
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
            waiting = [*batch, *(clip for queue in self._queues.values() for clip in queue)]
            self._queues.clear()
            self._queue_length = 0
            for clip in waiting:
                if not clip.output.done():
                    clip.output.set_exception(BatcherClosed("the model stopped"))

    async def _process(self, batch: list[_QueuedClip]) -> None:
        started_at = time.perf_counter()
        try:
            probabilities, attention = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._run_batch, batch
            )
        except Exception as error:  # noqa: BLE001 - any error of the model becomes ModelFailed for its callers
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
        self._update_mean(model_seconds / len(batch))
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

    def _run_batch(self, batch: list[_QueuedClip]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        probabilities, attention = self._run(
            np.stack([clip.frames for clip in batch]), np.stack([clip.valid for clip in batch])
        )
        if len(probabilities) != len(batch) or len(attention) != len(batch):
            raise ValueError(f"the model returned {len(probabilities)} rows for {len(batch)} clips")
        return probabilities, attention
