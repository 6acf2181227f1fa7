"""Decode benchmark: the wanted frames of a model, by our decoder and by three alternatives.

Each decoder runs on one core with one thread, scales to the same size, and stops after the last wanted frame. Our
decoder also reads the timestamps to select the frames; the other decoders get the frame indices. The decoders take
turns on each video. The metric is processor time, which does not depend on other load of the machine.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.decoders import DecodeRun, DecordWorker, decode_ours, decode_with_opencv, decode_with_pyav
from benchmarks.harness.environments import PeerUnavailable
from benchmarks.harness.report import Report, Table
from benchmarks.harness.spread import Spread
from benchmarks.harness.workload import BenchmarkVideo, long_videos
from service.video.clip import ClipSpec, DecodeLimits
from service.video.decode import open_video

_SIZE = 160
_MAIN_CODECS = frozenset({"h264", "hevc"})

Decode = Callable[[Path, ClipSpec, NDArray[np.int64]], DecodeRun]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One video under one specification: seconds of each decoder's runs by name; None if it cannot decode the video."""

    video: BenchmarkVideo
    spec_name: str
    is_identical: bool
    seconds: dict[str, list[float] | None]

    @property
    def medians(self) -> dict[str, float]:
        """Median seconds of each decoder that can decode the video."""
        return {name: float(np.median(runs)) for name, runs in self.seconds.items() if runs}

    @property
    def speedup(self) -> float:
        """Time of the fastest other decoder divided by ours."""
        return min(seconds for name, seconds in self.medians.items() if name != "ours") / self.medians["ours"]


def measure(_: Path, *, is_quick: bool) -> Report:
    """Run the benchmark."""
    videos = long_videos()
    if is_quick:
        videos = [video for video in videos if video.codec in _MAIN_CODECS and video.height <= 360][:2]  # noqa: PLR2004
    decoders: dict[str, Decode] = {"ours": decode_ours, "OpenCV": decode_with_opencv, "PyAV full": decode_with_pyav}
    notes = []
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    decord: DecordWorker | None = None
    try:
        try:
            decord = DecordWorker()
            decoders["decord"] = decord.decode
        except PeerUnavailable as error:
            notes.append(f"decord did not take part: {error}")
        outcomes = [outcome for video in videos for outcome in _compare(video, decoders, num_runs=1 if is_quick else 3)]
    finally:
        os.sched_setaffinity(0, cores)
        if decord is not None:
            decord.close()
    return _report(outcomes, decoders, notes)


def _specs(duration_seconds: float) -> dict[str, ClipSpec]:
    size: dict[str, Any] = {"height": _SIZE, "width": _SIZE}
    return {
        "windows of 16 at 8/s": ClipSpec(num_frames=16, frames_per_second=8, stride_seconds=2, **size),
        "32 spread": ClipSpec(num_frames=32, frames_per_second=32 / duration_seconds, stride_seconds=3600, **size),
    }


def _compare(video: BenchmarkVideo, decoders: dict[str, Decode], num_runs: int) -> list[Outcome]:
    with open_video(video.path, DecodeLimits()) as opened:
        duration_seconds = opened.facts.duration_seconds
    outcomes = []
    for spec_name, spec in _specs(duration_seconds).items():
        with open_video(video.path, DecodeLimits()) as opened:
            plan = opened.plan(spec)
        wanted = np.unique(np.concatenate([times.frame_indices[times.valid] for times in plan]))
        seconds: dict[str, list[float] | None] = {name: [] for name in decoders}
        pictures: dict[str, list[NDArray[np.uint8]]] = {}
        for _ in range(num_runs):
            for name, decode in decoders.items():
                run = decode(video.path, spec, wanted)
                pictures[name] = run.pictures
                runs = seconds[name]
                if runs is None or run.num_pictures < len(wanted):
                    seconds[name] = None
                else:
                    runs.append(run.seconds)
        by_index = dict(zip(wanted.tolist(), pictures["PyAV full"], strict=True))
        expected = [by_index[index] for times in plan for index in times.frame_indices[times.valid].tolist()]
        is_identical = all(np.array_equal(one, other) for one, other in zip(expected, pictures["ours"], strict=True))
        outcome = Outcome(video, spec_name, is_identical, seconds)
        print(f"{video.name}, {spec_name}: {outcome.speedup:.2f}x, identical: {is_identical}", file=sys.stderr)
        outcomes.append(outcome)
    return outcomes


def _report(outcomes: Sequence[Outcome], decoders: dict[str, Decode], notes: list[str]) -> Report:
    speedups = [outcome.speedup for outcome in outcomes if outcome.video.codec in _MAIN_CODECS]
    return Report(
        name="decode",
        figures={
            "median_speedup_vs_best": Spread.of(speedups).median,
            "min_speedup_vs_best": min(outcome.speedup for outcome in outcomes),
            "share_bit_identical": float(np.mean([outcome.is_identical for outcome in outcomes])),
        },
        tables=[
            Table(
                "Processor milliseconds for the wanted frames, one thread: median [quartiles]; -: cannot decode",
                ["video", "frames", *decoders, "ours vs best", "bit-identical"],
                [
                    [
                        outcome.video.name,
                        outcome.spec_name,
                        *(str(Spread.of(runs).scaled(1e3)) if runs else "-" for runs in outcome.seconds.values()),
                        f"{outcome.speedup:.2f}x",
                        outcome.is_identical,
                    ]
                    for outcome in outcomes
                ],
            )
        ],
        notes=[*notes, f"speed-up over H.264 and HEVC: {Spread.of(speedups)} (median [quartiles])"],
        details={
            "videos": [
                {
                    "video": outcome.video.name,
                    "codec": outcome.video.codec,
                    "spec": outcome.spec_name,
                    "is_identical": outcome.is_identical,
                    "seconds": outcome.seconds,
                    "speedup": outcome.speedup,
                }
                for outcome in outcomes
            ]
        },
    )
