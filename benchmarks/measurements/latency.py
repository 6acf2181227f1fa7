"""Latency benchmark: one client that waits for each response; our service and the usual service take turns.

All servers use the same model and the same windows of each video. Our service runs with its default engine and, if
installed, with OpenVINO (figures with the prefix `openvino_`). `p50_overhead_ms` is the part of our response time, as
seen by the client, that is neither decoding nor the model: HTTP, upload, queueing. It is measured on videos of one
clip, because the stages of longer videos overlap.
"""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.harness.environments import PeerUnavailable
from benchmarks.harness.load import Generator, TimedResponse
from benchmarks.harness.report import Report, Table
from benchmarks.harness.servers import BenchmarkServer, ours_with_each_engine, usual_service
from benchmarks.harness.spread import Spread
from benchmarks.harness.workload import BenchmarkVideo, long_videos, short_videos

_LONGEST_SECONDS = 15


def measure(model_dir: Path, *, is_quick: bool) -> Report:
    """Run the benchmark."""
    short, long = short_videos(4 if is_quick else 24), []
    if not is_quick:
        # OpenCV decodes no AV1.
        long = [video for video in long_videos() if video.duration_seconds < _LONGEST_SECONDS and video.codec != "av1"]
    responses, notes = _take_turns(model_dir, [*short, *long], num_runs=2 if is_quick else 3)
    overheads = [seconds for response in responses["ours"] if (seconds := _overhead_seconds(response)) is not None]
    figures = {"p50_overhead_ms": 1e3 * Spread.of(overheads).median}
    if "usual service" in responses:
        for name in (name for name in responses if name != "usual service"):
            figures |= _speedups(responses, name, first_long=len(short))
    return Report(
        name="latency",
        figures=figures,
        tables=[_summary_table(responses, overheads), _video_table(responses, [*short, *long])],
        notes=notes,
        details={
            "seconds": {
                name: [[response.video, response.seconds] for response in timed] for name, timed in responses.items()
            },
            "overhead_seconds": overheads,
        },
    )


def _take_turns(
    model_dir: Path, videos: list[BenchmarkVideo], num_runs: int
) -> tuple[dict[str, list[TimedResponse]], list[str]]:
    responses: dict[str, list[TimedResponse]] = {}
    notes = []
    contents = [video.path.read_bytes() for video in videos]
    with ExitStack() as stack:
        generators: dict[str, list[Generator]] = {}
        for server in (*ours_with_each_engine(), usual_service()):
            try:
                running = stack.enter_context(server.start(model_dir))
            except PeerUnavailable as error:
                notes.append(f"{server.name} did not take part: {error}")
                continue
            generators[server.name] = [_generator(running.url, server, content) for content in contents]
            responses[server.name] = []
        for run in range(-1, num_runs):
            print(f"run {run + 1} of {num_runs}", file=sys.stderr)
            for number in range(len(videos)):
                for name, own in generators.items():
                    [response] = own[number].closed_loop(1, 60, max_requests=1).responses
                    if response.status != 200:  # noqa: PLR2004
                        raise RuntimeError(f"{name} returned status {response.status}: {response.content[:200]!r}")
                    if run >= 0:
                        responses[name].append(
                            TimedResponse(number, response.status, 0, response.seconds, response.content)
                        )
    return responses, notes


def _generator(url: str, server: BenchmarkServer, content: bytes) -> Generator:
    return Generator(url, server.request, [content])


def _overhead_seconds(response: TimedResponse) -> float | None:
    content = json.loads(response.content)
    if len(content["clips"]) > 1:
        return None
    timings = content["timings_ms"]
    return float(response.seconds - (timings["decode"] + timings["model"]) / 1e3)


def _speedups(responses: dict[str, list[TimedResponse]], name: str, first_long: int) -> dict[str, float]:
    """Response times of the usual service divided by those of server `name`: over all, short and long videos."""
    prefix = "" if name == "ours" else "openvino_"

    def ratio(percent: int, belongs: Callable[[int], bool]) -> float:
        theirs, own = (
            np.percentile([response.seconds for response in responses[server] if belongs(response.video)], percent)
            for server in ("usual service", name)
        )
        return float(theirs / own)

    figures = {
        f"{prefix}p50_speedup_vs_usual_service": ratio(50, lambda _: True),
        f"{prefix}p90_speedup_vs_usual_service": ratio(90, lambda _: True),
        f"{prefix}short_p50_speedup_vs_usual_service": ratio(50, lambda video: video < first_long),
    }
    if any(response.video >= first_long for response in responses[name]):
        figures[f"{prefix}long_p50_speedup_vs_usual_service"] = ratio(50, lambda video: video >= first_long)
    return figures


def _summary_table(responses: dict[str, list[TimedResponse]], overheads: list[float]) -> Table:
    rows: list[list[object]] = []
    for name, timed in responses.items():
        spread = Spread.of([response.seconds for response in timed]).scaled(1e3)
        rows.append([name, spread.num_values, str(spread), f"{spread.p90:.0f}"])
    spread = Spread.of(overheads).scaled(1e3)
    rows.append(["ours, without decode and model", spread.num_values, str(spread), f"{spread.p90:.1f}"])
    return Table("Milliseconds to the response, one client", ["", "requests", "p50 [quartiles]", "p90"], rows)


def _video_table(responses: dict[str, list[TimedResponse]], videos: list[BenchmarkVideo]) -> Table:
    rows = []
    for number, video in enumerate(videos):
        medians = {
            name: float(np.median([response.seconds for response in timed if response.video == number]))
            for name, timed in responses.items()
        }
        usual = medians.get("usual service")
        ratio = f"{usual / medians['ours']:.2f}x" if usual else "-"
        cells = [f"{1e3 * seconds:.0f}" for seconds in medians.values()]
        rows.append([video.name, f"{video.codec} {video.height}p {video.duration_seconds:.0f} s", *cells, ratio])
    return Table("Median milliseconds by video", ["video", "", *responses, "ratio"], rows)
