"""The story behind `validate-data`: decode everything once, and say what is wrong with it before a model does."""

import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from model_training.atomic_files import check_places, write_whole
from model_training.config import read_config
from model_training.datasets.decoding import Decoding, decode_examples
from model_training.datasets.duplicates import Twins, find_twins
from model_training.datasets.examples import Example, labels_of, read_examples
from model_training.datasets.leakage import Leak, find_leaks, with_twins_grouped
from model_training.errors import TrainingDataError
from model_training.evaluation.baselines import Baselines, cross_validate_baselines
from model_training.progress import RunProgress
from service.video.clip import ClipSpec

_DEFAULT_SPEC = ClipSpec(num_frames=16, height=160, width=160, frames_per_second=8, stride_seconds=2.0)
_MIN_GROUPS = 2
_NUM_SHOWN = 10


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelCount(_Part):
    """How much there is of one label."""

    num_videos: int
    num_groups: int


class Spread(_Part):
    """Of one number over all readable videos."""

    least: float
    median: float
    most: float


class Pair(_Part):
    """Two videos by their paths, and what they share."""

    first: str
    second: str
    shared: str


class DataReport(_Part):
    """What `validate-data --json` writes. `leaks` cross the folds, or the config's held-out fold and the rest."""

    source: str
    num_videos: int
    num_clips: int
    num_groups: int
    unreadable: dict[str, str]
    """Why, by path."""
    damaged: dict[str, tuple[str, ...]]
    """What the decoder warned of, by path: such videos are used as far as they go."""
    labels: dict[str, LabelCount]
    num_without_label: int
    duration_seconds: Spread
    frame_rate: Spread
    sizes: dict[str, int]
    codecs: dict[str, int]
    twins: tuple[Pair, ...]
    leaks: tuple[Pair, ...]
    baselines: Baselines | None
    """Each video answered from other groups than its own; None with fewer than two groups."""
    problems: tuple[str, ...]
    """One sentence for each reason not to train on this as it is."""


def validate_data(source: Path, config_path: Path | None, runs_directory: Path, json_path: Path | None) -> None:
    """Print what a dataset holds and what is wrong with it. Decoded clips stay for training with that config.

    Raises:
        TrainingDataError: something is wrong with it.
    """
    check_places(json_path)
    config = None if config_path is None else read_config(config_path)
    held_out_fold = None if config is None else config.held_out_fold
    examples = read_examples(source)
    with RunProgress() as display, display.bar("decode", len(examples), "videos") as on_video:
        spec = _DEFAULT_SPEC if config is None else config.clip
        decoding = decode_examples(examples, spec, runs_directory / "cache", on_video)
    report = _report(source, decoding, held_out_fold)
    _print_report(report)
    if json_path is not None:
        write_whole({json_path: report.model_dump_json(indent=1) + "\n"})
    if report.problems:
        raise TrainingDataError(f"{source}: " + "; ".join(report.problems))


def _report(source: Path, decoding: Decoding, held_out_fold: int | None) -> DataReport:
    videos = decoding.videos
    if not videos:
        first = decoding.unreadable[0]
        raise TrainingDataError(f"{source}: not one video can be read; {first.example.listed}: {first.reason}")
    examples = [video.example for video in videos]
    twins = find_twins(videos)
    leaks = find_leaks(examples, twins, lambda e: e.fold if held_out_fold is None else e.fold == held_out_fold)
    groups = [example.group for example in with_twins_grouped(examples, twins)]
    labels = {label: _label_count(label, examples, groups) for label in labels_of(examples)}
    return DataReport(
        source=str(source),
        num_videos=len(videos),
        num_clips=sum(len(video.clips) for video in videos),
        num_groups=len(set(groups)),
        unreadable={one.example.name: one.reason for one in decoding.unreadable},
        damaged={video.example.name: video.warnings for video in videos if video.warnings},
        labels=labels,
        num_without_label=sum(not example.labels for example in examples),
        duration_seconds=_spread([video.facts.duration_seconds for video in videos]),
        frame_rate=_spread([video.facts.frame_rate or 0.0 for video in videos]),
        sizes=_counts(f"{video.facts.width}x{video.facts.height}" for video in videos),
        codecs=_counts(f"{video.facts.codec} in {video.facts.container}" for video in videos),
        twins=tuple(_named(pair, examples) for pair in twins),
        leaks=tuple(Pair(first=leak.first.name, second=leak.second.name, shared=leak.shared) for leak in leaks),
        baselines=cross_validate_baselines(videos, groups, tuple(labels)),
        problems=tuple(_problems(decoding, leaks, labels)),
    )


def _problems(decoding: Decoding, leaks: Sequence[Leak], labels: dict[str, LabelCount]) -> Iterator[str]:
    if decoding.unreadable:
        yield f"{len(decoding.unreadable)} videos cannot be read (train leaves them out with --skip-unreadable)"
    if leaks:
        yield f"{len(leaks)} leaks between folds, the first: {leaks[0]} (train refuses them without --allow-leakage)"
    for label, count in labels.items():
        if count.num_groups < _MIN_GROUPS:
            yield f"label {label!r} comes from a single group, so it cannot be both learnt and tested"


def _label_count(label: str, examples: Sequence[Example], groups: Sequence[str]) -> LabelCount:
    own = [group for example, group in zip(examples, groups, strict=True) if label in example.labels]
    return LabelCount(num_videos=len(own), num_groups=len(set(own)))


def _spread(values: Sequence[float]) -> Spread:
    least, median, most = min(values), statistics.median(values), max(values)
    return Spread(least=round(least, 3), median=round(median, 3), most=round(most, 3))


def _counts(names: Iterator[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _named(pair: Twins, examples: Sequence[Example]) -> Pair:
    return Pair(first=examples[pair.first].name, second=examples[pair.second].name, shared=pair.likeness)


def _print_report(report: DataReport) -> None:
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    table = Table("label", "videos", "groups", title=f"{report.source}: {report.num_videos} videos")
    for label, count in report.labels.items():
        table.add_row(label, str(count.num_videos), str(count.num_groups))
    console.print(table)
    for line in _lines(report):
        console.print(line, markup=False)


def _lines(report: DataReport) -> Iterator[str]:
    seconds, rate = report.duration_seconds, report.frame_rate
    yield (
        f"{report.num_clips} clips; {seconds.least:g} to {seconds.most:g} s long (median {seconds.median:g}),"
        f" {rate.least:g} to {rate.most:g} frames a second (median {rate.median:g})"
    )
    for name, counts in (("sizes", report.sizes), ("codecs", report.codecs)):
        shown = ", ".join(f"{count} {what}" for what, count in list(counts.items())[:_NUM_SHOWN])
        yield f"{name}: {shown}" + (f" and {len(counts) - _NUM_SHOWN} more" if len(counts) > _NUM_SHOWN else "")
    if report.num_without_label:
        yield f"{report.num_without_label} videos have no label"
    yield from (f"unreadable: {path}: {reason}" for path, reason in report.unreadable.items())
    yield from _first("damaged", [f"{path}: {' '.join(warnings)}" for path, warnings in report.damaged.items()])
    for likeness in ("same bytes", "near duplicate", "same scene"):
        pairs = [f"{pair.first} and {pair.second}" for pair in report.twins if pair.shared == likeness]
        yield from _first(likeness, pairs)
    yield from _first("leak", [f"{pair.first} and {pair.second}: {pair.shared}" for pair in report.leaks])
    if report.baselines is not None:
        baselines = report.baselines
        yield (
            f"answered from other groups: metadata alone {baselines.metadata.accuracy:.3f}, nearest mean picture"
            f" {baselines.mean_frame.accuracy:.3f}, most frequent label {baselines.majority.accuracy:.3f}"
        )
        verdict = baselines.verdict()
        if verdict is not None:
            yield verdict


def _first(kind: str, lines: Sequence[str]) -> Iterator[str]:
    yield from (f"{kind}: {line}" for line in lines[:_NUM_SHOWN])
    if len(lines) > _NUM_SHOWN:
        yield f"{kind}: {len(lines) - _NUM_SHOWN} more (--json lists all)"
