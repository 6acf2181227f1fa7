"""The offline ceiling: our decoder and our model in a tight loop, without the service.

It uses as many decode processes, model threads, concurrent model calls and the same batch sizes as the service, but no
HTTP, uploads and responses.
"""

import os
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from service.inference.batch_sizes import verified_batch_sizes
from service.inference.engine import Engine, EngineName
from service.inference.manifest import read_manifest
from service.video.clip import Clip, ClipSpec, DecodeLimits
from service.video.decode import open_video

_BATCH_SIZES = (4, 2, 1)
_MAX_DECODED_AHEAD = 8


def decode(path: Path, spec: ClipSpec) -> list[Clip]:
    """Decode all clips of a video."""
    with open_video(path, DecodeLimits()) as video:
        return list(video.clips(spec, video.plan(spec)))


def videos_per_second(model_dir: Path, paths: Sequence[Path], seconds: float, engine_name: EngineName) -> float:
    """Videos decoded and predicted per second with an engine, over at least `seconds`."""
    # Imported here, so that decode processes do not load TensorFlow.
    from service.inference.engines import import_engine  # noqa: PLC0415

    num_cores = os.cpu_count() or 1
    manifest = read_manifest(model_dir)
    runtime = import_engine(engine_name, num_cores)
    engine = runtime.load(model_dir, manifest)
    spec = manifest.clip
    sizes = verified_batch_sizes(engine.run, (spec.num_frames, spec.height, spec.width, 3), _BATCH_SIZES)
    num_decoders = max(2, num_cores)
    with (
        ProcessPoolExecutor(num_decoders, mp_context=get_context("spawn")) as decoders,
        ThreadPoolExecutor(runtime.num_batch_threads) as callers,
    ):
        list(decoders.map(decode, paths[:num_cores], [spec] * num_cores))
        clips: deque[Clip] = deque()
        decoding: set[Future[list[Clip]]] = set()
        predicting: set[Future[object]] = set()
        num_begun = num_videos = 0
        started_at = time.perf_counter()
        while True:
            while len(decoding) + len(clips) < _MAX_DECODED_AHEAD and time.perf_counter() < started_at + seconds:
                decoding.add(decoders.submit(decode, paths[num_begun % len(paths)], spec))
                num_begun += 1
            while clips and len(predicting) < runtime.num_batch_threads:
                size = next(size for size in sorted(sizes, reverse=True) if size <= len(clips))
                batch = [clips.popleft() for _ in range(size)]
                predicting.add(callers.submit(_predict, engine, batch))
            if not decoding and not predicting:
                return num_videos / (time.perf_counter() - started_at)
            pending: list[Future[Any]] = [*decoding, *predicting]
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done & decoding:
                num_videos += 1
                clips.extend(future.result())
            for future in done & predicting:
                future.result()
            decoding, predicting = decoding - done, predicting - done


def _predict(engine: Engine, clips: Sequence[Clip]) -> None:
    engine.run(np.stack([clip.frames for clip in clips]), np.stack([clip.times.valid for clip in clips]))
