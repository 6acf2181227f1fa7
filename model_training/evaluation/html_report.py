"""The HTML report of an evaluation: one self-contained page with plots, without video frames."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Plot

from model_training.datasets.examples import Example
from model_training.evaluation.exported_model import VideoPrediction
from model_training.evaluation.measure import predicted_labels, stack_predictions
from model_training.evaluation.report_plots import (
    PLOT_SETTINGS,
    confusion_plot,
    curve_plot,
    learning_plot,
    reliability_plot,
    timeline_plot,
)
from model_training.evaluation.results import Averages, Evaluation, Interval, LabelMetrics
from service.inference.manifest import Manifest

NUM_TIMELINES = 3
"""Timelines of the most confident correct predictions, and as many of the most confident wrong ones."""
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .3rem .9rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } thead { border-bottom: 2px solid #57606a; }
tbody tr { border-bottom: 1px solid #d0d7de; } img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; } code { overflow-wrap: anywhere; } .plots { display: flex; flex-wrap: wrap; gap: 1rem; }
.note { color: #57606a; }
"""
# The page cannot load anything, even if a label or file name contains markup.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def report_html(
    evaluation: Evaluation,
    predictions: Sequence[VideoPrediction],
    examples: Sequence[Example],
    history: Sequence[dict[str, Any]],
    manifest: Manifest,
) -> str:
    """Build the page; deterministic. Predicted labels follow the thresholds of `manifest`, as in the metrics."""
    title = f"{evaluation.model} {evaluation.version}"
    where = f"fold {', '.join(map(str, evaluation.folds))}" if evaluation.folds else "all videos"
    predictor = f"the service at {evaluation.over_http}" if evaluation.over_http else "the exported model"
    with mpl.rc_context(PLOT_SETTINGS):
        parts = [
            f"<h1>{escape(title)}: {escape(where)}</h1>",
            (
                f"<p>{evaluation.num_videos} videos of {evaluation.num_groups} groups, {evaluation.num_clips} clips,"
                f" predicted by {escape(predictor)}. <code>{escape(evaluation.digest)}</code></p>"
            ),
            "<h2>Metrics</h2>",
            _summary(evaluation),
            _labels(evaluation),
            *_baselines(evaluation),
            *_confusion_section(evaluation),
            "<h2>ROC and precision-recall</h2>",
            '<div class="plots">',
            _image("ROC curves", curve_plot(evaluation, is_roc=True)),
            _image("Precision-recall curves", curve_plot(evaluation, is_roc=False)),
            "</div>",
            "<h2>Calibration</h2>",
            _image("Reliability diagram", reliability_plot(evaluation)),
            *_learning_curves(history),
            "<h2>Attention over time</h2>",
            *_timelines(_ranked_predictions(predictions, examples, evaluation.labels, manifest)),
        ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _summary(evaluation: Evaluation) -> str:
    def row(name: str, value: float | None, interval: Interval | None = None) -> tuple[str, str, str]:
        return name, _decimal(value), "" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}"

    interval_of = evaluation.intervals.get
    rows = [
        row("accuracy", evaluation.accuracy, interval_of("accuracy")),
        row("balanced accuracy", evaluation.balanced_accuracy, interval_of("balanced_accuracy")),
        *(row(f"top-{k} accuracy", value) for k, value in evaluation.top_k_accuracy.items()),
        row("macro F1", evaluation.macro.f1, interval_of("macro_f1")),
        row("macro ROC AUC", evaluation.macro.roc_auc, interval_of("macro_roc_auc")),
        row(
            "expected calibration error",
            evaluation.expected_calibration_error,
            interval_of("expected_calibration_error"),
        ),
    ]
    abstention, sets = evaluation.abstention, evaluation.label_sets
    if abstention is not None:
        rows += [
            row(f"coverage at the abstention threshold {abstention.threshold:g}", abstention.coverage),
            row("accuracy of the covered videos", abstention.accuracy_when_answering),
        ]
    if sets is not None:
        rows += [
            row(f"coverage of label sets (target {sets.coverage_asked:.0%})", sets.coverage),
            row("mean size of label sets", sets.mean_size),
        ]
    if evaluation.attention is not None:
        rows += [
            row("peak of attention inside the event", evaluation.attention.pointing_game_hit_rate),
            row("attention inside the event", evaluation.attention.mass_inside_event),
            row("attention inside the event, uniform attention", evaluation.attention.chance_mass),
        ]
    if evaluation.cost is not None:
        rows += [
            ("decode, ms a video (median)", f"{evaluation.cost.decode_milliseconds_per_video:.1f}", ""),
            ("model, ms a clip (median)", f"{evaluation.cost.model_milliseconds_per_clip:.1f}", ""),
        ]
    return _table(("", "value", "95 % interval (bootstrap over groups)"), rows)


def _labels(evaluation: Evaluation) -> str:
    def row(name: str, metrics: LabelMetrics | Averages, count: int) -> tuple[str, ...]:
        values = (metrics.precision, metrics.recall, metrics.f1, metrics.roc_auc, metrics.average_precision)
        return (name, *map(_decimal, values), str(count))

    rows = [row(name, label, label.num_videos) for name, label in evaluation.per_label.items()]
    header = ("label", "precision", "recall", "F1", "ROC AUC", "average precision", "videos")
    return _table(header, [*rows, row("macro", evaluation.macro, evaluation.num_videos)])


def _baselines(evaluation: Evaluation) -> list[str]:
    if evaluation.baselines is None:
        return []
    rows = [
        (name, _decimal(score.accuracy), _decimal(score.macro_f1))
        for name, score in evaluation.baselines.with_model(evaluation.accuracy, evaluation.macro.f1)
    ]
    verdict = evaluation.baselines.verdict(evaluation.accuracy)
    return [
        "<h2>Baselines, on the same videos</h2>",
        _table(("predicted by", "accuracy", "macro F1"), rows),
        *([] if verdict is None else [f"<p><strong>{escape(verdict)}</strong></p>"]),
    ]


def _confusion_section(evaluation: Evaluation) -> list[str]:
    if evaluation.confusion is None:
        return []
    return ["<h2>Confusion</h2>", _image("Confusion matrix", confusion_plot(evaluation))]


def _learning_curves(history: Sequence[dict[str, Any]]) -> list[str]:
    if not history:
        return []
    return ["<h2>Learning curves</h2>", _image("Learning curves", learning_plot(history))]


@dataclass(frozen=True, slots=True)
class _RankedPrediction:
    """A video and its predicted labels; `confidence` is the lowest probability among the label decisions."""

    prediction: VideoPrediction
    example: Example
    labels: tuple[str, ...]
    confidence: float
    is_correct: bool


def _ranked_predictions(
    predictions: Sequence[VideoPrediction],
    examples: Sequence[Example],
    labels: Sequence[str],
    manifest: Manifest,
) -> list[_RankedPrediction]:
    """The predictions, most confident first."""
    probabilities, targets = stack_predictions(predictions, examples, labels)
    accepted = predicted_labels(probabilities, manifest)
    if manifest.sums_to_one:
        confidence = probabilities.max(axis=1)
    else:
        confidence = np.where(accepted, probabilities, 1 - probabilities).min(axis=1)
    ranked = [
        _RankedPrediction(
            prediction=predictions[index],
            example=examples[index],
            labels=tuple(label for label, is_accepted in zip(labels, accepted[index], strict=True) if is_accepted),
            confidence=float(confidence[index]),
            is_correct=bool((accepted[index] == targets[index]).all()),
        )
        for index in range(len(examples))
    ]
    return sorted(ranked, key=lambda video: -video.confidence)


def _timelines(ranked: Sequence[_RankedPrediction]) -> list[str]:
    parts = [
        (
            '<p class="note">One bar for each frame, at its time; the height is its fraction of the clip\'s attention.'
            " A shaded span is the annotated event.</p>"
        )
    ]
    for kind, is_correct in (("wrong", False), ("correct", True)):
        heading = f"Most confident {kind} predictions"
        chosen = [video for video in ranked if video.is_correct == is_correct][:NUM_TIMELINES]
        parts.append(f"<h3>{heading}</h3>" if chosen else f"<h3>{heading}: none</h3>")
        for video in chosen:
            true, predicted = (", ".join(labels) or "no label" for labels in (video.example.labels, video.labels))
            caption = f"{video.example.path.name}: true {true}, predicted {predicted} ({video.confidence:.3f})"
            parts += [f"<p>{escape(caption)}</p>", _image(caption, timeline_plot(video.prediction, video.example))]
    return parts


def _image(description: str, plot: Plot) -> str:
    """The plot as an embedded SVG image; element names of plots cannot collide."""
    file = io.BytesIO()
    plot.savefig(file, format="svg", metadata={"Date": None})
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(description)}" src="data:image/svg+xml;base64,{data}">'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table><thead>{line(header, "th")}</thead><tbody>\n{body}\n</tbody></table></div>'


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
