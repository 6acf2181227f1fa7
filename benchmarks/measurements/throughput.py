"""Throughput benchmark: closed loops of 1, 4, 16 and 32 clients on our service and all peers, and the offline ceiling.

The servers run one after another, each alone on the machine. The ceiling is measured before and after them, once for
each engine. Our queue is long enough for all clients, because peers queue without a limit. Our service runs with its
default engine and, if installed, with OpenVINO (figures with the prefix `openvino_`). The processor time per video is
reported too: it depends less than the rate on other load of the machine.
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
from benchmarks.harness.load import Generator, TimedResponse
from benchmarks.harness.report import Report, Table
from benchmarks.harness.servers import LONG_QUEUE, BenchmarkServer, ours_with_each_engine, peers
from benchmarks.harness.spread import Spread
from benchmarks.harness.workload import BenchmarkVideo, short_videos
from benchmarks.studies import ceiling
from service.inference.engine import EngineName

_NUM_CLIENTS = (1, 4, 16, 32)
_NUM_WARM_UP = 8
_LAST_COLUMNS = ("processor ms per video", "failed", "probabilities differ by")


@dataclass(frozen=True, slots=True)
class Trial:
    """The load on every server; `expected` are the probabilities of our service by video number."""

    model_dir: Path
    contents: list[bytes]
    levels: Sequence[int]
    seconds: float
    expected: dict[int, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """Results of one server: videos per second of each run, and response times, by number of clients."""

    name: str
    per_second: dict[int, list[float]] = field(default_factory=dict)
    seconds: dict[int, Spread] = field(default_factory=dict)
    cpu_seconds_per_video: list[float] = field(default_factory=list)
    num_failed: int = 0
    largest_difference: float = 0.0

    @property
    def best_per_second(self) -> float:
        """The best median rate over all numbers of clients."""
        return max(float(np.median(runs)) for runs in self.per_second.values())


def measure(model_dir: Path, *, is_quick: bool) -> Report:
    """Run the benchmark."""
    videos = short_videos(6 if is_quick else 24)
    seconds = 3.0 if is_quick else 8.0
    levels = (1, 4) if is_quick else _NUM_CLIENTS
    own = ours_with_each_engine(**LONG_QUEUE)
    ceilings = {server.name: [_ceiling(model_dir, videos, 2 * seconds, server.name)] for server in own}
    outcomes: list[Outcome] = []
    notes: list[str] = []
    trial = Trial(model_dir, [video.path.read_bytes() for video in videos], levels, seconds)
    for server in (*own, *peers(), *own):
        try:
            outcome = next((known for known in outcomes if known.name == server.name), Outcome(server.name))
            _run(server, trial, outcome)
        except PeerUnavailable as error:
            notes.append(f"{server.name} did not take part: {error}")
            continue
        if outcome not in outcomes:
            outcomes.append(outcome)
    for name, measured in ceilings.items():
        measured.append(_ceiling(model_dir, videos, 2 * seconds, name))
    return _report(outcomes, ceilings, notes, levels)


def _ceiling(model_dir: Path, videos: Sequence[BenchmarkVideo], seconds: float, name: str) -> float:
    # In a separate process, so that threads and memory of the engine are released.
    engine: EngineName = "tensorflow" if name == "ours" else "openvino"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        paths = [video.path for video in videos]
        per_second = pool.submit(ceiling.videos_per_second, model_dir, paths, seconds, engine).result()
    print(f"ceiling of {engine}: {per_second:.2f}/s", file=sys.stderr)
    return per_second


def _run(server: BenchmarkServer, trial: Trial, outcome: Outcome) -> None:
    with server.start(trial.model_dir) as running:
        generator = Generator(running.url, server.request, trial.contents)
        warm_up = generator.closed_loop(2, 60, max_requests=_NUM_WARM_UP)
        _compare_probabilities(server, warm_up.successful, outcome, trial.expected)
        for num_clients in trial.levels:
            cpu_seconds_before = running.cpu_seconds()
            load = generator.closed_loop(num_clients, trial.seconds)
            cpu_seconds = running.cpu_seconds() - cpu_seconds_before
            outcome.num_failed += len(load.responses) - len(load.successful)
            if load.successful:
                outcome.cpu_seconds_per_video.append(cpu_seconds / len(load.responses))
                outcome.per_second.setdefault(num_clients, []).append(load.per_second)
                outcome.seconds[num_clients] = Spread.of([response.seconds for response in load.successful])
            print(f"{server.name}, {num_clients} clients: {load.per_second:.2f}/s {load.statuses()}", file=sys.stderr)
    if not outcome.per_second:
        raise PeerUnavailable(f"no successful response; see {running.log_path}")


def _compare_probabilities(
    server: BenchmarkServer, responses: list[TimedResponse], outcome: Outcome, expected: dict[int, list[float]]
) -> None:
    # Peers scale pictures with other settings, so their probabilities differ slightly.
    probabilities = {
        response.video: server.probabilities(httpx.Response(response.status, content=response.content))
        for response in responses
    }
    if server.name == "ours":
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
    peer_outcomes = [outcome for outcome in outcomes if outcome.name not in ceilings]
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
        if peer_outcomes:
            figures |= {
                f"{prefix}throughput_vs_best_peer": outcome.best_per_second
                / max(other.best_per_second for other in peer_outcomes),
                f"{prefix}cpu_per_video_of_cheapest_peer_vs_ours": min(map(_cpu_seconds, peer_outcomes))
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
                "Videos per second / median milliseconds to the response, by number of clients",
                ["", *(f"{level} clients" for level in levels), "best vs ours", *_LAST_COLUMNS],
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
            "servers": {
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
