"""Parses large JSON of inference requests in a process of its own, one at a time.

JSON parsing holds the interpreter lock: 8 MB take more than a tenth of a second in one call, during which the event
loop could serve no other request. Starting the process takes a quarter of a second. Binary tensors avoid it: the
service parses them directly.
"""

import asyncio
import json
import signal
import sys
import time
from dataclasses import asdict

import numpy as np

from service.fair_share.share import Work
from service.open_inference.codec import ParsedRequest, ResponseFormat, parse_request
from service.open_inference.errors import MalformedInference
from service.programs import start_program
from service.video.clip import ClipSpec
from service.video.sandbox.kill import kill_and_wait

MAX_INLINE_JSON_BYTES = 1 << 16
"""JSON up to this size is parsed in the event loop."""
_MAX_MEMORY_BYTES = 2 << 30


class RequestParser:
    """Parses inference requests without blocking the event loop that it belongs to."""

    def __init__(self) -> None:
        # Parsed JSON numbers take many times the memory of their text.
        self._one_at_a_time = asyncio.Lock()

    async def parse(
        self, body: bytes, num_json_bytes: int | None, spec: ClipSpec, work: Work | None = None
    ) -> ParsedRequest:
        """Parse a body as `service.open_inference.codec.parse_request` does; a cancelled call ends its process.

        The seconds of the process are charged to `work`.
        """
        if min(len(body), len(body) if num_json_bytes is None else num_json_bytes) <= MAX_INLINE_JSON_BYTES:
            return parse_request(body, num_json_bytes, spec)
        async with self._one_at_a_time:
            started_at = time.perf_counter()
            try:
                return await _parse_in_process(body, num_json_bytes, spec)
            finally:
                if work is not None:
                    work.charge(time.perf_counter() - started_at)


async def _parse_in_process(body: bytes, num_json_bytes: int | None, spec: ClipSpec) -> ParsedRequest:
    arguments = json.dumps([num_json_bytes, spec.model_dump()])
    process = await start_program("-m", "service.open_inference.parser", arguments, stderr=None)
    try:
        output, _ = await process.communicate(body)
    finally:
        if process.returncode is None:
            await kill_and_wait(process)
    head, _, tensors = output.partition(b"\n")
    if not head:
        # The process died at its memory limit.
        raise MalformedInference("The JSON takes too much memory to parse. Send the tensors as binary data.")
    fields = json.loads(head)
    if "malformed" in fields:
        raise MalformedInference(fields["malformed"])
    shape = fields["shape"]
    frames = np.frombuffer(tensors, dtype=np.uint8, count=int(np.prod(shape))).reshape(shape)
    valid = np.frombuffer(tensors, dtype=np.bool_, offset=frames.size).reshape(shape[:2])
    outputs = tuple((name, is_binary) for name, is_binary in fields["outputs"])
    return ParsedRequest(ResponseFormat(fields["id"], outputs), frames, valid)


def main() -> None:
    """Parse one request from standard input, and write the result to standard output."""
    import resource  # noqa: PLC0415 - not available on Windows

    # A terminal sends these to each of its processes. The service drains then, and ends this process itself.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    num_json_bytes, spec = json.loads(sys.argv[1])
    try:
        request = parse_request(sys.stdin.buffer.read(), num_json_bytes, ClipSpec.model_validate(spec))
    except MalformedInference as error:
        _write_head({"malformed": str(error)})
        return
    _write_head({**asdict(request.response_format), "shape": request.frames.shape})
    sys.stdout.buffer.write(request.frames.tobytes() + request.valid.tobytes())


def _write_head(fields: dict[str, object]) -> None:
    sys.stdout.buffer.write(json.dumps(fields).encode() + b"\n")


if __name__ == "__main__":
    main()
