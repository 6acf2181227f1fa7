"""How to divide the cores between decoding and the model.

Usage: `python -m benchmarks.studies.threads MODEL_DIR [ENGINE]`.

Our service with other numbers of decode children, decode threads and engine threads, under one client and under
16. The ways take turns, so that other work on the machine meets them all alike. Behind
docs/decisions/0002-engine-threads.md.
"""

import os
import sys
from pathlib import Path

import numpy as np

from benchmarks.harness.load import Generator
from benchmarks.harness.servers import LONG_LINE, ours
from benchmarks.harness.workload import short_videos
from service.inference.engine import EngineName

_CORES = os.cpu_count() or 1
_CHILDREN = max(2, _CORES)
_HALF = max(1, _CORES // 2)
# Decode children and requests at work, decode threads, engine threads; the first is the default.
_WAYS = (
    (_CHILDREN, _CORES, _CORES),
    (_CHILDREN, _HALF, _CORES),
    (_CHILDREN, _CORES, _HALF),
    (_CHILDREN, _HALF, _HALF),
    (_CHILDREN + 1, _CORES, _CORES),
    (2 * _CHILDREN, _CORES, _CORES),
)
_NUM_CLIENTS = (1, 16)
_NUM_TURNS = 3
_SECONDS = 8.0


def main(model_dir: Path, engine: EngineName) -> None:
    """Print, for each way, videos a second and the median time to an answer."""
    contents = [video.path.read_bytes() for video in short_videos(24)]
    found: dict[tuple[tuple[int, int, int], int], list[tuple[float, float]]] = {}
    for _ in range(_NUM_TURNS):
        for way in _WAYS:
            children, decode_threads, engine_threads = way
            contender = ours(
                "ours",
                engine=engine,
                decode_children=children,
                max_working_requests=children,
                decode_threads=decode_threads,
                engine_threads=engine_threads,
                **LONG_LINE,
            )
            with contender.start(model_dir) as server:
                generator = Generator(server.url, contender.request, contents)
                generator.closed_loop(2, 60, max_requests=8)
                for num_clients in _NUM_CLIENTS:
                    load = generator.closed_loop(num_clients, _SECONDS)
                    if len(load.good) < len(load.answers):
                        raise SystemExit(f"not every answer was good: {load.statuses()}")
                    median = float(np.median([answer.seconds for answer in load.good]))
                    found.setdefault((way, num_clients), []).append((load.per_second, 1000 * median))
    print(f"{engine}, the middle of {_NUM_TURNS} turns of {_SECONDS:.0f} s")
    print(
        f"{'children':>10}{'decode threads':>16}{'engine threads':>16}{'clients':>9}{'videos/s':>10}{'median ms':>11}"
    )
    for (way, num_clients), runs in found.items():
        rate, milliseconds = np.median(runs, axis=0)
        print(f"{way[0]:10}{way[1]:16}{way[2]:16}{num_clients:9}{rate:10.2f}{milliseconds:11.0f}")


if __name__ == "__main__":
    _, _model_dir, *_rest = sys.argv
    main(Path(_model_dir), "openvino" if "openvino" in _rest else "tensorflow")
