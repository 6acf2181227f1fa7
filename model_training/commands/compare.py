"""The command `compare`: cross-validate the three architectures under one protocol."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from model_training.atomic_files import check_writable, write_atomically
from model_training.commands.protocol import (
    Protocol,
    interval_text,
    prepare_folds,
    print_baselines_and_leaks,
    read_protocol,
    training_seeds,
)

if TYPE_CHECKING:
    from model_training.cross_validation.architectures import Comparison


def compare(protocol: Protocol, json_path: Path | None) -> None:
    """Cross-validate the three architectures on the same folds and print which to use."""
    check_writable(json_path, inputs=(protocol.config, protocol.data))
    config, examples, folds = read_protocol(protocol)
    check_writable(json_path, inputs=(example.path for example in examples))
    with prepare_folds(protocol, config, examples, folds) as prepared:
        from model_training.cross_validation.architectures import compare_architectures  # noqa: PLC0415 - TensorFlow

        comparison = compare_architectures(
            config,
            prepared.data,
            folds,
            training_seeds(config, protocol),
            num_leaks=prepared.num_leaks,
            baselines=prepared.measure_baselines(folds),
        )
    _print_comparison(comparison)
    if json_path is not None:
        write_atomically({json_path: comparison.model_dump_json(indent=1) + "\n"})


def _print_comparison(comparison: "Comparison") -> None:
    console = Console(file=sys.stdout, highlight=False)
    title = f"{comparison.config}: {comparison.num_videos} videos, {comparison.num_groups} groups"
    table = Table("architecture", "accuracy", "95 %", "shuffled", "ms a clip", "parameters", title=title)
    for result in comparison.architectures:
        table.add_row(
            result.architecture,
            f"{result.accuracy:.3f} +- {result.accuracy_deviation:.3f}",
            interval_text(result.accuracy_interval, "").strip(" []"),
            f"{result.shuffled_accuracy:.3f}",
            f"{result.milliseconds_per_clip:.1f}",
            f"{result.num_parameters:,}",
        )
    console.print(table)
    best_accuracy = max(result.accuracy for result in comparison.architectures)
    print_baselines_and_leaks(console, comparison, best_accuracy)
    for pair in comparison.differences:
        difference = f"{pair.accuracy_difference:+.3f}{interval_text(pair.interval)}"
        console.print(f"{pair.architecture} - {pair.than}: {difference}", markup=False)
    console.print(comparison.advice, soft_wrap=True)
