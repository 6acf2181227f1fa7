"""Throughput: closed loops of 1, 4, 16 and 32 clients against ours and every peer, beside the offline ceiling.

The contestants run one after another, each alone on the machine, and the ceiling is measured before
and after them all, once for each of our engines. Our line is made long enough for every client:
peers queue without a bound, so nobody refuses. Ours takes part with its default engine and, where it
is installed, with OpenVINO: the figures that begin with `openvino_` are those. Beside the rates
stands the processor time that a contestant's processes used for each video: unlike a rate it hardly
depends on what else the machine does.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

import httpx
import numpy as np

from benchmarks.harness.environments import PeerUnavailable
from benchmarks.harness.load import Answer, Generator
from benchmarks.harness.report import Report, Table
from benchmarks.harness.servers import LONG_LINE, Contender, ours_with_each_engine, peers
from benchmarks.harness.spread import Spread
from benchmarks.harness.workload import BenchmarkVideo, short_videos
from benchmarks.studies import ceiling
from service.inference.engine import EngineName

_NUM_CLIENTS = (1, 4, 16, 32)
_NUM_WARM_UP = 8
_LAST_COLUMNS = ("processor ms a video", "failed", "probabilities differ by")


@dataclass(frozen=True, slots=True)
class Trial:
    """What every contestant goes through; `expected` is what ours answered, by the video's number."""

    model_dir: Path
    contents: list[bytes]
    levels: Sequence[int]
    seconds: float
    expected: dict[int, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What one contestant reached: runs of videos a second, and answer times, by number of clients."""

    name: str
    per_second: dict[int, list[float]] = field(default_factory=dict)
    seconds: dict[int, Spread] = field(default_factory=dict)
    cpu_seconds_per_video: list[float] = field(default_factory=list)
    num_failed: int = 0
    largest_difference: float = 0.0

    @property
    def best_per_second(self) -> float:
        """The best median over the numbers of clients."""
        return max(float(np.median(runs)) for runs in self.per_second.values())


def measure(model_dir: Path, *, is_quick: bool) -> Report:
    """The report of this benchmark."""
    videos = short_videos(6 if is_quick else 24)
    seconds = 3.0 if is_quick else 8.0
    levels = (1, 4) if is_quick else _NUM_CLIENTS
    own = ours_with_each_engine(**LONG_LINE)
    ceilings = {contender.name: [_ceiling(model_dir, videos, 2 * seconds, contender.name)] for contender in own}
    outcomes: list[Outcome] = []
    notes: list[str] = []
    trial = Trial(model_dir, [video.path.read_bytes() for video in videos], levels, seconds)
    for contender in (*own, *peers(), *own):
        try:
            outcome = next((known for known in outcomes if known.name == contender.name), Outcome(contender.name))
            _run(contender, trial, outcome)
        except PeerUnavailable as error:
            notes.append(f"{contender.name} took no part: {error}")
            continue
        if outcome not in outcomes:
            outcomes.append(outcome)
    for name, measured in ceilings.items():
        measured.append(_ceiling(model_dir, videos, 2 * seconds, name))
    return _report(outcomes, ceilings, notes, levels)


def _ceiling(model_dir: Path, videos: Sequence[BenchmarkVideo], seconds: float, name: str) -> float:
    # In a process of its own: the engine's threads and memory are not to stay.
    engine: EngineName = "tensorflow" if name == "ours" else "openvino"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        paths = [video.path for video in videos]
        per_second = pool.submit(ceiling.videos_per_second, model_dir, paths, seconds, engine).result()
    print(f"ceiling of {engine}: {per_second:.2f}/s", file=sys.stderr)
    return per_second


def _run(contender: Contender, trial: Trial, outcome: Outcome) -> None:
    with contender.start(trial.model_dir) as server:
        generator = Generator(server.url, contender.request, trial.contents)
        warm_up = generator.closed_loop(2, 60, max_requests=_NUM_WARM_UP)
        _compare_answers(contender, warm_up.good, outcome, trial.expected)
        for num_clients in trial.levels:
            cpu_seconds_before = server.cpu_seconds()
            load = generator.closed_loop(num_clients, trial.seconds)
            cpu_seconds = server.cpu_seconds() - cpu_seconds_before
            outcome.num_failed += len(load.answers) - len(load.good)
            if load.good:
                outcome.cpu_seconds_per_video.append(cpu_seconds / len(load.answers))
                outcome.per_second.setdefault(num_clients, []).append(load.per_second)
                outcome.seconds[num_clients] = Spread.of([answer.seconds for answer in load.good])
            print(
                f"{contender.name}, {num_clients} clients: {load.per_second:.2f}/s {load.statuses()}", file=sys.stderr
            )
    if not outcome.per_second:
        raise PeerUnavailable(f"not one good answer; see {server.log_path}")


def _compare_answers(
    contender: Contender, answers: list[Answer], outcome: Outcome, expected: dict[int, list[float]]
) -> None:
    # Peers scale pictures with other settings, so their probabilities differ a little.
    probabilities = {
        answer.video: contender.probabilities(httpx.Response(answer.status, content=answer.content))
        for answer in answers
    }
    if contender.name == "ours":
        expected.update(probabilities)
    differences = [
        float(np.abs(np.array(found) - np.array(expected[video])).max()) for video, found in probabilities.items()
    ]
    outcome.largest_difference = max(differences, default=float("nan"))


def _cpu_seconds(outcome: Outcome) -> float:
    return float(np.median(outcome.cpu_seconds_per_video))


def _report(
    outcomes: list[Outcome], ceilings: dict[str, list[float]], notes: list[str], levels: Sequence[int]
) -> Report:
    own = [outcome for outcome in outcomes if outcome.name in ceilings]
    others = [outcome for outcome in outcomes if outcome.name not in ceilings]
    our_best = own[0].best_per_second
    figures: dict[str, float] = {}
    for outcome in own:
        prefix = "" if outcome.name == "ours" else "openvino_"
        highest = float(np.mean(ceilings[outcome.name]))
        figures |= {
            f"{prefix}fraction_of_ceiling": outcome.best_per_second / highest,
            f"{prefix}videos_per_second": outcome.best_per_second,
            f"{prefix}ceiling_per_second": highest,
        }
        if others:
            figures |= {
                f"{prefix}throughput_vs_best_peer": outcome.best_per_second
                / max(other.best_per_second for other in others),
                f"{prefix}cpu_per_video_of_cheapest_peer_vs_ours": min(map(_cpu_seconds, others))
                / _cpu_seconds(outcome),
            }
    rows = []
    for outcome in outcomes:
        cells = [
            f"{np.median(outcome.per_second[level]):.2f} / {1e3 * outcome.seconds[level].median:.0f}"
            if level in outcome.per_second
            else "-"
            for level in levels
        ]
        rows.append(
            [
                outcome.name,
                *cells,
                f"{outcome.best_per_second / our_best:.2f}x",
                f"{1e3 * _cpu_seconds(outcome):.0f}",
                outcome.num_failed,
                f"{outcome.largest_difference:.3f}",
            ]
        )
    return Report(
        name="throughput",
        figures=figures,
        tables=[
            Table(
                "Videos a second / median milliseconds to the answer, by number of clients",
                ["", *(f"{level} clients" for level in levels), "best, to ours", *_LAST_COLUMNS],
                rows,
            )
        ],
        notes=[
            *notes,
            *(
                f"offline ceiling of {name}: {one:.2f}/s before, {two:.2f}/s after"
                for name, (one, two) in ceilings.items()
            ),
        ],
        details={
            "ceilings_per_second": ceilings,
            "contestants": {
                outcome.name: {
                    "per_second": outcome.per_second,
                    "seconds": {level: asdict(spread) for level, spread in outcome.seconds.items()},
                    "cpu_seconds_per_video": outcome.cpu_seconds_per_video,
                    "num_failed": outcome.num_failed,
                    "largest_difference": outcome.largest_difference,
                }
                for outcome in outcomes
            },
        },
    )
