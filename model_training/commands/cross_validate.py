"""The stories behind `compare` and `cross-validate`: decode, train fold by fold, and say what came of it."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from model_training.atomic_files import check_places, write_whole
from model_training.config import BackboneName, Family, TrainConfig, checked_config, read_config
from model_training.datasets.clip_cache import DecodedVideo
from model_training.datasets.examples import Example, labels_of, read_examples
from model_training.datasets.preparation import check_videos, split_of
from model_training.errors import InvalidConfig, TrainingDataError
from model_training.evaluation.baselines import Baselines, baselines_over_folds
from model_training.evaluation.results import CrossValidation, Figure, Interval
from model_training.export.card import leaks_allowed
from model_training.interrupt import stop_flag
from model_training.progress import RunProgress

if TYPE_CHECKING:
    from model_training.cross_validation.architectures import Comparison
    from model_training.cross_validation.folds import FoldData


@dataclass(frozen=True, slots=True)
class Protocol:
    """What to train, on what, and how often. `folds` empty means all of the manifest."""

    config: Path
    data: Path
    runs: Path
    folds: tuple[int, ...]
    num_seeds: int
    max_epochs: int | None
    is_frozen_only: bool
    skip_unreadable: bool
    allow_leakage: bool
    family: Family | None = None
    """None: the config's own, as below."""
    backbone: BackboneName | None = None


@dataclass(frozen=True, slots=True)
class _CheckedFolds:
    """What to train on fold by fold, and what is to be told beside every answer: `num_leaks` were allowed."""

    data: "FoldData"
    videos: tuple[DecodedVideo, ...]
    num_leaks: int

    def told_beside(self, folds: Sequence[int]) -> dict[str, int | Baselines]:
        """The leaks, and how well guesses answer the same folds; fields of what is measured."""
        baselines = baselines_over_folds(self.videos, folds, self.data.labels)
        return {"num_leaks": self.num_leaks, "baselines": baselines}


class AnsweredVideo(Figure):
    """What the exported model of one run answers for a video of the fold that it never saw.

    `path` is below the data's folder, or absolute where the video lies elsewhere.
    """

    path: str
    labels: tuple[str, ...]
    group: str
    fold: int
    seed: int
    probabilities: tuple[float, ...]


class Advantage(Figure):
    """How much more often one config is right than another, on the videos that both answered."""

    than: str
    """The other config's file."""
    num_videos: int
    accuracy_difference: float
    interval: Interval | None = None
    """Of 95 %, whole groups drawn."""


class CrossValidationRecord(Figure):
    """What `cross-validate` writes, and what `train --cross-validation` and `cross-validate --against` read."""

    config: TrainConfig
    labels: tuple[str, ...]
    figures: CrossValidation
    videos: tuple[AnsweredVideo, ...]
    advantage: Advantage | None = None

    def right_by_path(self) -> dict[str, tuple[str, float]]:
        """For each video, its group and how often the answers to it are right, over the seeds."""
        from model_training.cross_validation.folds import is_right  # noqa: PLC0415

        groups = {video.path: video.group for video in self.videos}
        rights: dict[str, list[bool]] = {}
        for video in self.videos:
            answer, sums_to_one = np.array(video.probabilities), self.config.head.sums_to_one
            right = is_right(answer, video.labels, self.labels, sums_to_one=sums_to_one)
            rights.setdefault(video.path, []).append(right)
        return {path: (groups[path], float(np.mean(right))) for path, right in rights.items()}


def cross_validation_of(
    config: TrainConfig, examples: Sequence[Example], path: Path, *, skip_unreadable: bool
) -> CrossValidation:
    """The figures in a file that `cross-validate` wrote for this config and data; the held-out fold may differ.

    With `skip_unreadable`, it may have answered fewer videos than there are examples.

    Raises:
        TrainingDataError: there is no such file, it is another, or it is of another config or other data.
    """
    record = _read_record(path)
    if record.config.model_copy(update={"held_out_fold": config.held_out_fold}).recipe != config.recipe:
        raise TrainingDataError(f"{path}: was made by another config than the one to train")
    labels = labels_of(examples)
    if record.labels != labels:
        raise TrainingDataError(f"{path}: is of the labels {', '.join(record.labels)}, not of {', '.join(labels)}")
    num_answered, num_here = record.figures.num_videos, sum(e.fold in record.figures.folds for e in examples)
    if num_answered > num_here or (num_answered < num_here and not skip_unreadable):
        raise TrainingDataError(f"{path}: is of {num_answered} videos, and the data has {num_here} in the same folds")
    return record.figures


def _read_record(path: Path) -> CrossValidationRecord:
    try:
        return CrossValidationRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TrainingDataError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise TrainingDataError(f"{path}: not what cross-validate writes: {error.errors()[0]['msg']}") from error


def advantage_over(record: CrossValidationRecord, other: CrossValidationRecord, path: Path) -> Advantage:
    """How much more often `record` is right than `other`, which lies in `path`.

    Raises:
        TrainingDataError: they have no video in common, or other labels.
    """
    from model_training.evaluation.bootstrap import mean_interval  # noqa: PLC0415

    _check_is_comparable(record.labels, {video.path for video in record.videos}, other, path)
    ours, theirs = record.right_by_path(), other.right_by_path()
    shared = sorted(ours.keys() & theirs.keys())
    gains = [ours[video][1] - theirs[video][1] for video in shared]
    return Advantage(
        than=path.name,
        num_videos=len(shared),
        accuracy_difference=round(float(np.mean(gains)), 4),
        interval=mean_interval(gains, [ours[video][0] for video in shared]),
    )


def _check_is_comparable(labels: tuple[str, ...], videos: set[str], other: CrossValidationRecord, path: Path) -> None:
    if labels != other.labels:
        raise TrainingDataError(f"{path}: is of the labels {', '.join(other.labels)}, not of {', '.join(labels)}")
    if videos.isdisjoint(video.path for video in other.videos):
        raise TrainingDataError(f"{path}: answers none of the same videos")


def compare(protocol: Protocol, json_path: Path | None) -> None:
    """Train the three families under one protocol, and print which to use."""
    check_places(json_path)
    config, examples, folds = _settled(protocol)
    with _checked_folds(protocol, config, examples, folds) as checked:
        from model_training.cross_validation.architectures import compare_families  # noqa: PLC0415

        comparison = compare_families(config, checked.data, folds, _seeds(config, protocol))
        comparison = comparison.model_copy(update=checked.told_beside(folds))
    _print_comparison(comparison)
    if json_path is not None:
        write_whole({json_path: comparison.model_dump_json(indent=1) + "\n"})


def cross_validate(protocol: Protocol, out: Path, against: Path | None) -> None:
    """Train one family on all folds but one, for each; keep every answer for a video not trained on.

    With `against`, a file that it wrote for another config, family or backbone, also say which is right more often.
    """
    check_places(out)
    other = None if against is None else _read_record(against)
    config, examples, folds = _settled(protocol)
    root = protocol.data if protocol.data.is_dir() else protocol.data.parent
    if against is not None and other is not None:
        # Before hours of work, not after.
        asked = {example.path_below(root) for example in examples if example.fold in folds}
        _check_is_comparable(labels_of(examples), asked, other, against)
    seeds = _seeds(config, protocol)
    with _checked_folds(protocol, config, examples, folds) as checked:
        from model_training.cross_validation.exported_folds import cross_validation_figures, exported_folds  # noqa: PLC0415
        from model_training.cross_validation.folds import shared_features  # noqa: PLC0415

        data = checked.data
        answered = exported_folds(config, data, shared_features(config, data, with_shuffled=False), folds, seeds)
        figures = cross_validation_figures(config, data.labels, answered, _command_of(protocol))
        figures = figures.model_copy(update=checked.told_beside(folds))
    record = CrossValidationRecord(
        config=config,
        labels=data.labels,
        figures=figures,
        videos=tuple(
            AnsweredVideo(
                path=example.path_below(root),
                labels=example.labels,
                group=example.group,
                fold=one.fold,
                seed=one.seed,
                probabilities=tuple(prediction.probabilities.tolist()),
            )
            for one in answered
            for prediction, example in zip(one.predictions, one.examples, strict=True)
        ),
    )
    if against is not None and other is not None:
        record = record.model_copy(update={"advantage": advantage_over(record, other, against)})
    write_whole({out: record.model_dump_json() + "\n"})
    _print_cross_validation(config.name, figures, out)
    if record.advantage is not None:
        _print_advantage(record.advantage)


def _command_of(protocol: Protocol) -> str:
    """The command that makes the same record of the same data."""
    options = []
    if protocol.folds:
        options += ["--folds", *map(str, protocol.folds)]
    options += ["--seeds", str(protocol.num_seeds)]
    if protocol.max_epochs is not None:
        options += ["--epochs", str(protocol.max_epochs)]
    if protocol.family is not None:
        options += ["--family", protocol.family]
    if protocol.backbone is not None:
        options += ["--backbone", protocol.backbone]
    flags = {
        "--frozen-only": protocol.is_frozen_only,
        "--skip-unreadable": protocol.skip_unreadable,
        "--allow-leakage": protocol.allow_leakage,
    }
    return command_line("cross-validate", protocol.config, options, flags, "--out", "FILE")


def command_line(command: str, config: Path, options: Sequence[str], flags: Mapping[str, bool], *last: str) -> str:
    """A command as it is told on cards, with DIR for the data: `options`, then the flags that were given."""
    given = [flag for flag, is_given in flags.items() if is_given]
    whole = ["--config", config.as_posix(), "--data", "DIR", *options, *given, *last]
    return shlex.join(["python", "-m", "model_training", command, *whole])


def _settled(protocol: Protocol) -> tuple[TrainConfig, list[Example], tuple[int, ...]]:
    """The config with the protocol's changes, the examples of its folds, and the folds to hold out.

    Raises:
        InvalidConfig: it is for several machines, or does not suit the protocol's backbone.
        TrainingDataError: no folds, one that holds no video, or a label with too few groups.
    """
    config = read_config(protocol.config)
    stages = tuple(
        stage.model_copy(update={"num_epochs": min(stage.num_epochs, protocol.max_epochs or stage.num_epochs)})
        for stage in config.stages
        if stage.backbone == "frozen" or not protocol.is_frozen_only
    )
    if not stages:
        raise TrainingDataError(f"{protocol.config}: no stage has a frozen backbone: leave --frozen-only out")
    examples = read_examples(protocol.data)
    known = sorted({example.fold for example in examples if example.fold is not None})
    # A fold named twice is held out once.
    folds = tuple(dict.fromkeys(protocol.folds)) or tuple(known)
    if len(known) < 2 or not set(folds) <= set(known):  # noqa: PLR2004 - one to hold out and one to train on
        raise TrainingDataError(
            f"{protocol.data}: cross-validation needs a manifest with two folds or more, and has {known}"
        )
    if config.distribution == "multi_worker":
        raise InvalidConfig(f'{protocol.config}: distribution="multi_worker" is for train: a fold has one machine')
    family, backbone = protocol.family or config.family, protocol.backbone or config.backbone
    changes = {"stages": stages, "family": family, "backbone": backbone}
    config = checked_config(config.model_copy(update=changes), protocol.config)
    in_folds = [example for example in examples if example.fold is not None]
    # Before hours of work, not after.
    _check_splits(config, protocol, in_folds, folds)
    return config, in_folds, folds


def _check_splits(config: TrainConfig, protocol: Protocol, examples: Sequence[Example], folds: Sequence[int]) -> None:
    """Nothing, if every run has its labels in training and in validation.

    Raises:
        TrainingDataError: one has not.
    """
    for seed in _seeds(config, protocol):
        for fold in folds:
            split_of(config.model_copy(update={"seed": seed, "held_out_fold": fold}), examples)


def _seeds(config: TrainConfig, protocol: Protocol) -> tuple[int, ...]:
    return tuple(range(config.seed, config.seed + protocol.num_seeds))


@contextmanager
def _checked_folds(
    protocol: Protocol, config: TrainConfig, examples: Sequence[Example], folds: Sequence[int]
) -> Iterator[_CheckedFolds]:
    """The decoded videos, twins counted as one group, so that validation is as far from training as the folds are.

    Raises:
        TrainingDataError: a video cannot be read, or a fold to hold out leaks.
    """
    from model_training.cross_validation.folds import FoldData  # noqa: PLC0415

    with RunProgress() as display:
        checked = check_videos(
            config,
            examples,
            lambda example: example.fold if example.fold in folds else None,
            protocol.runs / "cache",
            display,
            skip_unreadable=protocol.skip_unreadable,
            allow_leakage=protocol.allow_leakage,
        )
        # Twins that count as one group may leave a label with too few.
        _check_splits(config, protocol, checked.grouped, folds)
        if checked.num_leaks:
            display.say(leaks_allowed(checked.num_leaks))
        directory = protocol.runs / f"{config.name}-folds"
        directory.mkdir(parents=True, exist_ok=True)
        clips = [
            replace(clip, example=example)
            for video, example in zip(checked.videos, checked.grouped, strict=True)
            for clip in video.clips
        ]
        # Only now: decoding is stopped by Ctrl-C itself.
        with stop_flag() as is_stopping:
            if config.teacher is not None:
                from model_training.training.distillation import with_lessons  # noqa: PLC0415

                clips = with_lessons(clips, config.teacher, protocol.runs / "cache", display, is_stopping)
            data = FoldData(checked.grouped, labels_of(checked.grouped), clips, directory, display, is_stopping)
            yield _CheckedFolds(data, checked.videos, checked.num_leaks)


def _print_cross_validation(name: str, figures: CrossValidation, out: Path) -> None:
    console = Console(file=sys.stdout, highlight=False)
    line = (
        f"{name}: accuracy {figures.accuracy:.3f} +- {figures.accuracy_deviation:.3f} over {len(figures.seeds)} seeds"
        f" (+- {figures.accuracy_deviation_over_folds:.3f} over single folds), macro F1 {figures.macro_f1:.3f},"
        f" calibration error {figures.expected_calibration_error:.3f}, {len(figures.folds)} folds, {figures.num_videos}"
        f" videos{_interval_words(figures.accuracy_interval)}; answers in {out}"
    )
    console.print(line, markup=False, soft_wrap=True)
    _print_beside(console, figures, figures.accuracy)


def _print_advantage(advantage: Advantage) -> None:
    line = (
        f"right {advantage.accuracy_difference:+.3f} more often than {advantage.than} on the {advantage.num_videos}"
        f" videos that both answered{_interval_words(advantage.interval)}"
    )
    Console(file=sys.stdout, highlight=False).print(line, markup=False, soft_wrap=True)


def _print_comparison(comparison: "Comparison") -> None:
    console = Console(file=sys.stdout, highlight=False)
    title = f"{comparison.config}: {comparison.num_videos} videos, {comparison.num_groups} groups"
    table = Table("family", "accuracy", "95 %", "shuffled", "ms a clip", "numbers", title=title)
    for one in comparison.families:
        table.add_row(
            one.family,
            f"{one.accuracy:.3f} +- {one.accuracy_deviation:.3f}",
            _interval_words(one.accuracy_interval, "").strip(" []"),
            f"{one.shuffled_accuracy:.3f}",
            f"{one.milliseconds_per_clip:.1f}",
            f"{one.num_parameters:,}",
        )
    console.print(table)
    _print_beside(console, comparison, max(one.accuracy for one in comparison.families))
    for pair in comparison.differences:
        words = f"{pair.family} - {pair.than}: {pair.accuracy_difference:+.3f}{_interval_words(pair.interval)}"
        console.print(words, markup=False)
    console.print(comparison.advice, soft_wrap=True)


def _print_beside(console: Console, figures: "CrossValidation | Comparison", model_accuracy: float) -> None:
    """What tells how far to trust the figures: how good guesses are on the same videos, and the leaks."""
    if figures.baselines is not None:
        for name, score in figures.baselines.named():
            console.print(f"{name}: accuracy {score.accuracy:.3f}, macro F1 {score.macro_f1:.3f}", soft_wrap=True)
        verdict = figures.baselines.verdict(model_accuracy)
        if verdict is not None:
            console.print(verdict, soft_wrap=True)
    if figures.num_leaks:
        console.print(leaks_allowed(figures.num_leaks), soft_wrap=True)


def _interval_words(interval: "Interval | None", name: str = "95 %: ") -> str:
    return "" if interval is None else f" [{name}{interval.low:.3f} to {interval.high:.3f}]"
