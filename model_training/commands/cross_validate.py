"""The command `cross-validate`: predict each video with a network that was not trained on its fold."""

import sys
from pathlib import Path

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
    read_record,
)
from model_training.datasets.examples import labels_of
from model_training.evaluation.results import CrossValidation


def cross_validate(protocol: Protocol, out: Path, against: Path | None) -> None:
    """Train on all folds but one, for each fold, and write the out-of-fold predictions and their metrics to `out`.

    `against` is a record of another config, architecture or backbone; the accuracies are compared video by video.
    """
    check_writable(out, inputs=(protocol.config, protocol.data, against))
    other = None if against is None else read_record(against)
    config, examples, folds = read_protocol(protocol)
    check_writable(out, inputs=(example.path for example in examples))
    root = protocol.data if protocol.data.is_dir() else protocol.data.parent
    if against is not None and other is not None:
        # Before hours of training.
        paths = {example.path_below(root) for example in examples if example.fold in folds}
        check_comparable(labels_of(examples), paths, other, against)
    with prepare_folds(protocol, config, examples, folds) as prepared:
        # TensorFlow takes seconds to import.
        from model_training.cross_validation.fold_data import shared_features  # noqa: PLC0415
        from model_training.cross_validation.metrics import cross_validation_metrics  # noqa: PLC0415
        from model_training.cross_validation.out_of_fold import out_of_fold_predictions  # noqa: PLC0415

        data = prepared.data
        shared = shared_features(config, data, with_shuffled=False)
        predictions = out_of_fold_predictions(config, data, shared, folds, training_seeds(config, protocol))
        metrics = cross_validation_metrics(
            config,
            data.labels,
            predictions,
            _command_of(protocol),
            num_leaks=prepared.num_leaks,
            baselines=prepared.measure_baselines(folds),
        )
    record = CrossValidationRecord(
        config=config,
        labels=data.labels,
        metrics=metrics,
        videos=tuple(
            VideoOutcome(
                path=example.path_below(root),
                labels=example.labels,
                group=example.group,
                fold=fold.fold,
                seed=fold.seed,
                probabilities=tuple(prediction.probabilities.tolist()),
            )
            for fold in predictions
            for prediction, example in zip(fold.predictions, fold.examples, strict=True)
        ),
    )
    if against is not None and other is not None:
        record = record.compared_with(other, against)
    write_atomically({out: record.model_dump_json() + "\n"})
    _print_metrics(config.name, metrics, out)
    if record.advantage is not None:
        _print_advantage(record.advantage)


def _command_of(protocol: Protocol) -> str:
    """The command line that repeats this cross-validation, with DIR for the data and FILE for the output."""
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


def _print_metrics(name: str, metrics: CrossValidation, out: Path) -> None:
    console = Console(file=sys.stdout, highlight=False)
    line = (
        f"{name}: accuracy {metrics.accuracy:.3f} +- {metrics.accuracy_deviation:.3f} over {len(metrics.seeds)} seeds"
        f" (+- {metrics.accuracy_deviation_over_folds:.3f} over single folds), macro F1 {metrics.macro_f1:.3f},"
        f" calibration error {metrics.expected_calibration_error:.3f}, {len(metrics.folds)} folds,"
        f" {metrics.num_videos} videos{interval_text(metrics.accuracy_interval)}; predictions in {out}"
    )
    console.print(line, markup=False, soft_wrap=True)
    print_baselines_and_leaks(console, metrics, metrics.accuracy)


def _print_advantage(advantage: Advantage) -> None:
    line = (
        f"accuracy {advantage.accuracy_difference:+.3f} compared with {advantage.than}, on the"
        f" {advantage.num_videos} videos that both records contain{interval_text(advantage.interval)}"
    )
    Console(file=sys.stdout, highlight=False).print(line, markup=False, soft_wrap=True)
