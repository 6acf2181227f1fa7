"""Large JSON is parsed in a process of its own: same result, and the event loop stays free."""

import asyncio
import json
import time
from pathlib import Path

import numpy as np
import pytest

from service.open_inference.codec import parse_request
from service.open_inference.errors import MalformedInference
from service.open_inference.parser import MAX_INLINE_JSON_BYTES, RequestParser
from service.video.clip import ClipSpec

pytestmark = pytest.mark.slow

SPEC = ClipSpec(num_frames=16, height=160, width=160, frames_per_second=8, stride_seconds=1)
SHAPE = [1, 16, 160, 160, 3]


def body(data: object, **more: object) -> bytes:
    """A request with one clip, about 4 MB of JSON."""
    frames = {"name": "frames", "datatype": "UINT8", "shape": SHAPE, "data": data}
    return json.dumps({"id": "seven", "inputs": [frames], **more}).encode()


PIXELS = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
LARGE = body(PIXELS.ravel().tolist(), outputs=[{"name": "attention", "parameters": {"binary_data": True}}])


def own_processes() -> set[str]:
    """The running child processes of this process."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {child for task in tasks for child in task.read_text().split()}


def test_the_process_parses_as_the_codec_does() -> None:
    assert len(LARGE) > 50 * MAX_INLINE_JSON_BYTES
    apart = asyncio.run(RequestParser().parse(LARGE, None, SPEC))
    here = parse_request(LARGE, None, SPEC)
    assert apart.response_format == here.response_format
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
    request = asyncio.run(RequestParser().parse(text + valid.tobytes(), len(text), SPEC))
    assert np.array_equal(request.valid, valid)
    assert np.array_equal(request.frames, PIXELS)


@pytest.mark.parametrize(
    ("large", "why"),
    [
        (body(["a"] * 100_000), "not all UINT8"),
        (b"[" * 1_000_000, "not JSON"),
        (b" " * 1_000_000, "not JSON"),
        (body([0], id="x" * 100_000), "at most 1024"),
    ],
    ids=["strings", "nested", "blank", "long id"],
)
def test_the_process_rejects_a_malformed_request_as_the_codec_does(large: bytes, why: str) -> None:
    with pytest.raises(MalformedInference, match=why):
        parse_request(large, None, SPEC)
    with pytest.raises(MalformedInference, match=why):
        asyncio.run(RequestParser().parse(large, None, SPEC))


def test_the_event_loop_stays_free_while_large_json_is_parsed() -> None:
    async def longest_pause_seconds() -> float:
        parsing = asyncio.create_task(RequestParser().parse(LARGE, None, SPEC))
        longest, before = 0.0, time.thread_time()
        while not parsing.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, now - before), now
        await parsing
        return longest

    # Measured in processor time of this thread, so a busy machine does not fail the test.
    assert asyncio.run(longest_pause_seconds()) < 0.05


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the process under /proc")
def test_a_cancelled_call_leaves_no_process_behind() -> None:
    async def scenario() -> None:
        processes_before = own_processes()
        parser = RequestParser()
        parsing = asyncio.create_task(parser.parse(LARGE, None, SPEC))
        while not own_processes() - processes_before:  # noqa: ASYNC110 - the start of a process sends no event
            await asyncio.sleep(0)
        parsing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await parsing
        assert not own_processes() - processes_before
        assert (await parser.parse(LARGE, None, SPEC)).frames.shape == tuple(SHAPE)

    asyncio.run(scenario())
