"""Prints an evaluation as tables."""

import sys
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from model_training.evaluation.results import Evaluation


def print_evaluation(evaluation: Evaluation) -> None:
    """Print metrics of each label, the confusion matrix, the baselines and one line for each other metric."""
    console = Console(file=sys.stdout, highlight=False)
    console.print(_label_table(evaluation))
    if evaluation.confusion is not None:
        confusion = Table("true \\ predicted", *evaluation.labels, title="confusion")
        for label, counts in zip(evaluation.labels, evaluation.confusion, strict=True):
            confusion.add_row(label, *map(str, counts))
        console.print(confusion)
    if evaluation.baselines is not None:
        baselines = Table("predicted by", "accuracy", "macro F1", title="baselines, on the same videos")
        for name, score in evaluation.baselines.with_model(evaluation.accuracy, evaluation.macro.f1):
            baselines.add_row(name, f"{score.accuracy:.3f}", f"{score.macro_f1:.3f}")
        console.print(baselines)
        verdict = evaluation.baselines.verdict(evaluation.accuracy)
        if verdict is not None:
            console.print(verdict, soft_wrap=True)
    for line in _lines(evaluation):
        console.print(line)


def _label_table(evaluation: Evaluation) -> Table:
    columns = ("label", "precision", "recall", "F1", "ROC AUC", "average precision", "videos")
    table = Table(*columns, title=f"{evaluation.model} {evaluation.version}")
    for name, row in (*evaluation.per_label.items(), ("macro", evaluation.macro)):
        values = (row.precision, row.recall, row.f1, row.roc_auc, row.average_precision)
        count = getattr(row, "num_videos", evaluation.num_videos)
        table.add_row(name, *("-" if value is None else f"{value:.3f}" for value in values), str(count))
    return table


def _lines(evaluation: Evaluation) -> Iterator[str]:
    def interval_of(name: str) -> str:
        interval = evaluation.intervals.get(name)
        return "" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]"

    yield (
        f"accuracy {evaluation.accuracy:.3f}{interval_of('accuracy')}, balanced {evaluation.balanced_accuracy:.3f}"
        f"{interval_of('balanced_accuracy')} on {evaluation.num_videos} videos of {evaluation.num_groups} groups,"
        f" {evaluation.num_clips} clips; brackets are 95 % intervals of a bootstrap over groups"
    )
    for k, value in evaluation.top_k_accuracy.items():
        yield f"top-{k} accuracy {value:.3f}"
    error = evaluation.expected_calibration_error
    yield f"expected calibration error {error:.3f}{interval_of('expected_calibration_error')}"
    abstention, sets = evaluation.abstention, evaluation.label_sets
    attention, cost = evaluation.attention, evaluation.cost
    if abstention is not None:
        yield (
            f"abstention threshold {abstention.threshold}: coverage {abstention.coverage:.3f},"
            f" accuracy of the covered videos {abstention.accuracy_when_answering}"
        )
    if sets is not None:
        yield (
            f"label sets with target coverage {sets.coverage_asked:.0%}: coverage {sets.coverage:.3f},"
            f" mean size {sets.mean_size:.2f}"
        )
    if attention is not None:
        yield (
            f"attention: peak inside the event in {attention.pointing_game_hit_rate:.3f} of the clips,"
            f" mass inside {attention.mass_inside_event:.3f} (uniform attention {attention.chance_mass:.3f})"
        )
    if cost is not None:
        yield (
            f"cost: decode {cost.decode_milliseconds_per_video:.1f} ms a video,"
            f" model {cost.model_milliseconds_per_clip:.1f} ms a clip (medians)"
        )
