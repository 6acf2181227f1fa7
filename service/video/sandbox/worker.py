"""Program of a decode worker: reads one request a line from standard input, writes facts and pixels to standard output.

The worker drops all privileges that it does not need before it reads a request, and may be killed at any time.
`service.video.sandbox.pool` starts it; `service.video.sandbox.protocol` defines the messages.
"""

import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import av.subtitles  # noqa: F401
import numpy.ma  # noqa: F401 - numpy and PyAV load these on first use, which would delay the first video by 50 ms

from service.video.appearance import clip_appearance
from service.video.decode import open_video
from service.video.errors import VideoError, VideoTooLarge, VideoUnavailable
from service.video.sandbox.isolation import allow_cpu_seconds, isolate
from service.video.sandbox.protocol import (
    OUT_OF_MEMORY_EXIT_STATUS,
    DecodeRequest,
    WorkerLimits,
    encode_clip,
    encode_error,
    encode_facts,
    encode_ready,
    encode_report,
)


def main() -> None:
    """Decode the videos of all requests until standard input ends."""
    limits = WorkerLimits.model_validate_json(sys.argv[1])
    # A terminal sends these to each of its processes. The service drains then, and ends its workers itself.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    # Messages get a descriptor of their own, so that text printed by a library cannot mix with pixels.
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    isolation = isolate(limits.max_memory_bytes)
    _write(output, encode_ready(isolation))
    for line in sys.stdin.buffer:
        request = DecodeRequest.model_validate_json(line)
        if isolation.has_cpu_limit:
            allow_cpu_seconds(limits.max_cpu_seconds * request.cpu_factor)
        try:
            _decode(request, output)
        except MemoryError:
            sys.exit(OUT_OF_MEMORY_EXIT_STATUS)


def _decode(request: DecodeRequest, output: BinaryIO) -> None:
    path = Path(request.path)
    try:
        path.open("rb").close()
    except OSError:
        # Looked at here, because the file may be there again when the error is handled.
        message = "The upload was removed before it was decoded. Try again later."
        _write(output, encode_error(VideoUnavailable(message)))
        return
    try:
        with open_video(path, request.limits, request.num_threads) as video:
            plan = video.plan(request.spec)
            _write(output, encode_facts(video.facts, len(plan)))
            for clip in video.clips(request.spec, plan):
                _write(output, encode_clip(clip.times, clip_appearance(clip.frames, clip.times.valid)))
                _write(output, clip.frames.data.cast("B"))
            report = video.report()
        # Sent after the file is closed: a file may crash the decoder on closing.
        _write(output, encode_report(report))
    except VideoError as error:
        _write(output, encode_error(error))
    except MemoryError:
        _write(output, encode_error(VideoTooLarge("Decoding the video needs more memory than allowed.")))


def _write(output: BinaryIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[output.write(view) :]


if __name__ == "__main__":
    main()
