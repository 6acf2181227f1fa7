"""Overload benchmark: requests arrive at twice the capacity of the service.

Capacity is the best rate of a closed loop of clients, which send again after a refusal. The unloaded response time is
that of one client. Both are measured before the overload, in the same run.
"""

import sys
from pathlib import Path

from benchmarks.harness.load import Generator, Load, TimedResponse
from benchmarks.harness.report import Report, Table
from benchmarks.harness.servers import ours
from benchmarks.harness.spread import Spread
from benchmarks.harness.workload import short_videos

_ALLOWED = frozenset({200, 429, 503})
_REFUSED = frozenset({429, 503})
_TIMES_CAPACITY = 2.0


def measure(model_dir: Path, *, is_quick: bool) -> Report:
    """Run the benchmark."""
    videos = short_videos(6 if is_quick else 24)
    server = ours()
    with server.start(model_dir) as running:
        generator = Generator(running.url, server.request, [video.path.read_bytes() for video in videos])
        generator.closed_loop(2, 60, max_requests=len(videos))
        unloaded = generator.closed_loop(1, 5 if is_quick else 20)
        peak = max(
            (generator.closed_loop(num_clients, 5 if is_quick else 12) for num_clients in (2, 4, 8)),
            key=lambda load: load.per_second,
        )
        print(
            f"capacity {peak.per_second:.2f}/s, unloaded {Spread.of(_seconds(unloaded.successful))} s", file=sys.stderr
        )
        cpu_seconds_before = running.cpu_seconds()
        overload = generator.open_loop(_TIMES_CAPACITY * peak.per_second, 20 if is_quick else 60)
        cpu_seconds = running.cpu_seconds() - cpu_seconds_before
        after = generator.closed_loop(1, 60, max_requests=3)
    notes = [f"the service used {cpu_seconds:.1f} s of processor time in {overload.seconds:.1f} s of overload"]
    if len(after.successful) < len(after.responses):
        notes.append(f"responses after the overload: {after.statuses()}")
    return _report(unloaded, peak, overload, notes)


def _report(unloaded: Load, peak: Load, overload: Load, notes: list[str]) -> Report:
    refused = [response for response in overload.responses if response.status in _REFUSED]
    unexpected = [response for response in overload.responses if response.status not in _ALLOWED]
    notes += [f"status {response.status}: {response.content[:200]!r}" for response in unexpected[:3]]
    unloaded_spread, admitted = Spread.of(_seconds(unloaded.successful)), Spread.of(_seconds(overload.successful))
    figures = {
        "goodput_fraction": overload.per_second / peak.per_second,
        "p99_ratio": admitted.p99 / unloaded_spread.p99,
        "num_other_answers": len(unexpected),
    }
    rows: list[list[object]] = [
        _row("one client", unloaded, unloaded.successful),
        _row("best closed loop", peak, peak.successful),
        _row("overload, admitted", overload, overload.successful),
    ]
    if refused:
        figures["refusal_p99_ms"] = 1e3 * Spread.of(_seconds(refused)).p99
        rows.append(_row("overload, refused", overload, refused))
    return Report(
        name="overload",
        figures=figures,
        tables=[Table("Milliseconds to the response", ["", "responses", "per second", "p50 [quartiles]", "p99"], rows)],
        notes=[*notes, f"responses of the overload by status: {overload.statuses()}"],
        details={
            "arrivals_per_second": len(overload.responses) / overload.seconds,
            "capacity_per_second": peak.per_second,
            "statuses": overload.statuses(),
            "unloaded_seconds": _seconds(unloaded.successful),
            "admitted_seconds": _seconds(overload.successful),
            "refused_seconds": _seconds(refused),
        },
    )


def _row(name: str, load: Load, responses: list[TimedResponse]) -> list[object]:
    spread = Spread.of(_seconds(responses)).scaled(1e3)
    return [name, len(responses), f"{len(responses) / load.seconds:.2f}", str(spread), f"{spread.p99:.0f}"]


def _seconds(responses: list[TimedResponse]) -> list[float]:
    return [response.seconds for response in responses]
