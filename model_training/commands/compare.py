"""The command `compare`: train several architectures on the same folds."""

import sys
from pathlib import Path

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
from model_training.cross_validation.architectures import Comparison


def compare(protocol: Protocol, json_path: Path | None) -> None:
    """Train the three families under one protocol, and print which to use."""
    check_writable(json_path)
    config, examples, folds = read_protocol(protocol)
    with prepare_folds(protocol, config, examples, folds) as checked:
        from model_training.cross_validation.architectures import compare_architectures  # noqa: PLC0415

        comparison = compare_architectures(config, checked.data, folds, training_seeds(config, protocol))
        comparison = comparison.model_copy(update=checked.told_beside(folds))
    _print_comparison(comparison)
    if json_path is not None:
        write_atomically({json_path: comparison.model_dump_json(indent=1) + "\n"})


def _print_comparison(comparison: "Comparison") -> None:
    console = Console(file=sys.stdout, highlight=False)
    title = f"{comparison.config}: {comparison.num_videos} videos, {comparison.num_groups} groups"
    table = Table("family", "accuracy", "95 %", "shuffled", "ms a clip", "numbers", title=title)
    for one in comparison.architectures:
        table.add_row(
            one.architecture,
            f"{one.accuracy:.3f} +- {one.accuracy_deviation:.3f}",
            interval_text(one.accuracy_interval, "").strip(" []"),
            f"{one.shuffled_accuracy:.3f}",
            f"{one.milliseconds_per_clip:.1f}",
            f"{one.num_parameters:,}",
        )
    console.print(table)
    print_baselines_and_leaks(console, comparison, max(one.accuracy for one in comparison.architectures))
    for pair in comparison.differences:
        words = f"{pair.architecture} - {pair.than}: {pair.accuracy_difference:+.3f}{interval_text(pair.interval)}"
        console.print(words, markup=False)
    console.print(comparison.advice, soft_wrap=True)
