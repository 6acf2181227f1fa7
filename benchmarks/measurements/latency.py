"""Latency: one client that waits for each answer; ours and the service most people write take turns.

All have the same model and take the same windows of each video. Ours takes part with its default
engine and, where it is installed, with OpenVINO: the figures that begin with `openvino_` are those.
`p50_overhead_ms` is the part of our own answer time, as the client sees it, that is neither decoding
nor the model: HTTP, receiving, queueing, answering. It is taken over videos of one clip, where
nothing overlaps.
"""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.harness.environments import PeerUnavailable
from benchmarks.harness.load import Answer, Generator
from benchmarks.harness.report import Report, Table
from benchmarks.harness.servers import Contender, ours_with_each_engine, usual_service
from benchmarks.harness.spread import Spread
from benchmarks.harness.workload import BenchmarkVideo, long_videos, short_videos

_LONGEST_SECONDS = 15


def measure(model_dir: Path, *, is_quick: bool) -> Report:
    """The report of this benchmark."""
    short, long = short_videos(4 if is_quick else 24), []
    if not is_quick:
        # OpenCV decodes no AV1.
        long = [video for video in long_videos() if video.duration_seconds < _LONGEST_SECONDS and video.codec != "av1"]
    answers, notes = _take_turns(model_dir, [*short, *long], num_runs=2 if is_quick else 3)
    overheads = [seconds for answer in answers["ours"] if (seconds := _overhead_seconds(answer)) is not None]
    figures = {"p50_overhead_ms": 1e3 * Spread.of(overheads).median}
    if "usual service" in answers:
        for name in (name for name in answers if name != "usual service"):
            figures |= _speedups(answers, name, first_long=len(short))
    return Report(
        name="latency",
        figures=figures,
        tables=[_whole_table(answers, overheads), _video_table(answers, [*short, *long])],
        notes=notes,
        details={
            "seconds": {name: [[answer.video, answer.seconds] for answer in them] for name, them in answers.items()},
            "overhead_seconds": overheads,
        },
    )


def _take_turns(
    model_dir: Path, videos: list[BenchmarkVideo], num_runs: int
) -> tuple[dict[str, list[Answer]], list[str]]:
    answers: dict[str, list[Answer]] = {}
    notes = []
    contents = [video.path.read_bytes() for video in videos]
    with ExitStack() as stack:
        generators: dict[str, list[Generator]] = {}
        for contender in (*ours_with_each_engine(), usual_service()):
            try:
                server = stack.enter_context(contender.start(model_dir))
            except PeerUnavailable as error:
                notes.append(f"{contender.name} took no part: {error}")
                continue
            generators[contender.name] = [_generator(server.url, contender, content) for content in contents]
            answers[contender.name] = []
        for run in range(-1, num_runs):
            print(f"run {run + 1} of {num_runs}", file=sys.stderr)
            for number in range(len(videos)):
                for name, own in generators.items():
                    [answer] = own[number].closed_loop(1, 60, max_requests=1).answers
                    if answer.status != 200:  # noqa: PLR2004
                        raise RuntimeError(f"{name} answered {answer.status}: {answer.content[:200]!r}")
                    if run >= 0:
                        answers[name].append(Answer(number, answer.status, 0, answer.seconds, answer.content))
    return answers, notes


def _generator(url: str, contender: Contender, content: bytes) -> Generator:
    return Generator(url, contender.request, [content])


def _overhead_seconds(answer: Answer) -> float | None:
    content = json.loads(answer.content)
    if len(content["clips"]) > 1:
        return None
    timings = content["timings_ms"]
    return float(answer.seconds - (timings["decode"] + timings["model"]) / 1e3)


def _speedups(answers: dict[str, list[Answer]], name: str, first_long: int) -> dict[str, float]:
    """How many times faster than the usual service the named one is, over all videos and by their length."""
    prefix = "" if name == "ours" else "openvino_"

    def ratio(share: int, belongs: Callable[[int], bool]) -> float:
        theirs, own = (
            np.percentile([answer.seconds for answer in answers[whose] if belongs(answer.video)], share)
            for whose in ("usual service", name)
        )
        return float(theirs / own)

    figures = {
        f"{prefix}p50_speedup_vs_usual_service": ratio(50, lambda _: True),
        f"{prefix}p90_speedup_vs_usual_service": ratio(90, lambda _: True),
        f"{prefix}short_p50_speedup_vs_usual_service": ratio(50, lambda video: video < first_long),
    }
    if any(answer.video >= first_long for answer in answers[name]):
        figures[f"{prefix}long_p50_speedup_vs_usual_service"] = ratio(50, lambda video: video >= first_long)
    return figures


def _whole_table(answers: dict[str, list[Answer]], overheads: list[float]) -> Table:
    rows: list[list[object]] = []
    for name, them in answers.items():
        spread = Spread.of([answer.seconds for answer in them]).scaled(1e3)
        rows.append([name, spread.num_values, str(spread), f"{spread.p90:.0f}"])
    spread = Spread.of(overheads).scaled(1e3)
    rows.append(["ours, neither decode nor model", spread.num_values, str(spread), f"{spread.p90:.1f}"])
    return Table("Milliseconds to the answer, one client", ["", "requests", "p50 [quartiles]", "p90"], rows)


def _video_table(answers: dict[str, list[Answer]], videos: list[BenchmarkVideo]) -> Table:
    rows = []
    for number, video in enumerate(videos):
        medians = {
            name: float(np.median([answer.seconds for answer in them if answer.video == number]))
            for name, them in answers.items()
        }
        usual = medians.get("usual service")
        ratio = f"{usual / medians['ours']:.2f}x" if usual else "-"
        cells = [f"{1e3 * seconds:.0f}" for seconds in medians.values()]
        rows.append([video.name, f"{video.codec} {video.height}p {video.duration_seconds:.0f} s", *cells, ratio])
    return Table("Median milliseconds by video", ["video", "", *answers, "ratio"], rows)
