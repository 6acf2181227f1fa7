"""The stories behind `compare` and `cross-validate`: decode, train fold by fold, and say what came of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from model_training.atomic_files import check_writable, write_atomically
from model_training.commands.command_line import command_line
from model_training.commands.protocol import (
    Protocol,
    interval_text,
    prepare_folds,
    print_baselines_and_leaks,
    read_protocol,
    training_seeds,
)
from model_training.cross_validation.record import (
    Advantage,
    CrossValidationRecord,
    VideoOutcome,
    check_comparable,
    compute_advantage,
    read_record,
)
from model_training.datasets.examples import labels_of
from model_training.evaluation.results import CrossValidation

if TYPE_CHECKING:
    pass


def cross_validate(protocol: Protocol, out: Path, against: Path | None) -> None:
    """Train one family on all folds but one, for each; keep every answer for a video not trained on.

    With `against`, a file that it wrote for another config, family or backbone, also say which is right more often.
    """
    check_writable(out)
    other = None if against is None else read_record(against)
    config, examples, folds = read_protocol(protocol)
    root = protocol.data if protocol.data.is_dir() else protocol.data.parent
    if against is not None and other is not None:
        # Before hours of work, not after.
        asked = {example.path_below(root) for example in examples if example.fold in folds}
        check_comparable(labels_of(examples), asked, other, against)
    seeds = training_seeds(config, protocol)
    with prepare_folds(protocol, config, examples, folds) as checked:
        from model_training.cross_validation.folds import shared_features  # noqa: PLC0415
        from model_training.cross_validation.out_of_fold import cross_validation_metrics, out_of_fold_predictions  # noqa: PLC0415

        data = checked.data
        shared = shared_features(config, data, with_shuffled=False)
        answered = out_of_fold_predictions(config, data, shared, folds, seeds)
        figures = cross_validation_metrics(config, data.labels, answered, _command_of(protocol))
        figures = figures.model_copy(update=checked.told_beside(folds))
    record = CrossValidationRecord(
        config=config,
        labels=data.labels,
        figures=figures,
        videos=tuple(
            VideoOutcome(
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
        record = record.model_copy(update={"advantage": compute_advantage(record, other, against)})
    write_atomically({out: record.model_dump_json() + "\n"})
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
    if protocol.architecture is not None:
        options += ["--architecture", protocol.architecture]
    if protocol.backbone is not None:
        options += ["--backbone", protocol.backbone]
    flags = {
        "--frozen-only": protocol.is_frozen_only,
        "--skip-unreadable": protocol.skip_unreadable,
        "--allow-leakage": protocol.allow_leakage,
    }
    return command_line("cross-validate", protocol.config, options, flags, "--out", "FILE")


def _print_cross_validation(name: str, figures: CrossValidation, out: Path) -> None:
    console = Console(file=sys.stdout, highlight=False)
    line = (
        f"{name}: accuracy {figures.accuracy:.3f} +- {figures.accuracy_deviation:.3f} over {len(figures.seeds)} seeds"
        f" (+- {figures.accuracy_deviation_over_folds:.3f} over single folds), macro F1 {figures.macro_f1:.3f},"
        f" calibration error {figures.expected_calibration_error:.3f}, {len(figures.folds)} folds, {figures.num_videos}"
        f" videos{interval_text(figures.accuracy_interval)}; answers in {out}"
    )
    console.print(line, markup=False, soft_wrap=True)
    print_baselines_and_leaks(console, figures, figures.accuracy)


def _print_advantage(advantage: Advantage) -> None:
    line = (
        f"right {advantage.accuracy_difference:+.3f} more often than {advantage.than} on the {advantage.num_videos}"
        f" videos that both answered{interval_text(advantage.interval)}"
    )
    Console(file=sys.stdout, highlight=False).print(line, markup=False, soft_wrap=True)
