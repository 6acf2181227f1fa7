"""Memory benchmark: resident bytes of the service and its decode workers, over mixed requests and one very long video.

Shared pages are counted once for each process, so the sums are upper bounds.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.load import Generator
from benchmarks.harness.processes import RunningServer
from benchmarks.harness.report import Report, Table
from benchmarks.harness.servers import BenchmarkServer, ours
from benchmarks.harness.workload import long_videos, paint_video, repeat_video, short_videos

MEBIBYTE = 1 << 20

_LONGEST_SECONDS = 15
_NUM_CLIENTS = 4
_HOUR_LIMITS: dict[str, Any] = {
    "max_duration_seconds": 4000,
    "max_upload_bytes": 4096 * MEBIBYTE,
    "deadline_seconds": 3600,
    "decode_cpu_seconds": 3600,
}


@dataclass(slots=True)
class MemorySamples:
    """Resident bytes at `times`, in seconds from the start of sampling."""

    times: list[float] = field(default_factory=list)
    num_bytes: list[int] = field(default_factory=list)


def measure(model_dir: Path, *, is_quick: bool) -> Report:
    """Run the benchmark."""
    num_requests = 200 if is_quick else 2000
    after_200, at_end, rows = _mixed_requests(model_dir, num_requests)
    minutes = 3 if is_quick else 60
    short_peak, long_peak, seconds = _long_video(model_dir, minutes)
    extra = (long_peak - short_peak) / MEBIBYTE
    return Report(
        name="memory",
        figures={
            "growth_percent": 100 * (at_end / after_200 - 1),
            "hour_extra_mb": extra,
        },
        tables=[
            Table("Resident MiB of the service and its decode workers", ["after requests", "MiB"], rows),
            Table(
                "Largest resident MiB while one video is classified, 720p at 4 frames a second",
                ["video", "MiB"],
                [
                    ["ten seconds", f"{short_peak / MEBIBYTE:.0f}"],
                    [f"{minutes} minutes, in {seconds:.0f} s", f"{long_peak / MEBIBYTE:.0f}"],
                ],
            ),
        ],
        notes=["a quick run uses three minutes of video instead of an hour"] if is_quick else [],
        details={"resident_mib": rows, "long_minutes": minutes, "short_peak": short_peak, "long_peak": long_peak},
    )


def _mixed_requests(model_dir: Path, num_requests: int) -> tuple[float, float, list[list[object]]]:
    """Resident bytes after a tenth of the requests and at the end, and a table of all levels.

    The first 200 of 2000 requests fill all pools and caches. Most videos are short; some are long, with other codecs;
    some are truncated or not videos.
    """
    shorts = [video.path.read_bytes() for video in short_videos()]
    longs = [video.path.read_bytes() for video in long_videos() if video.duration_seconds < _LONGEST_SECONDS]
    longs = [content for content in longs if len(content) < MEBIBYTE]
    broken = [shorts[0][: len(shorts[0]) // 2], b"not a video" * 1000, b"", longs[0][: len(longs[0]) * 2 // 3]]
    server = ours()
    with server.start(model_dir) as running:
        # One in 32 is long, one in eight is broken.
        contents = [*(shorts * 4)[:84], *longs[:4], *(broken * 3)[:12]]
        generator = Generator(running.url, server.request, contents)
        rows: list[list[object]] = []
        step = num_requests // 10
        levels = []
        for number in range(10):
            load = generator.closed_loop(_NUM_CLIENTS, 600, max_requests=step)
            levels.append(_steady_bytes(running))
            rows.append([step * (number + 1), f"{levels[-1] / MEBIBYTE:.0f}"])
            print(f"{rows[-1]} {load.statuses()} {load.per_second:.1f}/s", file=sys.stderr)
    return levels[0], float(np.mean(levels[-2:])), rows


def _steady_bytes(running: RunningServer) -> float:
    samples = []
    for _ in range(10):
        samples.append(running.resident_bytes())
        time.sleep(0.05)
    return float(np.median(samples))


def _long_video(model_dir: Path, minutes: int) -> tuple[int, int, float]:
    """Largest resident bytes during a ten-second video and during a long one, and the seconds of the long one."""
    ten_seconds = paint_video("libx264-720p-4fps-10s.mp4", "libx264", 720, duration_seconds=10, frame_rate=4)
    server = ours(**_HOUR_LIMITS)
    with server.start(model_dir) as running:
        for _ in range(3):
            _send(server, running, ten_seconds)
        with _sampled(running) as short:
            _send(server, running, ten_seconds)
        with _sampled(running) as long:
            _send(server, running, repeat_video(ten_seconds, 6 * minutes))
    return max(short.num_bytes), max(long.num_bytes), long.times[-1]


def _send(server: BenchmarkServer, running: RunningServer, path: Path) -> None:
    generator = Generator(running.url, server.request, [path.read_bytes()], _HOUR_LIMITS["deadline_seconds"])
    [response] = generator.closed_loop(1, 1, max_requests=1).responses
    if response.status != 200:  # noqa: PLR2004
        raise RuntimeError(f"{path.name} got status {response.status}: {response.content[:300]!r}")


@contextmanager
def _sampled(running: RunningServer) -> Iterator[MemorySamples]:
    """Sample the resident memory every tenth of a second within the context."""
    samples = MemorySamples()
    has_ended = threading.Event()
    started_at = time.perf_counter()

    def sample() -> None:
        while not has_ended.is_set():
            samples.times.append(time.perf_counter() - started_at)
            samples.num_bytes.append(running.resident_bytes())
            has_ended.wait(0.1)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        has_ended.set()
        thread.join()
