"""The report of `validate-data`: statistics and problems of a dataset."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from model_training.datasets.decoding import DecodeResult
from model_training.datasets.duplicates import DuplicatePair, find_duplicates
from model_training.datasets.examples import Example, labels_of
from model_training.datasets.leakage import Leak, find_leaks, group_duplicates
from model_training.errors import TrainingDataError
from model_training.evaluation.baselines import Baselines, cross_validate_baselines

_MIN_GROUPS = 2


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelCount(_Part):
    """Number of videos and groups of one label."""

    num_videos: int
    num_groups: int


class Spread(_Part):
    """Smallest, median and largest value over all readable videos."""

    least: float
    median: float
    most: float


class Pair(_Part):
    """Two videos by their paths, and how they match: `same bytes`, `near duplicate`, `same scene` or a group."""

    first: str
    second: str
    shared: str


class DataReport(_Part):
    """The report as `validate-data --json` writes it.

    `leaks` are between folds; with a config, between its held-out fold and the other folds.
    """

    source: str
    num_videos: int
    num_clips: int
    num_groups: int
    unreadable: dict[str, str]
    """Reasons by path."""
    damaged: dict[str, tuple[str, ...]]
    """Decoder warnings by path; the decoded part of such a video is used."""
    labels: dict[str, LabelCount]
    num_without_label: int
    duration_seconds: Spread
    frame_rate: Spread
    sizes: dict[str, int]
    codecs: dict[str, int]
    duplicates: tuple[Pair, ...]
    leaks: tuple[Pair, ...]
    baselines: Baselines | None
    """Each video predicted from other groups; None with fewer than two groups."""
    problems: tuple[str, ...]
    """One sentence for each problem that prevents training."""


def data_report(source: Path, decoding: DecodeResult, held_out_fold: int | None) -> DataReport:
    """Report on the decoded videos of `source`.

    Raises:
        TrainingDataError: no video can be read.
    """
    videos = decoding.videos
    if not videos:
        first = decoding.unreadable[0]
        raise TrainingDataError(f"{source}: no video can be read; {first.example.listed}: {first.reason}")
    examples = [video.example for video in videos]
    duplicates = find_duplicates(videos)
    leaks = find_leaks(examples, duplicates, lambda e: e.fold if held_out_fold is None else e.fold == held_out_fold)
    groups = [example.group for example in group_duplicates(examples, duplicates)]
    labels = {label: _label_count(label, examples, groups) for label in labels_of(examples)}
    return DataReport(
        source=str(source),
        num_videos=len(videos),
        num_clips=sum(len(video.clips) for video in videos),
        num_groups=len(set(groups)),
        unreadable={skipped.example.name: skipped.reason for skipped in decoding.unreadable},
        damaged={video.example.name: video.warnings for video in videos if video.warnings},
        labels=labels,
        num_without_label=sum(not example.labels for example in examples),
        duration_seconds=_spread([video.facts.duration_seconds for video in videos]),
        frame_rate=_spread([video.facts.frame_rate or 0.0 for video in videos]),
        sizes=_counts(f"{video.facts.width}x{video.facts.height}" for video in videos),
        codecs=_counts(f"{video.facts.codec} in {video.facts.container}" for video in videos),
        duplicates=tuple(_named_pair(pair, examples) for pair in duplicates),
        leaks=tuple(Pair(first=leak.first.name, second=leak.second.name, shared=leak.shared) for leak in leaks),
        baselines=cross_validate_baselines(videos, groups, tuple(labels)),
        problems=tuple(_problems(decoding, leaks, labels)),
    )


def _problems(decoding: DecodeResult, leaks: Sequence[Leak], labels: dict[str, LabelCount]) -> Iterator[str]:
    if decoding.unreadable:
        yield f"{len(decoding.unreadable)} videos cannot be read (train leaves them out with --skip-unreadable)"
    if leaks:
        yield f"{len(leaks)} leaks between folds, the first: {leaks[0]} (train refuses them without --allow-leakage)"
    for label, count in labels.items():
        if count.num_groups < _MIN_GROUPS:
            yield f"label {label!r} comes from a single group, so it cannot be in training and in test videos"


def _label_count(label: str, examples: Sequence[Example], groups: Sequence[str]) -> LabelCount:
    own = [group for example, group in zip(examples, groups, strict=True) if label in example.labels]
    return LabelCount(num_videos=len(own), num_groups=len(set(own)))


def _spread(values: Sequence[float]) -> Spread:
    least, median, most = min(values), statistics.median(values), max(values)
    return Spread(least=round(least, 3), median=round(median, 3), most=round(most, 3))


def _counts(names: Iterator[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _named_pair(pair: DuplicatePair, examples: Sequence[Example]) -> Pair:
    return Pair(first=examples[pair.first].name, second=examples[pair.second].name, shared=pair.match_type)
