"""The decoder's own process: one job a line on standard input, facts and pixels on standard output.

Gives up what it does not need before it reads a job, and may be killed at any moment. Started by
`service.video.sandbox.pool`; the two speak the protocol of `service.video.sandbox.protocol`.
"""

import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import av.subtitles  # noqa: F401
import numpy.ma  # noqa: F401 - numpy and PyAV load these at first use, at 50 ms of the first caller's time

from service.video.appearance import clip_appearance
from service.video.decode import open_video
from service.video.errors import VideoError, VideoTooLarge
from service.video.sandbox.isolation import allow_cpu_seconds, isolate
from service.video.sandbox.protocol import (
    OUT_OF_MEMORY_EXIT_STATUS,
    ChildLimits,
    Job,
    encode_clip,
    encode_error,
    encode_facts,
    encode_ready,
    encode_report,
)


def main() -> None:
    """Serve decode jobs until standard input ends."""
    limits = ChildLimits.model_validate_json(sys.argv[1])
    # Ctrl-C reaches every process of a terminal. The service drains then, and ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a library prints must not end up among the pixels.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    isolation = isolate(limits.max_memory_bytes)
    _write(answers, encode_ready(isolation))
    for line in sys.stdin.buffer:
        job = Job.model_validate_json(line)
        if isolation.has_cpu_limit:
            allow_cpu_seconds(limits.max_cpu_seconds * job.cpu_factor)
        try:
            _serve(job, answers)
        except MemoryError:
            sys.exit(OUT_OF_MEMORY_EXIT_STATUS)


def _serve(job: Job, answers: BinaryIO) -> None:
    try:
        with open_video(Path(job.path), job.limits, job.num_threads) as video:
            plan = video.plan(job.spec)
            _write(answers, encode_facts(video.facts, len(plan)))
            for clip in video.clips(job.spec, plan):
                _write(answers, encode_clip(clip.times, clip_appearance(clip.frames, clip.times.valid)))
                _write(answers, clip.frames.data.cast("B"))
            report = video.report()
        # After closing: a file that crashes the decoder then is not reported as well done.
        _write(answers, encode_report(report))
    except VideoError as error:
        _write(answers, encode_error(error))
    except MemoryError:
        _write(answers, encode_error(VideoTooLarge("Decoding the video needs more memory than allowed.")))


def _write(answers: BinaryIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[answers.write(view) :]


if __name__ == "__main__":
    main()
