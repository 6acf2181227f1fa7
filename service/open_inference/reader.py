"""Large JSON of inference requests is read in a process of its own, one at a time.

Reading JSON holds the interpreter: eight megabytes of it for a tenth of a second and more in a single call,
during which the service would answer nobody. A process costs a quarter of a second to start; who is in a
hurry sends binary tensors, which are read here at once.
"""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

import service
from service.open_inference.codec import AnswerForm, Question, read_question
from service.open_inference.errors import MalformedInference
from service.video.clip import ClipSpec
from service.video.sandbox.kill import kill_and_wait

MAX_JSON_BYTES_HERE = 1 << 16
_MAX_MEMORY_BYTES = 2 << 30


class QuestionReader:
    """Reads inference requests without holding up the event loop. Belongs to it."""

    def __init__(self) -> None:
        # JSON's numbers take many times the memory of what they say.
        self._turn = asyncio.Lock()

    async def read(self, body: bytes, num_json_bytes: int | None, spec: ClipSpec) -> Question:
        """As `service.open_inference.codec.read_question`; a caller that is cancelled leaves no process behind."""
        if min(len(body), len(body) if num_json_bytes is None else num_json_bytes) <= MAX_JSON_BYTES_HERE:
            return read_question(body, num_json_bytes, spec)
        async with self._turn:
            return await _read_apart(body, num_json_bytes, spec)


async def _read_apart(body: bytes, num_json_bytes: int | None, spec: ClipSpec) -> Question:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.open_inference.reader", json.dumps([num_json_bytes, spec.model_dump()])),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(Path(service.__file__).parents[1]), "OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        answer, _ = await process.communicate(body)
    finally:
        if process.returncode is None:
            await kill_and_wait(process)
    head, _, tensors = answer.partition(b"\n")
    if not head:
        # It was ended by its limit of memory.
        raise MalformedInference("The body takes more memory to read than is allowed.")
    told = json.loads(head)
    if "malformed" in told:
        raise MalformedInference(told["malformed"])
    shape = told["shape"]
    frames = np.frombuffer(tensors, dtype=np.uint8, count=int(np.prod(shape))).reshape(shape)
    valid = np.frombuffer(tensors, dtype=np.bool_, offset=frames.size).reshape(shape[:2])
    form = AnswerForm(told["id"], tuple((name, is_binary) for name, is_binary in told["outputs"]))
    return Question(form, frames, valid)


def main() -> None:
    """Read one request from standard input, and write what it says to standard output."""
    import resource  # noqa: PLC0415 - Windows has none

    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    num_json_bytes, spec = json.loads(sys.argv[1])
    try:
        question = read_question(sys.stdin.buffer.read(), num_json_bytes, ClipSpec.model_validate(spec))
    except MalformedInference as error:
        _write({"malformed": str(error)})
        return
    _write({**asdict(question.form), "shape": question.frames.shape})
    sys.stdout.buffer.write(question.frames.tobytes() + question.valid.tobytes())


def _write(told: dict[str, object]) -> None:
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    main()
