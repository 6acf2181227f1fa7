"""Large JSON is read in a process of its own: the same question comes of it, and nobody waits meanwhile."""

import asyncio
import json
import time
from pathlib import Path

import numpy as np
import pytest

from service.open_inference.codec import read_question
from service.open_inference.errors import MalformedInference
from service.open_inference.reader import MAX_JSON_BYTES_HERE, QuestionReader
from service.video.clip import ClipSpec

SPEC = ClipSpec(num_frames=16, height=160, width=160, frames_per_second=8, stride_seconds=1)
SHAPE = [1, 16, 160, 160, 3]


def body(data: object, **more: object) -> bytes:
    """A request of one clip, some 4 MB of JSON."""
    frames = {"name": "frames", "datatype": "UINT8", "shape": SHAPE, "data": data}
    return json.dumps({"id": "seven", "inputs": [frames], **more}).encode()


PIXELS = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
LARGE = body(PIXELS.ravel().tolist(), outputs=[{"name": "attention", "parameters": {"binary_data": True}}])


def own_processes() -> set[str]:
    """The processes that this one started and that are still there."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {child for task in tasks for child in task.read_text().split()}


def test_the_question_is_that_which_would_be_read_here() -> None:
    assert len(LARGE) > 50 * MAX_JSON_BYTES_HERE
    apart = asyncio.run(QuestionReader().read(LARGE, None, SPEC))
    here = read_question(LARGE, None, SPEC)
    assert apart.form == here.form
    assert np.array_equal(apart.frames, PIXELS)
    assert np.array_equal(apart.valid, here.valid)


def test_json_and_binary_tensors_may_be_mixed() -> None:
    valid = np.arange(16)[None] < 5
    tensor = {
        "name": "valid",
        "datatype": "BOOL",
        "shape": [1, 16],
        "parameters": {"binary_data_size": valid.nbytes},
    }
    head = json.loads(LARGE)
    text = json.dumps({"inputs": [*head["inputs"], tensor]}).encode()
    question = asyncio.run(QuestionReader().read(text + valid.tobytes(), len(text), SPEC))
    assert np.array_equal(question.valid, valid)
    assert np.array_equal(question.frames, PIXELS)


@pytest.mark.parametrize(
    ("large", "why"),
    [
        (body(["a"] * 100_000), "not all UINT8"),
        (b"[" * 1_000_000, "not JSON"),
        (b" " * 1_000_000, "not JSON"),
        (body([0], id="x" * 100_000), "at most 1024"),
    ],
    ids=["strings", "nested", "nothing", "long id"],
)
def test_what_cannot_be_asked_is_refused_as_it_would_be_here(large: bytes, why: str) -> None:
    with pytest.raises(MalformedInference, match=why):
        read_question(large, None, SPEC)
    with pytest.raises(MalformedInference, match=why):
        asyncio.run(QuestionReader().read(large, None, SPEC))


def test_the_event_loop_turns_while_large_json_is_read() -> None:
    async def longest_pause_seconds() -> float:
        reading = asyncio.create_task(QuestionReader().read(LARGE, None, SPEC))
        longest, before = 0.0, time.thread_time()
        while not reading.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, now - before), now
        await reading
        return longest

    # Processor time of this thread, so that a busy machine makes nobody late.
    assert asyncio.run(longest_pause_seconds()) < 0.05


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the process under /proc")
def test_a_caller_that_leaves_leaves_no_process_behind() -> None:
    async def story() -> None:
        processes_before = own_processes()
        reader = QuestionReader()
        reading = asyncio.create_task(reader.read(LARGE, None, SPEC))
        while not own_processes() - processes_before:  # noqa: ASYNC110 - the start of a process is told to nobody
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert not own_processes() - processes_before
        assert (await reader.read(LARGE, None, SPEC)).frames.shape == tuple(SHAPE)

    asyncio.run(story())
