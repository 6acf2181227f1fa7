"""The stories behind `compare` and `cross-validate`: decode, train fold by fold, and say what came of it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from model_training.config import TrainConfig, read_config
from model_training.datasets import Example, labels_of, read_examples
from model_training.errors import TrainingDataError
from model_training.figures import CrossValidation, Figure
from model_training.interrupt import stop_flag
from model_training.progress import RunProgress
from model_training.training_data import check_videos
from model_training.whole_files import check_places, write_whole

if TYPE_CHECKING:
    from model_training.compare import Comparison
    from model_training.cross_validate import FoldData
    from model_training.figures import Interval


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


class AnsweredVideo(Figure):
    """What the exported model of one run answers for a video of the fold that it never saw."""

    path: str
    labels: tuple[str, ...]
    group: str
    fold: int
    seed: int
    probabilities: tuple[float, ...]


class CrossValidationRecord(Figure):
    """What `cross-validate` writes, and what `train --cross-validation` reads."""

    config: TrainConfig
    labels: tuple[str, ...]
    figures: CrossValidation
    videos: tuple[AnsweredVideo, ...]


def cross_validation_of(config: TrainConfig, path: Path) -> CrossValidation:
    """The figures in a file that `cross-validate` wrote for this config; which fold is held out may differ.

    Raises:
        TrainingDataError: there is no such file, it is another, or it is of another config.
    """
    try:
        record = CrossValidationRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TrainingDataError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise TrainingDataError(f"{path}: not what cross-validate writes: {error.errors()[0]['msg']}") from error
    if record.config.model_copy(update={"held_out_fold": config.held_out_fold}).recipe != config.recipe:
        raise TrainingDataError(f"{path}: was made by another config than the one to train")
    return record.figures


def compare(protocol: Protocol, json_path: Path | None) -> None:
    """Train the three families under one protocol, and print which to use."""
    check_places(json_path)
    config, examples, folds = _settled(protocol)
    with _fold_data(protocol, config, examples, folds) as data:
        from model_training.compare import compare_families  # noqa: PLC0415

        comparison = compare_families(config, data, folds, _seeds(config, protocol))
    _print_comparison(comparison)
    if json_path is not None:
        write_whole({json_path: comparison.model_dump_json(indent=1) + "\n"})


def cross_validate(protocol: Protocol, out: Path) -> None:
    """Train the config's own family on all folds but one, for each; keep every answer for a video not trained on."""
    check_places(out)
    config, examples, folds = _settled(protocol)
    seeds = _seeds(config, protocol)
    with _fold_data(protocol, config, examples, folds) as data:
        from model_training.cross_validate import shared_features  # noqa: PLC0415
        from model_training.exported_folds import cross_validation_figures, exported_folds  # noqa: PLC0415

        answered = exported_folds(config, data, shared_features(config, data, with_shuffled=False), folds, seeds)
        command = (
            f"python -m model_training cross-validate --config {protocol.config.as_posix()} --data DIR"
            f" --seeds {protocol.num_seeds} --out FILE"
        )
        figures = cross_validation_figures(config, data.labels, answered, command)
    root = protocol.data if protocol.data.is_dir() else protocol.data.parent
    record = CrossValidationRecord(
        config=config,
        labels=data.labels,
        figures=figures,
        videos=tuple(
            AnsweredVideo(
                path=example.path.relative_to(root).as_posix(),
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
    write_whole({out: record.model_dump_json() + "\n"})
    sys.stdout.write(
        f"{config.name}: accuracy {figures.accuracy:.3f} +- {figures.accuracy_deviation:.3f} over {len(seeds)} seeds"
        f" (+- {figures.accuracy_deviation_over_folds:.3f} over single folds), macro F1 {figures.macro_f1:.3f},"
        f" calibration error {figures.expected_calibration_error:.3f}, {len(folds)} folds, {figures.num_videos}"
        f" videos{_interval_words(figures.accuracy_interval)}; answers in {out}\n"
    )


def _settled(protocol: Protocol) -> tuple[TrainConfig, list[Example], tuple[int, ...]]:
    """The config with the protocol's changes, the examples of its folds, and the folds to hold out.

    Raises:
        TrainingDataError: no folds, or one that holds no video.
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
    folds = protocol.folds or tuple(known)
    if len(known) < 2 or not set(folds) <= set(known):  # noqa: PLR2004 - one to hold out and one to train on
        raise TrainingDataError(
            f"{protocol.data}: cross-validation needs a manifest with two folds or more, and has {known}"
        )
    return config.model_copy(update={"stages": stages}), [e for e in examples if e.fold is not None], folds


def _seeds(config: TrainConfig, protocol: Protocol) -> tuple[int, ...]:
    return tuple(range(config.seed, config.seed + protocol.num_seeds))


@contextmanager
def _fold_data(
    protocol: Protocol, config: TrainConfig, examples: Sequence[Example], folds: Sequence[int]
) -> "Iterator[FoldData]":
    """The decoded videos, twins counted as one group, so that validation is as far from training as the folds are.

    Raises:
        TrainingDataError: a video cannot be read, or a fold to hold out leaks.
    """
    from model_training.cross_validate import FoldData  # noqa: PLC0415

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
        if checked.num_leaks:
            display.say(f"{checked.num_leaks} leaks between a held-out fold and the rest were allowed")
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
                from model_training.teacher import with_lessons  # noqa: PLC0415

                clips = with_lessons(clips, config.teacher, protocol.runs / "cache", display, is_stopping)
            yield FoldData(checked.grouped, labels_of(checked.grouped), clips, directory, display, is_stopping)


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
    for pair in comparison.differences:
        words = f"{pair.family} - {pair.than}: {pair.accuracy_difference:+.3f}{_interval_words(pair.interval)}"
        console.print(words, markup=False)
    console.print(comparison.advice, soft_wrap=True)


def _interval_words(interval: "Interval | None", name: str = "95 %: ") -> str:
    return "" if interval is None else f" [{name}{interval.low:.3f} to {interval.high:.3f}]"
