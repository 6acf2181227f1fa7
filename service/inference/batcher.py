"""Many callers, one model. Knows nothing of video, of HTTP or of TensorFlow.

While the model is busy the queue fills; when it is free it takes what fits. No timer: waiting for
company only helps where the model would otherwise have idled. Where the engine answers several calls
at once, those that are free share what waits.

Laws: whatever happens to one request - cancelled, malformed, its model call raising - every other
gets its own answer, and nobody waits for ever.
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
Run = Callable[[Frames, Valid], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""frames uint8 [B, T, H, W, 3], valid bool [B, T] -> probabilities float32 [B, K], attention float32
[B, T]. Called in threads of the executor, with B one of the allowed batch sizes."""


ObserveBatch = Callable[[int, float], None]
"""Told after each answered call how many clips it held and how many seconds it took."""


@dataclass(frozen=True, slots=True)
class ClipOutput:
    """What the model says of one clip: probabilities float32 [K], attention float32 [T]."""

    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    queue_seconds: float
    model_seconds: float
    batch_size: int


@dataclass(slots=True)
class _Item:
    frames: Frames
    valid: Valid
    answer: asyncio.Future[ClipOutput]
    queued_at: float


class Batcher:
    """Gathers clips of many callers into batches of the allowed sizes, in turn by caller."""

    # Weight of the newest batch in the running mean of seconds per clip.
    _SMOOTHING = 0.1

    def __init__(
        self,
        run: Run,
        *,
        clip_shape: tuple[int, int, int, int],
        allowed_batch_sizes: Sequence[int],
        concurrent_calls: int,
        max_queue_length: int,
        executor: Executor,
        observe: ObserveBatch = lambda _num_clips, _seconds: None,
    ) -> None:
        """`run` is called in `executor`, up to `concurrent_calls` at a time; `clip_shape` is [T, H, W, 3].

        1 is one of `allowed_batch_sizes`.
        """
        self._run = run
        self._clip_shape = clip_shape
        self._allowed_batch_sizes = sorted(allowed_batch_sizes, reverse=True)
        self._concurrent_calls = concurrent_calls
        self._num_calling = 0
        self._max_queue_length = max_queue_length
        self._executor = executor
        self._observe = observe
        # One queue per caller, served in turn: a caller with a thousand clips delays another by one.
        self._queues: OrderedDict[Hashable, deque[_Item]] = OrderedDict()
        self._queue_length = 0
        self._has_work = asyncio.Event()
        self._is_closed = False
        self._seconds_per_clip: float | None = None
        self._workers: list[asyncio.Task[None]] = []

    @property
    def queue_length(self) -> int:
        """How many clips wait for the model."""
        return self._queue_length

    @property
    def seconds_per_clip(self) -> float:
        """What a clip has lately cost: a running mean over batches of a call's time by its clips; 0 before the first.

        A clip that shares its call is cheaper, so this is the price at the present load.
        """
        return self._seconds_per_clip or 0.0

    def start(self) -> None:
        """Begin to serve, in the running event loop."""
        self._workers = [asyncio.create_task(self._serve()) for _ in range(self._concurrent_calls)]

    async def close(self) -> None:
        """Answer what is queued, take nothing more, and stop."""
        self._is_closed = True
        self._has_work.set()
        await asyncio.gather(*self._workers)

    async def predict(self, frames: Frames, valid: Valid, caller: Hashable) -> ClipOutput:
        """The model's answer for one clip: frames uint8 [T, H, W, 3], valid bool [T].

        Raises:
            ValueError: the clip has the wrong shape or type, or no valid frame.
            QueueFull: every place in the queue is taken.
            BatcherClosed: the batcher takes no more work.
            ModelFailed: the model raised on this clip, or gave an answer that is none.

        A caller that is cancelled gives up its place at once.
        """
        if frames.shape != self._clip_shape or frames.dtype != np.uint8:
            raise ValueError(f"a clip must be uint8 {self._clip_shape}, not {frames.dtype} {frames.shape}")
        if valid.shape != self._clip_shape[:1] or valid.dtype != np.bool_:
            raise ValueError(f"valid must be bool {self._clip_shape[:1]}, not {valid.dtype} {valid.shape}")
        if not valid.any():
            raise ValueError("a clip must hold at least one valid frame")
        if self._is_closed or not self._workers:
            raise BatcherClosed("the model takes no more work")
        if self._queue_length >= self._max_queue_length:
            raise QueueFull(f"{self._queue_length} clips are waiting already")
        item = _Item(frames, valid, asyncio.get_running_loop().create_future(), time.perf_counter())
        self._queues.setdefault(caller, deque()).append(item)
        self._queue_length += 1
        self._has_work.set()
        try:
            return await item.answer
        except asyncio.CancelledError:
            self._forget(caller, item)
            raise

    def _forget(self, caller: Hashable, item: _Item) -> None:
        queue = self._queues.get(caller)
        if queue is None:
            return
        for place, queued in enumerate(queue):
            if queued is item:
                del queue[place]
                self._queue_length -= 1
                break
        if not queue:
            del self._queues[caller]

    def _take_batch(self) -> list[_Item]:
        """As many clips as an allowed size holds of this call's share of the queue; more would leave a free call idle.

        Never fewer than the size: on processors a place that is filled up costs as much as a clip.
        """
        num_waiting = sum(not item.answer.done() for queue in self._queues.values() for item in queue)
        share = -(-num_waiting // (self._concurrent_calls - self._num_calling))
        size = next((size for size in self._allowed_batch_sizes if size <= share), 0)
        batch: list[_Item] = []
        while len(batch) < size:
            caller, queue = self._queues.popitem(last=False)
            item = queue.popleft()
            self._queue_length -= 1
            if queue:
                self._queues[caller] = queue
            if not item.answer.done():
                batch.append(item)
        return batch

    async def _serve(self) -> None:
        batch: list[_Item] = []
        try:
            while True:
                batch = self._take_batch()
                if batch:
                    self._num_calling += 1
                    await self._answer(batch)
                    self._num_calling -= 1
                elif self._is_closed:
                    return
                else:
                    self._has_work.clear()
                    await self._has_work.wait()
        finally:
            # However a worker ends, nobody is left waiting.
            self._is_closed = True
            waiting = [*batch, *(item for queue in self._queues.values() for item in queue)]
            self._queues.clear()
            self._queue_length = 0
            for item in waiting:
                if not item.answer.done():
                    item.answer.set_exception(BatcherClosed("the model stopped"))

    async def _answer(self, batch: list[_Item]) -> None:
        started_at = time.perf_counter()
        try:
            probabilities, attention = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._run_batch, batch
            )
        except Exception as error:  # noqa: BLE001 - whatever the model raises, its callers get an answer
            _log.exception("the model failed", extra={"batch_size": len(batch)})
            if len(batch) == 1:
                if not batch[0].answer.done():
                    batch[0].answer.set_exception(ModelFailed(repr(error)))
                return
            # Which clip was to blame is not known: each is tried alone, so that only it pays.
            for item in batch:
                if not item.answer.done():
                    await self._answer([item])
            return
        model_seconds = time.perf_counter() - started_at
        self._measure(model_seconds / len(batch))
        self._observe(len(batch), model_seconds)
        for item, item_probabilities, item_attention in zip(batch, probabilities, attention, strict=False):
            if item.answer.done():
                continue
            if not (np.isfinite(item_probabilities).all() and np.isfinite(item_attention).all()):
                item.answer.set_exception(ModelFailed("the model's answer is not finite"))
                continue
            item.answer.set_result(
                ClipOutput(
                    probabilities=item_probabilities,
                    attention=item_attention,
                    queue_seconds=started_at - item.queued_at,
                    model_seconds=model_seconds,
                    batch_size=len(batch),
                )
            )

    def _measure(self, seconds_per_clip: float) -> None:
        mean = seconds_per_clip if self._seconds_per_clip is None else self._seconds_per_clip
        self._seconds_per_clip = mean + self._SMOOTHING * (seconds_per_clip - mean)

    def _run_batch(self, batch: list[_Item]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        probabilities, attention = self._run(
            np.stack([item.frames for item in batch]), np.stack([item.valid for item in batch])
        )
        if len(probabilities) != len(batch) or len(attention) != len(batch):
            raise ValueError(f"the model answered {len(probabilities)} clips of {len(batch)}")
        return probabilities, attention
