"""Plots of the HTML report, as Matplotlib figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot

from model_training.datasets.examples import Example
from model_training.evaluation.exported_model import VideoPrediction
from model_training.evaluation.results import Evaluation

PLOT_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "report",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def confusion_plot(evaluation: Evaluation) -> Plot:
    """The confusion matrix, coloured by the fraction of each true label."""
    counts = np.array(evaluation.confusion)
    size = 2.5 + 0.7 * len(evaluation.labels)
    plot, axes = _new_plot(size + 0.8, size)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if fractions[row, column] > 0.5 else "black"  # noqa: PLR2004 - half of the colour map
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    positions = range(len(evaluation.labels))
    axes.set_xticks(positions, [_plain(label) for label in evaluation.labels], rotation=30, ha="right")
    axes.set_yticks(positions, [_plain(label) for label in evaluation.labels])
    axes.set(xlabel="predicted", ylabel="true")
    return plot


def curve_plot(evaluation: Evaluation, *, is_roc: bool) -> Plot:
    """ROC or precision-recall curves of all labels."""
    plot, axes = _new_plot(4.8, 4.4)
    for label, curve in evaluation.curves.items():
        metrics = evaluation.per_label[label]
        points = np.array(curve.roc if is_roc else curve.precision_recall)
        area = metrics.roc_auc if is_roc else metrics.average_precision
        axes.plot(points[:, 0], points[:, 1], label=f"{_plain(label)} ({_decimal(area)})")
    if is_roc:
        axes.plot([0, 1], [0, 1], color="#8c959f", linestyle=":", label="random (0.500)")
        axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC (area)")
    else:
        axes.set(xlabel="recall", ylabel="precision", title="Precision-recall (average precision)")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if axes.lines:
        axes.legend(frameon=False, loc="lower right" if is_roc else "lower left", fontsize=9)
    return plot


def reliability_plot(evaluation: Evaluation) -> Plot:
    """Fraction of correct predictions by predicted probability."""
    plot, axes = _new_plot(5.2, 4.4)
    axes.plot([0, 1], [0, 1], color="#8c959f", linestyle=":", label="perfect calibration")
    x = [bin_.mean_probability for bin_ in evaluation.reliability]
    y = [bin_.share_right for bin_ in evaluation.reliability]
    axes.plot(x, y, color="#0969da", marker="o", label="measured, with the number of videos")
    for bin_ in evaluation.reliability:
        axes.annotate(
            str(bin_.num_videos),
            (bin_.mean_probability, bin_.share_right),
            textcoords="offset points",
            xytext=(6, -12),
        )
    axes.set(xlim=(0, 1.02), ylim=(-0.05, 1.05), xlabel="probability", ylabel="fraction correct")
    # Above the axes, since points may cover any part of the plot.
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), fontsize=9)
    return plot


def timeline_plot(prediction: VideoPrediction, example: Example) -> Plot:
    """The attention of a video's frames over time, with the annotated event."""
    plot, axes = _new_plot(9.6, 1.8)
    if example.event_seconds is not None:
        axes.axvspan(*example.event_seconds, color="#bf8700", alpha=0.25, linewidth=0)
    highest = 0.0
    for clip, is_valid in enumerate(prediction.valid):
        times, attention = prediction.times_seconds[clip][is_valid], prediction.attention[clip][is_valid]
        gaps = np.diff(times)
        width = 0.7 * float(gaps[gaps > 0].min()) if (gaps > 0).any() else 0.05
        axes.bar(times, attention, width=width, color=f"C{clip % 10}", alpha=0.8)
        highest = max(highest, float(attention.max()))
    axes.set(xlabel="seconds", ylabel="attention", ylim=(0, 1.1 * highest or 1))
    return plot


def _new_plot(width: float, height: float) -> tuple[Plot, Axes]:
    plot = Plot(figsize=(width, height), layout="constrained")
    return plot, plot.subplots()


def _plain(label: str) -> str:
    """A label for Matplotlib, where a dollar sign starts a formula."""
    return label.replace("$", r"\$")


def learning_plot(history: Sequence[dict[str, Any]]) -> Plot:
    """Loss and accuracy of each epoch, in training and validation."""
    plot = Plot(figsize=(9.6, 3.4), layout="constrained")
    epochs = range(1, len(history) + 1)
    for axes, name in zip(plot.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label in ((name, "training"), (f"validation_{name}", "validation")):
            axes.plot(epochs, [entry.get(key, np.nan) for entry in history], label=label)
        axes.set(xlabel="epoch", title=name)
        axes.legend(frameon=False)
    return plot


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
