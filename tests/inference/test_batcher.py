"""The batcher's laws: whatever happens to one request, every other gets its own answer."""

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

from service.inference.batcher import Batcher, ClipOutput, Frames, Valid
from service.inference.errors import BatcherClosed, ModelFailed, QueueFull

SHAPE = (2, 3, 3, 3)
ALL_VALID = np.ones(2, dtype=np.bool_)
POISON = 255
NOT_FINITE = 254

# `make fuzz` tries many more.
NUM_CASES = int(os.environ.get("NUM_CASES", "60"))


@dataclass
class EchoModel:
    """Answers each clip with its own first pixel, so that a mixed-up answer shows."""

    may_run: threading.Event = field(default_factory=threading.Event)
    is_running: threading.Event = field(default_factory=threading.Event)
    running: list[list[int]] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)

    def run(self, frames: Frames, valid: Valid) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Answer as the batcher's `Run`, once the test allows it."""
        marks = frames[:, 0, 0, 0, 0]
        self.running.append(marks.tolist())
        self.is_running.set()
        assert self.may_run.wait(10)
        self.batches.append(marks.tolist())
        if POISON in marks:
            raise RuntimeError("poison")
        answers = np.repeat(marks[:, None].astype(np.float32), 2, axis=1)
        answers[marks == NOT_FINITE] = np.nan
        return answers, valid.astype(np.float32)


@asynccontextmanager
async def serving(
    model: EchoModel, *, sizes: tuple[int, ...] = (1, 2, 4), num_batch_threads: int = 1, max_queue_length: int = 100
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
    """A clip that the echo model answers with `mark`."""
    return np.full(SHAPE, mark, dtype=np.uint8)


def ask(batcher: Batcher, mark: int, caller: object = None) -> "asyncio.Task[ClipOutput]":
    """Ask about `clip(mark)` in a task of its own."""
    return asyncio.create_task(batcher.predict(clip(mark), ALL_VALID, caller if caller is not None else object()))


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)


async def busy(model: EchoModel, batcher: Batcher) -> "asyncio.Task[ClipOutput]":
    """Occupy the model with one clip, so that what comes next must queue."""
    task = ask(batcher, 0)
    await until(model.is_running.is_set)
    return task


def run(story: Awaitable[None]) -> None:
    """Run a story with a bound on its time."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


def test_what_queues_while_the_model_is_busy_shares_its_next_call() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await busy(model, batcher)
            later = [ask(batcher, mark) for mark in (1, 2, 3, 4, 5)]
            await until(lambda: batcher.queue_length == 5)
            model.may_run.set()
            answers = await asyncio.gather(first, *later)
        assert [answer.probabilities[0] for answer in answers] == [0, 1, 2, 3, 4, 5]
        assert model.batches == [[0], [1, 2, 3, 4], [5]]

    run(story())


def test_a_batch_is_as_large_as_an_allowed_size_and_never_filled_up() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await busy(model, batcher)
            later = [ask(batcher, mark) for mark in (1, 2, 3)]
            await until(lambda: batcher.queue_length == 3)
            model.may_run.set()
            answers = await asyncio.gather(first, *later)
        assert model.batches == [[0], [1, 2], [3]]
        assert [answer.batch_size for answer in answers] == [1, 2, 2, 1]

    run(story())


def test_calls_that_are_free_share_what_waits() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model, num_batch_threads=2) as batcher:
            tasks = [ask(batcher, mark) for mark in (1, 2, 3, 4)]
            await until(lambda: len(model.running) == 2)
            assert sorted(model.running) == [[1, 2], [3, 4]]
            model.may_run.set()
            answers = await asyncio.gather(*tasks)
        assert [answer.probabilities[0] for answer in answers] == [1, 2, 3, 4]

    run(story())


def test_no_more_calls_run_at_once_than_the_engine_gains_by() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model, sizes=(1,), num_batch_threads=2) as batcher:
            tasks = [ask(batcher, mark) for mark in (1, 2, 3)]
            await until(lambda: len(model.running) == 2)
            # The third clip waits in the queue, where it could still be taken back.
            assert batcher.queue_length == 1
            model.may_run.set()
            await asyncio.gather(*tasks)
        assert sorted(model.batches) == [[1], [2], [3]]

    run(story())


def test_the_first_call_that_is_free_takes_what_waits() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model, num_batch_threads=2) as batcher:
            tasks = [ask(batcher, mark) for mark in (1, 2)]
            await until(lambda: len(model.running) == 2)
            tasks += [ask(batcher, mark) for mark in (3, 4, 5, 6)]
            await until(lambda: batcher.queue_length == 4)
            model.may_run.set()
            await asyncio.gather(*tasks)
        assert sorted(map(len, model.batches)) in ([1, 1, 4], [1, 1, 2, 2])

    run(story())


def test_a_batch_is_whole_though_callers_left_just_before_it_was_taken() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await busy(model, batcher)
            later = [ask(batcher, mark) for mark in (1, 2, 3, 4)]
            await until(lambda: batcher.queue_length == 4)
            model.may_run.set()
            await until(lambda: len(model.batches) == 1)
            later[1].cancel()
            answers = await asyncio.gather(first, *later, return_exceptions=True)
        assert isinstance(answers[2], asyncio.CancelledError)
        assert [len(batch) for batch in model.batches] in ([1, 2, 1], [1, 4])

    run(story())


def test_a_caller_with_many_clips_delays_another_by_one_turn() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model, sizes=(1, 2)) as batcher:
            first = await busy(model, batcher)
            hog = [ask(batcher, mark, caller="hog") for mark in (1, 2, 3, 4, 5)]
            await until(lambda: batcher.queue_length == 5)
            other = ask(batcher, 9, caller="other")
            await until(lambda: batcher.queue_length == 6)
            model.may_run.set()
            await asyncio.gather(first, other, *hog)
        assert model.batches[:2] == [[0], [1, 9]]

    run(story())


def test_one_poisoned_clip_fails_alone() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await busy(model, batcher)
            tasks = [ask(batcher, mark) for mark in (1, POISON, 3)]
            await until(lambda: batcher.queue_length == 3)
            model.may_run.set()
            await first
            one, poisoned, three = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(one, ClipOutput)
            assert one.probabilities[0] == 1
            assert isinstance(three, ClipOutput)
            assert three.probabilities[0] == 3
            assert isinstance(poisoned, ModelFailed)
            assert (await ask(batcher, 7)).probabilities[0] == 7

    run(story())


def test_an_answer_that_is_not_finite_fails_alone() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await busy(model, batcher)
            tasks = [ask(batcher, 1), ask(batcher, NOT_FINITE)]
            await until(lambda: batcher.queue_length == 2)
            model.may_run.set()
            await first
            assert (await tasks[0]).probabilities[0] == 1
            with pytest.raises(ModelFailed, match="not finite"):
                await tasks[1]

    run(story())


def test_a_cancelled_caller_gives_up_its_place_and_hangs_nobody() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await busy(model, batcher)
            leaver, stayer = ask(batcher, 1), ask(batcher, 2)
            await until(lambda: batcher.queue_length == 2)
            leaver.cancel()
            await until(leaver.done)
            assert batcher.queue_length == 1
            model.may_run.set()
            assert (await stayer).probabilities[0] == 2
            await first
        assert model.batches == [[0], [2]]

    run(story())


def test_a_caller_cancelled_while_the_model_works_on_its_clip_hangs_nobody() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            first = await busy(model, batcher)
            first.cancel()
            await until(first.done)
            model.may_run.set()
            assert (await ask(batcher, 2)).probabilities[0] == 2

    run(story())


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
    async def story() -> None:
        model = EchoModel()
        model.may_run.set()
        async with serving(model) as batcher:
            with pytest.raises(ValueError, match=why):
                await batcher.predict(frames, valid, object())
        assert model.batches == []

    run(story())


def test_a_full_queue_refuses_at_once() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model, max_queue_length=2) as batcher:
            first = await busy(model, batcher)
            queued = [ask(batcher, 1), ask(batcher, 2)]
            await until(lambda: batcher.queue_length == 2)
            with pytest.raises(QueueFull):
                await batcher.predict(clip(3), ALL_VALID, object())
            model.may_run.set()
            await asyncio.gather(first, *queued)

    run(story())


def test_closing_answers_what_is_queued_and_refuses_what_comes_later() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            tasks = [await busy(model, batcher), ask(batcher, 1), ask(batcher, 2)]
            await until(lambda: batcher.queue_length == 2)
            closing = asyncio.create_task(batcher.close())
            model.may_run.set()
            await closing
            assert [(await task).probabilities[0] for task in tasks] == [0, 1, 2]
            with pytest.raises(BatcherClosed):
                await batcher.predict(clip(3), ALL_VALID, object())

    run(story())


def test_nobody_waits_for_ever_when_the_worker_is_killed() -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model) as batcher:
            tasks = [await busy(model, batcher), ask(batcher, 1)]
            await until(lambda: batcher.queue_length == 1)
            batcher._workers.pop().cancel()  # noqa: SLF001 - nothing in the service does this
            model.may_run.set()
            for task in tasks:
                with pytest.raises(BatcherClosed):
                    await task
            with pytest.raises(BatcherClosed):
                await batcher.predict(clip(3), ALL_VALID, object())

    run(story())


@settings(max_examples=NUM_CASES, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, POISON), st.sampled_from(["a", "b", "c"]), st.booleans()), min_size=1, max_size=24
    ),
    st.integers(1, 3),
)
def test_any_mix_of_callers_poison_and_cancellation_leaves_every_other_with_its_own_answer(
    requests: list[tuple[int, str, bool]], num_batch_threads: int
) -> None:
    async def story() -> None:
        model = EchoModel()
        async with serving(model, num_batch_threads=num_batch_threads) as batcher:
            first = [ask(batcher, 0) for _ in range(num_batch_threads)]
            await until(lambda: len(model.running) == num_batch_threads)
            tasks = [ask(batcher, mark, caller) for mark, caller, _ in requests]
            await until(lambda: batcher.queue_length == len(requests))
            for task, (_, _, leaves) in zip(tasks, requests, strict=True):
                if leaves:
                    task.cancel()
            model.may_run.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*first)
        assert {len(batch) for batch in model.batches} <= {1, 2, 4}
        for (mark, _, leaves), result in zip(requests, results, strict=True):
            if leaves:
                assert isinstance(result, asyncio.CancelledError)
            elif mark in (POISON, NOT_FINITE):
                assert isinstance(result, ModelFailed)
            else:
                assert isinstance(result, ClipOutput)
                assert result.probabilities.tolist() == [mark, mark]

    run(story())
