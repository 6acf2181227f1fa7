"""The stories behind `compare` and `cross-validate`: decode, train fold by fold, and say what came of it."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from model_training.config import TrainConfig, read_config
from model_training.datasets import Example, labels_of, read_examples
from model_training.errors import TrainingDataError
from model_training.interrupt import stop_flag
from model_training.progress import RunProgress
from model_training.training_data import check_videos

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


def compare(protocol: Protocol, json_path: Path | None) -> None:
    """Train the three families under one protocol, and print which to use."""
    config, examples, folds = _settled(protocol)
    with _fold_data(protocol, config, examples, folds) as data:
        from model_training.compare import compare_families  # noqa: PLC0415

        comparison = compare_families(config, data, folds, _seeds(config, protocol))
    if json_path is not None:
        json_path.write_text(comparison.model_dump_json(indent=1) + "\n", encoding="utf-8")
    _print_comparison(comparison)


def cross_validate(protocol: Protocol, out: Path) -> None:
    """Train the config's own family on all folds but one, for each; keep every answer for a video not trained on."""
    config, examples, folds = _settled(protocol)
    seeds = _seeds(config, protocol)
    with _fold_data(protocol, config, examples, folds) as data:
        from model_training.compare import rights_by_seed  # noqa: PLC0415
        from model_training.cross_validate import out_of_fold, shared_features  # noqa: PLC0415
        from model_training.resample import mean_interval  # noqa: PLC0415

        answers = out_of_fold(config, data, shared_features(config, data), folds, seeds)
        right = rights_by_seed(config, data, answers, len(seeds))
    by_seed = right.mean(axis=1)
    deviation = float(by_seed.std(ddof=1)) if len(seeds) > 1 else 0.0
    groups = [answer.example.group for answer in answers[: right.shape[1]]]
    interval = mean_interval(right.mean(axis=0).tolist(), groups)
    root = protocol.data if protocol.data.is_dir() else protocol.data.parent
    record = {
        "config": config.model_dump(mode="json"),
        "labels": data.labels,
        "folds": folds,
        "seeds": seeds,
        "accuracy_mean": round(float(by_seed.mean()), 4),
        "accuracy_deviation": round(deviation, 4),
        "accuracy_interval": None if interval is None else interval.model_dump(),
        "videos": [
            {
                "path": answer.example.path.relative_to(root).as_posix(),
                "labels": answer.example.labels,
                "group": answer.example.group,
                "fold": answer.example.fold,
                "seed": answer.seed,
                "probabilities": answer.probabilities.tolist(),
            }
            for answer in answers
        ],
    }
    out.write_text(json.dumps(record) + "\n", encoding="utf-8")
    sys.stdout.write(
        f"{config.name}: accuracy {by_seed.mean():.3f} +- {deviation:.3f} over {len(seeds)} seeds,"
        f" {len(folds)} folds, {right.shape[1]} videos{_interval_words(interval)}; answers in {out}\n"
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

    with RunProgress() as display, stop_flag() as is_stopping:
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
