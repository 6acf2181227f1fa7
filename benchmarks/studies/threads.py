"""Division of the cores between decoding and the model.

Usage: `python -m benchmarks.studies.threads MODEL_DIR [ENGINE]`.

Runs our service with several numbers of decode workers, decode threads and engine threads, with one client and with
16. The variants take turns, so that other load of the machine affects all equally. Measurements for
docs/decisions/0002-engine-threads.md.
"""

import os
import sys
from pathlib import Path

import numpy as np

from benchmarks.harness.load import Generator
from benchmarks.harness.servers import LONG_QUEUE, ours
from benchmarks.harness.workload import short_videos
from service.inference.engine import EngineName

_CORES = os.cpu_count() or 1
_WORKERS = max(2, _CORES)
_HALF = max(1, _CORES // 2)
# (decode workers and concurrent requests, decode threads, engine threads); the first is the default.
_VARIANTS = (
    (_WORKERS, _CORES, _CORES),
    (_WORKERS, _HALF, _CORES),
    (_WORKERS, _CORES, _HALF),
    (_WORKERS, _HALF, _HALF),
    (_WORKERS + 1, _CORES, _CORES),
    (2 * _WORKERS, _CORES, _CORES),
)
_NUM_CLIENTS = (1, 16)
_NUM_TURNS = 3
_SECONDS = 8.0


def main(model_dir: Path, engine: EngineName) -> None:
    """Print videos per second and the median response time of each variant."""
    contents = [video.path.read_bytes() for video in short_videos(24)]
    found: dict[tuple[tuple[int, int, int], int], list[tuple[float, float]]] = {}
    for _ in range(_NUM_TURNS):
        for variant in _VARIANTS:
            num_workers, decode_threads, engine_threads = variant
            server = ours(
                "ours",
                engine=engine,
                decode_children=num_workers,
                max_working_requests=num_workers,
                decode_threads=decode_threads,
                engine_threads=engine_threads,
                **LONG_QUEUE,
            )
            with server.start(model_dir) as running:
                generator = Generator(running.url, server.request, contents)
                generator.closed_loop(2, 60, max_requests=8)
                for num_clients in _NUM_CLIENTS:
                    load = generator.closed_loop(num_clients, _SECONDS)
                    if len(load.successful) < len(load.responses):
                        raise SystemExit(f"some requests failed: {load.statuses()}")
                    median = float(np.median([response.seconds for response in load.successful]))
                    found.setdefault((variant, num_clients), []).append((load.per_second, 1000 * median))
    print(f"{engine}, median of {_NUM_TURNS} turns of {_SECONDS:.0f} s")
    print(f"{'workers':>10}{'decode threads':>16}{'engine threads':>16}{'clients':>9}{'videos/s':>10}{'median ms':>11}")
    for (variant, num_clients), runs in found.items():
        rate, milliseconds = np.median(runs, axis=0)
        print(f"{variant[0]:10}{variant[1]:16}{variant[2]:16}{num_clients:9}{rate:10.2f}{milliseconds:11.0f}")


if __name__ == "__main__":
    _, _model_dir, *_rest = sys.argv
    main(Path(_model_dir), "openvino" if "openvino" in _rest else "tensorflow")
