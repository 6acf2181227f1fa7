"""Overload: requests arrive at twice the rate the service can answer, whether or not it keeps up.

Capacity is what a closed loop of clients reaches, each asking again when it is refused; the
unloaded answer time is that of one client. Both are measured in the same run, before the flood.
"""

import sys
from pathlib import Path

from benchmarks.harness.load import Answer, Generator, Load
from benchmarks.harness.report import Report, Table
from benchmarks.harness.servers import ours
from benchmarks.harness.spread import Spread
from benchmarks.harness.workload import short_videos

_ALLOWED = frozenset({200, 429, 503})
_REFUSED = frozenset({429, 503})
_TIMES_CAPACITY = 2.0


def measure(model_dir: Path, *, is_quick: bool) -> Report:
    """The report of this benchmark."""
    videos = short_videos(6 if is_quick else 24)
    contender = ours()
    with contender.start(model_dir) as server:
        generator = Generator(server.url, contender.request, [video.path.read_bytes() for video in videos])
        generator.closed_loop(2, 60, max_requests=len(videos))
        unloaded = generator.closed_loop(1, 5 if is_quick else 20)
        peak = max(
            (generator.closed_loop(num_clients, 5 if is_quick else 12) for num_clients in (2, 4, 8)),
            key=lambda load: load.per_second,
        )
        print(f"capacity {peak.per_second:.2f}/s, unloaded {Spread.of(_seconds(unloaded.good))} s", file=sys.stderr)
        cpu_seconds_before = server.cpu_seconds()
        flood = generator.open_loop(_TIMES_CAPACITY * peak.per_second, 20 if is_quick else 60)
        cpu_seconds = server.cpu_seconds() - cpu_seconds_before
        after = generator.closed_loop(1, 60, max_requests=3)
    notes = [f"of the flood's {flood.seconds:.1f} s the service used {cpu_seconds:.1f} s of processor time"]
    if len(after.good) < len(after.answers):
        notes.append(f"after the flood it answered {after.statuses()}")
    return _report(unloaded, peak, flood, notes)


def _report(unloaded: Load, peak: Load, flood: Load, notes: list[str]) -> Report:
    refused = [answer for answer in flood.answers if answer.status in _REFUSED]
    odd = [answer for answer in flood.answers if answer.status not in _ALLOWED]
    notes += [f"status {answer.status}: {answer.content[:200]!r}" for answer in odd[:3]]
    unloaded_spread, admitted = Spread.of(_seconds(unloaded.good)), Spread.of(_seconds(flood.good))
    figures = {
        "goodput_fraction": flood.per_second / peak.per_second,
        "p99_ratio": admitted.p99 / unloaded_spread.p99,
        "num_other_answers": len(odd),
    }
    rows: list[list[object]] = [
        _row("one client", unloaded, unloaded.good),
        _row("closed loop at its best", peak, peak.good),
        _row("flood, answered", flood, flood.good),
    ]
    if refused:
        figures["refusal_p99_ms"] = 1e3 * Spread.of(_seconds(refused)).p99
        rows.append(_row("flood, refused", flood, refused))
    return Report(
        name="overload",
        figures=figures,
        tables=[Table("Milliseconds to the answer", ["", "answers", "a second", "p50 [quartiles]", "p99"], rows)],
        notes=[*notes, f"answers of the flood by status: {flood.statuses()}"],
        details={
            "arrivals_per_second": len(flood.answers) / flood.seconds,
            "capacity_per_second": peak.per_second,
            "statuses": flood.statuses(),
            "unloaded_seconds": _seconds(unloaded.good),
            "admitted_seconds": _seconds(flood.good),
            "refused_seconds": _seconds(refused),
        },
    )


def _row(name: str, load: Load, answers: list[Answer]) -> list[object]:
    spread = Spread.of(_seconds(answers)).scaled(1e3)
    return [name, len(answers), f"{len(answers) / load.seconds:.2f}", str(spread), f"{spread.p99:.0f}"]


def _seconds(answers: list[Answer]) -> list[float]:
    return [answer.seconds for answer in answers]
