"""The offline ceiling: our decode and our model in a tight loop, without a service around them.

As many decode processes as the service has, one model with as many threads, batches of the same
sizes, filled with whatever is decoded; no HTTP, no upload, no answer.
"""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from service.inference.engine import EngineName, proved_batch_sizes
from service.inference.manifest import read_manifest
from service.video.clip import Clip, ClipSpec, DecodeLimits
from service.video.decode import open_video

_BATCH_SIZES = (4, 2, 1)
_MAX_DECODED_AHEAD = 8


def decode(path: Path, spec: ClipSpec) -> list[Clip]:
    """All clips of a video."""
    with open_video(path, DecodeLimits()) as video:
        return list(video.clips(spec, video.plan(spec)))


def videos_per_second(model_dir: Path, paths: Sequence[Path], seconds: float, engine_name: EngineName) -> float:
    """Videos decoded and predicted a second by that engine, over at least `seconds`."""
    # Here, so that decode processes do without TensorFlow.
    from service.inference.engines import import_engine  # noqa: PLC0415

    num_cores = os.cpu_count() or 1
    manifest = read_manifest(model_dir)
    engine = import_engine(engine_name, num_cores)(model_dir, manifest)
    clip = manifest.clip
    sizes = proved_batch_sizes(engine.run, (clip.num_frames, clip.height, clip.width, 3), _BATCH_SIZES)
    with ProcessPoolExecutor(max(2, num_cores), mp_context=get_context("spawn")) as pool:
        list(pool.map(decode, paths[:num_cores], [manifest.clip] * num_cores))
        clips: deque[Clip] = deque()
        num_videos = 0
        started_at = time.perf_counter()
        for decoded in _decoded(pool, paths, manifest.clip, started_at + seconds):
            num_videos += len(decoded)
            clips.extend(clip for video in decoded for clip in video)
            while clips:
                size = next(size for size in sorted(sizes, reverse=True) if size <= len(clips))
                batch = [clips.popleft() for _ in range(size)]
                engine.run(np.stack([clip.frames for clip in batch]), np.stack([clip.times.valid for clip in batch]))
        return num_videos / (time.perf_counter() - started_at)


def _decoded(
    pool: ProcessPoolExecutor, paths: Sequence[Path], spec: ClipSpec, until: float
) -> Iterator[list[list[Clip]]]:
    """Yield all videos that were decoded meanwhile, at least one, keeping the decoders ahead of the model."""
    running: set[Future[list[Clip]]] = set()
    number = 0
    while True:
        while len(running) < _MAX_DECODED_AHEAD and time.perf_counter() < until:
            running.add(pool.submit(decode, paths[number % len(paths)], spec))
            number += 1
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        yield [future.result() for future in done]
