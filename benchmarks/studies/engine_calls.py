"""Variants of calling one model on the cores: `python -m benchmarks.studies.engine_calls MODEL_DIR [ROUNDS]`.

Each variant runs in a process of its own, because the number of threads is set once per process. The variants take
turns, so that other load of the machine affects all equally. Measurements for docs/decisions/0002-engine-threads.md.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.harness.environments import ROOT
from benchmarks.harness.processes import base_environment
from benchmarks.harness.spread import Spread
from service.inference.engines import import_engine
from service.inference.manifest import read_manifest

NUM_CLIPS = 4
_THREADS = os.cpu_count() or 1


def main(model_dir: str, num_rounds: int) -> None:
    """Print wall and processor milliseconds per clip of each variant, for one clip and for four."""
    workers = {variant: _worker(variant, model_dir) for variant in VARIANTS}
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(num_rounds):
        for variant, worker in workers.items():
            for num_clips in (1, NUM_CLIPS):
                assert worker.stdin is not None
                assert worker.stdout is not None
                worker.stdin.write(f"{num_clips}\n")
                worker.stdin.flush()
                found.setdefault((variant, num_clips), []).append(json.loads(worker.stdout.readline()))
    for worker in workers.values():
        worker.communicate()
    print(f"{'variant':42}{'clips':>6}{'wall ms per clip: least, median [quartiles]':>46}{'processor ms: median':>24}")
    for (variant, num_clips), runs in found.items():
        walls, cpus = zip(*runs, strict=True)
        wall = f"{min(walls):.0f}, {Spread.of(list(walls))}"
        print(f"{variant:42}{num_clips:6}{wall:>46}{Spread.of(list(cpus)).median:24.0f}")


def _worker(variant: str, model_dir: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.studies.engine_calls", model_dir, "--as", variant]
    environment = base_environment() | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(  # noqa: S603 - our own command
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def work(variant: str, model_dir: Path) -> None:
    """For each line of standard input, a number of clips: predict them, print wall and processor ms per clip."""
    clip = read_manifest(model_dir).clip
    shape = (NUM_CLIPS, clip.num_frames, clip.height, clip.width, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    valid = np.ones(shape[:2], dtype=np.bool_)
    predict = VARIANTS[variant](model_dir, frames, valid)
    for num_clips in (1, NUM_CLIPS):
        predict(num_clips)
    for line in sys.stdin:
        num_clips = int(line)
        wall, cpu = time.perf_counter(), time.process_time()
        predict(num_clips)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps([1000 * wall / num_clips, 1000 * cpu / num_clips]), flush=True)


Predict = Callable[[int], object]


def _one_call(engine: str, num_threads: int) -> "Callable[[Path, np.ndarray, np.ndarray], Predict]":
    def prepare(model_dir: Path, frames: np.ndarray, valid: np.ndarray) -> Predict:
        run = import_engine(engine, num_threads).load(model_dir, read_manifest(model_dir)).run  # type: ignore[arg-type]
        return lambda num_clips: run(frames[:num_clips], valid[:num_clips])

    return prepare


def _concurrent_calls(num_threads: int) -> "Callable[[Path, np.ndarray, np.ndarray], Predict]":
    """Each clip in a TensorFlow call of its own, with one concurrent call per thread; all share `num_threads`."""

    def prepare(model_dir: Path, frames: np.ndarray, valid: np.ndarray) -> Predict:
        load = import_engine("tensorflow", num_threads).load
        import tensorflow as tf  # noqa: PLC0415

        # With fewer, as the engine sets for one thread, the calls would not run concurrently.
        tf.config.threading.set_inter_op_parallelism_threads(_THREADS)
        run = load(model_dir, read_manifest(model_dir)).run
        pool = ThreadPoolExecutor(_THREADS)
        return lambda num_clips: list(
            pool.map(lambda index: run(frames[index : index + 1], valid[index : index + 1]), range(num_clips))
        )

    return prepare


def _streams(model_dir: Path, frames: np.ndarray, valid: np.ndarray) -> Predict:
    """Each clip in an OpenVINO request of its own, with one concurrent request per thread."""
    import openvino  # noqa: PLC0415

    settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": _THREADS, "INFERENCE_NUM_THREADS": _THREADS}
    core = openvino.Core()
    queue = openvino.AsyncInferQueue(core.compile_model(core.read_model(str(model_dir)), "CPU", settings), _THREADS)

    def predict(num_clips: int) -> None:
        for index in range(num_clips):
            queue.start_async({"frames": frames[index : index + 1], "valid": valid[index : index + 1]})
        queue.wait_all()

    return predict


VARIANTS = {
    f"tensorflow, one call of {_THREADS} threads": _one_call("tensorflow", _THREADS),
    "tensorflow, one call of 1 thread": _one_call("tensorflow", 1),
    f"tensorflow, {_THREADS} calls of 1 thread": _concurrent_calls(1),
    f"tensorflow, {_THREADS} calls that share {_THREADS} threads": _concurrent_calls(_THREADS),
    f"openvino, one call of {_THREADS} threads": _one_call("openvino", _THREADS),
    f"openvino, {_THREADS} streams of 1 thread": _streams,
}

if __name__ == "__main__":
    _, _model_dir, *_rest = sys.argv
    if "--as" in _rest:
        work(_rest[1], Path(_model_dir))
    else:
        main(_model_dir, int(next(iter(_rest), 10)))
