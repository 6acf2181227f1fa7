"""The batcher's guarantees: no request affects the output of another."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.fair_share.settings import FairShareSettings
from service.fair_share.share import FairShare
from service.inference.batcher import Batcher
from service.inference.errors import BatcherClosed, ModelFailed, QueueFull
from service.inference.model_call import ClipOutput, Frames, Valid

SHAPE = (2, 3, 3, 3)
ALL_VALID = np.ones(2, dtype=np.bool_)
POISON = 255
NOT_FINITE = 254

# `make fuzz` tries many more.
NUM_CASES = int(os.environ.get("NUM_CASES", "60"))


@dataclass
class EchoModel:
    """Outputs the first pixel of each clip, so that swapped outputs are visible."""

    may_run: threading.Event = field(default_factory=threading.Event)
    is_running: threading.Event = field(default_factory=threading.Event)
    running: list[list[int]] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)

    def run(self, frames: Frames, valid: Valid) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run a batch, as `RunBatch`, once the test allows it."""
        marks = frames[:, 0, 0, 0, 0]
        self.running.append(marks.tolist())
        self.is_running.set()
        assert self.may_run.wait(10)
        self.batches.append(marks.tolist())
        if POISON in marks:
            raise RuntimeError("poison")
        outputs = np.repeat(marks[:, None].astype(np.float32), 2, axis=1)
        outputs[marks == NOT_FINITE] = np.nan
        return outputs, valid.astype(np.float32)


@asynccontextmanager
async def serving(
    model: EchoModel,
    *,
    sizes: tuple[int, ...] = (1, 2, 4),
    num_batch_threads: int = 1,
    max_queue_length: int = 100,
) -> AsyncIterator[Batcher]:
    """A batcher over `model`, closed with the context."""
    with ThreadPoolExecutor(num_batch_threads) as executor:
        batcher = Batcher(
            model.run,
            clip_shape=SHAPE,
            allowed_batch_sizes=sizes,
            num_batch_threads=num_batch_threads,
            max_queue_length=max_queue_length,
            executor=executor,
        )
        batcher.start()
        try:
            yield batcher
        finally:
            model.may_run.set()
            await batcher.close()


def clip(mark: int) -> Frames:
    """A clip for which the echo model outputs `mark`."""
    return np.full(SHAPE, mark, dtype=np.uint8)


def submit(batcher: Batcher, mark: int, caller: object = None) -> "asyncio.Task[ClipOutput]":
    """Run `clip(mark)` in a task of its own."""
    return asyncio.create_task(batcher.predict(clip(mark), ALL_VALID, caller if caller is not None else object()))


async def until(condition: Callable[[], bool]) -> None:
    """Run the event loop until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0)


async def occupy(model: EchoModel, batcher: Batcher) -> "asyncio.Task[ClipOutput]":
    """Occupy the model with one clip, so that further clips queue."""
    task = submit(batcher, 0)
    await until(model.is_running.is_set)
    return task


def run(scenario: Awaitable[None]) -> None:
    """Run a scenario with a time limit."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario

    asyncio.run(bounded())


def test_clips_queued_while_the_model_is_busy_share_the_next_call() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await occupy(model, batcher)
            later = [submit(batcher, mark) for mark in (1, 2, 3, 4, 5)]
            await until(lambda: batcher.queue_length == 5)
            model.may_run.set()
            outputs = await asyncio.gather(first, *later)
        assert [output.probabilities[0] for output in outputs] == [0, 1, 2, 3, 4, 5]
        assert model.batches == [[0], [1, 2, 3, 4], [5]]

    run(scenario())


def test_a_batch_has_an_allowed_size_and_is_never_padded() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await occupy(model, batcher)
            later = [submit(batcher, mark) for mark in (1, 2, 3)]
            await until(lambda: batcher.queue_length == 3)
            model.may_run.set()
            outputs = await asyncio.gather(first, *later)
        assert model.batches == [[0], [1, 2], [3]]
        assert [output.batch_size for output in outputs] == [1, 2, 2, 1]

    run(scenario())


def test_free_calls_share_the_queue() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model, num_batch_threads=2) as batcher:
            tasks = [submit(batcher, mark) for mark in (1, 2, 3, 4)]
            await until(lambda: len(model.running) == 2)
            assert sorted(model.running) == [[1, 2], [3, 4]]
            model.may_run.set()
            outputs = await asyncio.gather(*tasks)
        assert [output.probabilities[0] for output in outputs] == [1, 2, 3, 4]

    run(scenario())


def test_no_more_calls_run_at_once_than_batch_threads() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model, sizes=(1,), num_batch_threads=2) as batcher:
            tasks = [submit(batcher, mark) for mark in (1, 2, 3)]
            await until(lambda: len(model.running) == 2)
            # The third clip waits in the queue, where it can still be cancelled.
            assert batcher.queue_length == 1
            model.may_run.set()
            await asyncio.gather(*tasks)
        assert sorted(model.batches) == [[1], [2], [3]]

    run(scenario())


def test_the_first_free_call_takes_the_queue() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model, num_batch_threads=2) as batcher:
            tasks = [submit(batcher, mark) for mark in (1, 2)]
            await until(lambda: len(model.running) == 2)
            tasks += [submit(batcher, mark) for mark in (3, 4, 5, 6)]
            await until(lambda: batcher.queue_length == 4)
            model.may_run.set()
            await asyncio.gather(*tasks)
        assert sorted(map(len, model.batches)) in ([1, 1, 4], [1, 1, 2, 2])

    run(scenario())


def test_cancelled_clips_leave_no_gap_in_the_next_batch() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await occupy(model, batcher)
            later = [submit(batcher, mark) for mark in (1, 2, 3, 4)]
            await until(lambda: batcher.queue_length == 4)
            model.may_run.set()
            await until(lambda: len(model.batches) == 1)
            later[1].cancel()
            outputs = await asyncio.gather(first, *later, return_exceptions=True)
        assert isinstance(outputs[2], asyncio.CancelledError)
        assert [len(batch) for batch in model.batches] in ([1, 2, 1], [1, 4])

    run(scenario())


def test_a_caller_with_many_clips_delays_another_caller_by_one_clip() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model, sizes=(1, 2)) as batcher:
            first = await occupy(model, batcher)
            hog = [submit(batcher, mark, caller="hog") for mark in (1, 2, 3, 4, 5)]
            await until(lambda: batcher.queue_length == 5)
            other = submit(batcher, 9, caller="other")
            await until(lambda: batcher.queue_length == 6)
            model.may_run.set()
            await asyncio.gather(first, other, *hog)
        assert model.batches[:2] == [[0], [1, 9]]

    run(scenario())


def fair_share() -> FairShare:
    """A fair share between callers on one thread, in which requests give way after a second of use."""
    return FairShare(FairShareSettings(fair_share_turn_seconds=1, fair_share_max_pause_seconds=600), num_threads=1)


def test_the_clip_of_the_caller_that_used_least_is_next() -> None:
    async def scenario() -> None:
        model, share = EchoModel(), fair_share()
        async with serving(model, sizes=(1,)) as batcher:
            first = await occupy(model, batcher)
            with share.work("more") as more, share.work("less") as less:
                more.charge(0.9)
                tasks = [submit(batcher, 1, more), submit(batcher, 2, more), submit(batcher, 3, less)]
                await until(lambda: batcher.queue_length == 3)
                model.may_run.set()
                await asyncio.gather(first, *tasks)
                assert less.seconds > 0
        assert model.batches == [[0], [3], [1], [2]]

    run(scenario())


def test_the_clips_of_a_request_wait_while_it_pauses_for_another_caller() -> None:
    async def scenario() -> None:
        model, share = EchoModel(), fair_share()
        model.may_run.set()
        async with serving(model) as batcher:
            with share.work("heavy") as heavy:
                heavy.charge(60)
                with share.work("light") as light:
                    assert heavy.is_paused
                    paused = [submit(batcher, 1, heavy), submit(batcher, 2, heavy)]
                    await until(lambda: batcher.queue_length == 2)
                    assert (await submit(batcher, 3, light)).probabilities[0] == 3
                    assert batcher.queue_length == 2
                assert [(await task).probabilities[0] for task in paused] == [1, 2]

    run(scenario())


def test_a_batcher_that_closes_finishes_the_clips_of_paused_requests() -> None:
    async def scenario() -> None:
        model, share = EchoModel(), fair_share()
        model.may_run.set()
        async with serving(model) as batcher:
            with share.work("heavy") as heavy:
                heavy.charge(60)
                with share.work("light"):
                    paused = submit(batcher, 1, heavy)
                    await until(lambda: batcher.queue_length == 1)
                    await batcher.close()
                    assert (await paused).probabilities[0] == 1

    run(scenario())


def test_a_clip_that_makes_the_model_fail_fails_alone() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await occupy(model, batcher)
            tasks = [submit(batcher, mark) for mark in (1, POISON, 3)]
            await until(lambda: batcher.queue_length == 3)
            model.may_run.set()
            await first
            one, poisoned, three = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(one, ClipOutput)
            assert one.probabilities[0] == 1
            assert isinstance(three, ClipOutput)
            assert three.probabilities[0] == 3
            assert isinstance(poisoned, ModelFailed)
            assert (await submit(batcher, 7)).probabilities[0] == 7

    run(scenario())


def test_a_clip_with_an_output_that_is_not_finite_fails_alone() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await occupy(model, batcher)
            tasks = [submit(batcher, 1), submit(batcher, NOT_FINITE)]
            await until(lambda: batcher.queue_length == 2)
            model.may_run.set()
            await first
            assert (await tasks[0]).probabilities[0] == 1
            with pytest.raises(ModelFailed, match="not finite"):
                await tasks[1]

    run(scenario())


def test_a_cancelled_clip_leaves_the_queue_and_delays_no_other() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await occupy(model, batcher)
            cancelled, kept = submit(batcher, 1), submit(batcher, 2)
            await until(lambda: batcher.queue_length == 2)
            cancelled.cancel()
            await until(cancelled.done)
            assert batcher.queue_length == 1
            model.may_run.set()
            assert (await kept).probabilities[0] == 2
            await first
        assert model.batches == [[0], [2]]

    run(scenario())


def test_a_clip_cancelled_during_its_model_call_delays_no_other() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await occupy(model, batcher)
            first.cancel()
            await until(first.done)
            model.may_run.set()
            assert (await submit(batcher, 2)).probabilities[0] == 2

    run(scenario())


@pytest.mark.parametrize(
    ("frames", "valid", "why"),
    [
        (np.zeros((2, 3, 3, 1), np.uint8), ALL_VALID, "uint8"),
        (np.zeros(SHAPE, np.float32), ALL_VALID, "uint8"),
        (np.zeros(SHAPE, np.uint8), np.ones(3, np.bool_), "bool"),
        (np.zeros(SHAPE, np.uint8), np.ones(2, np.uint8), "bool"),
        (np.zeros(SHAPE, np.uint8), np.zeros(2, np.bool_), "at least one valid frame"),
    ],
)
def test_a_malformed_clip_never_reaches_the_model(frames: Frames, valid: Valid, why: str) -> None:
    async def scenario() -> None:
        model = EchoModel()
        model.may_run.set()
        async with serving(model) as batcher:
            with pytest.raises(ValueError, match=why):
                await batcher.predict(frames, valid, object())
        assert model.batches == []

    run(scenario())


def test_a_full_queue_rejects_further_clips_at_once() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model, max_queue_length=2) as batcher:
            first = await occupy(model, batcher)
            queued = [submit(batcher, 1), submit(batcher, 2)]
            await until(lambda: batcher.queue_length == 2)
            with pytest.raises(QueueFull):
                await batcher.predict(clip(3), ALL_VALID, object())
            model.may_run.set()
            await asyncio.gather(first, *queued)

    run(scenario())


def test_closing_finishes_queued_clips_and_rejects_later_ones() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            tasks = [await occupy(model, batcher), submit(batcher, 1), submit(batcher, 2)]
            await until(lambda: batcher.queue_length == 2)
            closing = asyncio.create_task(batcher.close())
            model.may_run.set()
            await closing
            assert [(await task).probabilities[0] for task in tasks] == [0, 1, 2]
            with pytest.raises(BatcherClosed):
                await batcher.predict(clip(3), ALL_VALID, object())

    run(scenario())


def test_every_waiting_clip_fails_when_a_worker_is_killed() -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            tasks = [await occupy(model, batcher), submit(batcher, 1)]
            await until(lambda: batcher.queue_length == 1)
            batcher._workers.pop().cancel()  # noqa: SLF001 - nothing in the service does this
            model.may_run.set()
            for task in tasks:
                with pytest.raises(BatcherClosed):
                    await task
            with pytest.raises(BatcherClosed):
                await batcher.predict(clip(3), ALL_VALID, object())

    run(scenario())


@settings(max_examples=NUM_CASES, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, POISON), st.sampled_from(["a", "b", "c"]), st.booleans()), min_size=1, max_size=24
    ),
    st.integers(1, 3),
)
def test_no_mix_of_callers_failures_and_cancellations_affects_another_clip(
    requests: list[tuple[int, str, bool]], num_batch_threads: int
) -> None:
    async def scenario() -> None:
        model = EchoModel()
        async with serving(model, num_batch_threads=num_batch_threads) as batcher:
            first = [submit(batcher, 0) for _ in range(num_batch_threads)]
            await until(lambda: len(model.running) == num_batch_threads)
            tasks = [submit(batcher, mark, caller) for mark, caller, _ in requests]
            await until(lambda: batcher.queue_length == len(requests))
            for task, (_, _, is_cancelled) in zip(tasks, requests, strict=True):
                if is_cancelled:
                    task.cancel()
            model.may_run.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*first)
        assert {len(batch) for batch in model.batches} <= {1, 2, 4}
        for (mark, _, is_cancelled), result in zip(requests, results, strict=True):
            if is_cancelled:
                assert isinstance(result, asyncio.CancelledError)
            elif mark in (POISON, NOT_FINITE):
                assert isinstance(result, ModelFailed)
            else:
                assert isinstance(result, ClipOutput)
                assert result.probabilities.tolist() == [mark, mark]

    run(scenario())
