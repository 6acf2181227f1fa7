"""Fairness benchmark: one caller sends short videos while others flood the service with long ones of 1080p and 4K.

The response times of the short videos are compared with those without a flood, in the same run. Callers are told apart
by their addresses, as a proxy on this machine states them.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.harness.load import Generator, Load
from benchmarks.harness.processes import RunningServer
from benchmarks.harness.report import Report, Table
from benchmarks.harness.servers import ours
from benchmarks.harness.spread import Spread
from benchmarks.harness.workload import paint_video, repeat_video, short_videos

_NUM_CLIENTS = 4
"""Clients of each flooding caller."""
_HEAD_START_SECONDS = 5
"""Time between the start of the flood and the first short video."""


@dataclass(frozen=True, slots=True)
class _Scenario:
    """Short videos with a pause after each, while callers flood the service."""

    name: str
    num_flooding: int
    pause_seconds: float


_SCENARIOS = (
    _Scenario("one", 1, 1),
    _Scenario("three", 3, 1),
    _Scenario("back_to_back", 1, 0),
)


def measure(model_dir: Path, *, is_quick: bool) -> Report:
    """Run the benchmark."""
    seconds = 20 if is_quick else 60
    short = [video.path.read_bytes() for video in short_videos(4)]
    long = [_long_video(1080, 60), _long_video(2160, 30)]
    figures: dict[str, float] = {}
    rows: list[list[object]] = []
    notes: list[str] = []
    server = ours()
    with server.start(model_dir) as running:
        caller = Generator(running.url, _sender(0), short)
        caller.closed_loop(1, 60, max_requests=2 * len(short))
        unloaded = caller.closed_loop(1, seconds, pause_seconds=0.2)
        rows.append(_row("no flood", unloaded))
        for scenario in _SCENARIOS:
            with _flood(running, long, scenario, seconds) as flood:
                load = caller.closed_loop(1, seconds, pause_seconds=scenario.pause_seconds)
            rows.append(_row(scenario.name.replace("_", " "), load))
            figures |= _figures(scenario.name, load, unloaded)
            notes.append(f"{scenario.name}: {load.statuses()}, flood {[each.statuses() for each in flood]}")
            print(rows[-1], notes[-1], file=sys.stderr)
    return Report(
        name="fairness",
        figures=figures,
        tables=[Table("Milliseconds to the response of short videos", ["flood", "responses", "p50", "p99"], rows)],
        notes=notes,
        details={"rows": rows},
    )


def _figures(name: str, load: Load, unloaded: Load) -> dict[str, float]:
    spread, unloaded_spread = (Spread.of([each.seconds for each in part.successful]) for part in (load, unloaded))
    return {
        f"{name}_p50_ratio": spread.median / unloaded_spread.median,
        f"{name}_p99_ratio": spread.p99 / unloaded_spread.p99,
        f"{name}_refused": len(load.responses) - len(load.successful),
    }


def _row(name: str, load: Load) -> list[object]:
    spread = Spread.of([response.seconds for response in load.successful]).scaled(1e3)
    return [name, len(load.successful), str(spread), f"{spread.p99:.0f}"]


@contextmanager
def _flood(running: RunningServer, videos: list[bytes], scenario: _Scenario, seconds: float) -> Iterator[list[Load]]:
    """Flood the service while the context lasts; the list holds the load of each caller after its end."""
    loads: list[Load] = []
    generators = [Generator(running.url, _sender(number + 1), videos) for number in range(scenario.num_flooding)]

    def send(generator: Generator) -> None:
        loads.append(generator.closed_loop(_NUM_CLIENTS, _HEAD_START_SECONDS + seconds, pause_seconds=0.2))

    threads = [threading.Thread(target=send, args=(generator,)) for generator in generators]
    for thread in threads:
        thread.start()
    threading.Event().wait(_HEAD_START_SECONDS)
    try:
        yield loads
    finally:
        for thread in threads:
            thread.join()


def _sender(number: int) -> Callable[[str, bytes], httpx.Request]:
    """Requests of the caller with this number."""

    def request(url: str, video: bytes) -> httpx.Request:
        files, headers = {"video": ("video.mp4", video, "video/mp4")}, {"X-Forwarded-For": f"203.0.113.{number}"}
        return httpx.Request("POST", f"{url}/predict", files=files, headers=headers)

    return request


def _long_video(height: int, seconds: int) -> bytes:
    """A small file that takes long: the same two seconds without noise, repeated."""
    name = f"libx264-{height}p-plain-2s.mp4"
    two_seconds = paint_video(name, "libx264", height, duration_seconds=2, is_noisy=False)
    return repeat_video(two_seconds, seconds // 2).read_bytes()
