"""An evaluation as one HTML page for people: plots inside the file, no request to anywhere, no footage.

Draws what was measured; measures nothing.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot

from model_training.datasets.examples import Example
from model_training.evaluation.exported_model import VideoPrediction
from model_training.evaluation.measure import predicted_labels, stack_predictions
from model_training.evaluation.results import Averages, Evaluation, Interval, LabelMetrics
from service.inference.manifest import Manifest

NUM_TIMELINES = 3
"""Of the surest right answers, and as many of the surest wrong ones."""
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .3rem .9rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } thead { border-bottom: 2px solid #57606a; }
tbody tr { border-bottom: 1px solid #d0d7de; } img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; } code { overflow-wrap: anywhere; } .plots { display: flex; flex-wrap: wrap; gap: 1rem; }
.note { color: #57606a; }
"""
# No request can leave the page, whatever a label or a file is called.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "report",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def report_html(
    figures: Evaluation,
    predictions: Sequence[VideoPrediction],
    examples: Sequence[Example],
    history: Sequence[dict[str, Any]],
    manifest: Manifest,
) -> str:
    """The page. The same input gives the same text.

    What a video is answered, and whether that is right, is settled by the thresholds of `manifest`, as the figures
    are.
    """
    title = f"{figures.model} {figures.version}"
    where = f"fold {', '.join(map(str, figures.folds))}" if figures.folds else "all videos"
    asked = f"the service at {figures.over_http}" if figures.over_http else "the exported model"
    with mpl.rc_context(_SETTINGS):
        parts = [
            f"<h1>{escape(title)}: {escape(where)}</h1>",
            (
                f"<p>{figures.num_videos} videos of {figures.num_groups} groups, {figures.num_clips} clips, answered by"
                f" {escape(asked)}. <code>{escape(figures.digest)}</code></p>"
            ),
            "<h2>Figures</h2>",
            _summary(figures),
            _labels(figures),
            *_baselines(figures),
            *_confusion_section(figures),
            "<h2>ROC and precision-recall</h2>",
            '<div class="plots">',
            _image("ROC curves", _curves(figures, is_roc=True)),
            _image("Precision-recall curves", _curves(figures, is_roc=False)),
            "</div>",
            "<h2>Calibration</h2>",
            _image("Reliability diagram", _reliability(figures)),
            *_learning(history),
            "<h2>Where attention lay</h2>",
            *_timelines(_answers(predictions, examples, figures.labels, manifest)),
        ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _summary(figures: Evaluation) -> str:
    def row(name: str, value: float | None, interval: Interval | None = None) -> tuple[str, str, str]:
        return name, _share(value), "" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}"

    sure = figures.intervals.get
    rows = [
        row("accuracy", figures.accuracy, sure("accuracy")),
        row("balanced accuracy", figures.balanced_accuracy, sure("balanced_accuracy")),
        *(row(f"top-{k} accuracy", share) for k, share in figures.top_k_accuracy.items()),
        row("macro F1", figures.macro.f1, sure("macro_f1")),
        row("macro ROC AUC", figures.macro.roc_auc, sure("macro_roc_auc")),
        row("expected calibration error", figures.expected_calibration_error, sure("expected_calibration_error")),
    ]
    if figures.abstention is not None:
        rows += [
            row(f"answered at threshold {figures.abstention.threshold:g}", figures.abstention.coverage),
            row("accuracy of those", figures.abstention.accuracy_when_answering),
        ]
    if figures.label_sets is not None:
        name = f"true label in label set ({figures.label_sets.coverage_asked:.0%} asked)"
        rows += [row(name, figures.label_sets.coverage), row("mean labels in a set", figures.label_sets.mean_size)]
    if figures.attention is not None:
        rows += [
            row("peak of attention inside the event", figures.attention.pointing_game_hit_rate),
            row("attention inside the event", figures.attention.mass_inside_event),
            row("the same if all frames weighed alike", figures.attention.chance_mass),
        ]
    if figures.cost is not None:
        rows += [
            ("decode, ms a video (median)", f"{figures.cost.decode_milliseconds_per_video:.1f}", ""),
            ("model, ms a clip (median)", f"{figures.cost.model_milliseconds_per_clip:.1f}", ""),
        ]
    return _table(("", "value", "95 % interval, groups drawn"), rows)


def _labels(figures: Evaluation) -> str:
    def row(name: str, of: LabelMetrics | Averages, count: int) -> tuple[str, ...]:
        shares = (of.precision, of.recall, of.f1, of.roc_auc, of.average_precision)
        return (name, *map(_share, shares), str(count))

    rows = [row(name, label, label.num_videos) for name, label in figures.per_label.items()]
    header = ("label", "precision", "recall", "F1", "ROC AUC", "average precision", "videos")
    return _table(header, [*rows, row("macro", figures.macro, figures.num_videos)])


def _baselines(figures: Evaluation) -> list[str]:
    if figures.baselines is None:
        return []
    rows = [
        (name, _share(score.accuracy), _share(score.macro_f1))
        for name, score in figures.baselines.beside(figures.accuracy, figures.macro.f1)
    ]
    verdict = figures.baselines.verdict(figures.accuracy)
    return [
        "<h2>Baselines, on the same videos</h2>",
        _table(("answered by", "accuracy", "macro F1"), rows),
        *([] if verdict is None else [f"<p><strong>{escape(verdict)}</strong></p>"]),
    ]


def _confusion_section(figures: Evaluation) -> list[str]:
    if figures.confusion is None:
        return []
    return ["<h2>Confusion</h2>", _image("Confusion matrix", _confusion(figures))]


def _confusion(figures: Evaluation) -> Plot:
    counts = np.array(figures.confusion)
    size = 2.5 + 0.7 * len(figures.labels)
    plot, axes = _new_plot(size + 0.8, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"  # noqa: PLR2004 - half of the colour map
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    places = range(len(figures.labels))
    axes.set_xticks(places, [_plain(label) for label in figures.labels], rotation=30, ha="right")
    axes.set_yticks(places, [_plain(label) for label in figures.labels])
    axes.set(xlabel="answered", ylabel="true")
    return plot


def _curves(figures: Evaluation, *, is_roc: bool) -> Plot:
    plot, axes = _new_plot(4.8, 4.4)
    for label, curve in figures.curves.items():
        of = figures.per_label[label]
        points = np.array(curve.roc if is_roc else curve.precision_recall)
        area = of.roc_auc if is_roc else of.average_precision
        axes.plot(points[:, 0], points[:, 1], label=f"{_plain(label)} ({_share(area)})")
    if is_roc:
        axes.plot([0, 1], [0, 1], color="#8c959f", linestyle=":", label="guessing (0.500)")
        axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC (area)")
    else:
        axes.set(xlabel="recall", ylabel="precision", title="Precision-recall (average precision)")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if axes.lines:
        axes.legend(frameon=False, loc="lower right" if is_roc else "lower left", fontsize=9)
    return plot


def _reliability(figures: Evaluation) -> Plot:
    plot, axes = _new_plot(5.2, 4.4)
    axes.plot([0, 1], [0, 1], color="#8c959f", linestyle=":", label="a probability that means what it says")
    x = [one.mean_probability for one in figures.reliability]
    y = [one.share_right for one in figures.reliability]
    axes.plot(x, y, color="#0969da", marker="o", label="measured; the number is that of videos")
    for one in figures.reliability:
        axes.annotate(
            str(one.num_videos),
            (one.mean_probability, one.share_right),
            textcoords="offset points",
            xytext=(6, -12),
        )
    axes.set(xlim=(0, 1.02), ylim=(-0.05, 1.05), xlabel="probability of the answer", ylabel="share that is right")
    # Above the axes: points may lie anywhere within.
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), fontsize=9)
    return plot


def _learning(history: Sequence[dict[str, Any]]) -> list[str]:
    if not history:
        return []
    plot = Plot(figsize=(9.6, 3.4), layout="constrained")
    epochs = range(1, len(history) + 1)
    for axes, name in zip(plot.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label in ((name, "training"), (f"validation_{name}", "validation")):
            axes.plot(epochs, [entry.get(key, np.nan) for entry in history], label=label)
        axes.set(xlabel="epoch", title=name)
        axes.legend(frameon=False)
    return ["<h2>Learning curves</h2>", _image("Learning curves", plot)]


@dataclass(frozen=True, slots=True)
class _Answer:
    """A video and the labels that it is answered; `sureness` is the probability of the least sure part of that."""

    prediction: VideoPrediction
    example: Example
    labels: tuple[str, ...]
    sureness: float
    is_right: bool


def _answers(
    predictions: Sequence[VideoPrediction],
    examples: Sequence[Example],
    labels: Sequence[str],
    manifest: Manifest,
) -> list[_Answer]:
    """What the videos are answered, the surest first."""
    probabilities, targets = stack_predictions(predictions, examples, labels)
    accepted = predicted_labels(probabilities, manifest)
    if manifest.sums_to_one:
        sureness = probabilities.max(axis=1)
    else:
        sureness = np.where(accepted, probabilities, 1 - probabilities).min(axis=1)
    answers = [
        _Answer(
            prediction=predictions[place],
            example=examples[place],
            labels=tuple(label for label, is_answered in zip(labels, accepted[place], strict=True) if is_answered),
            sureness=float(sureness[place]),
            is_right=bool((accepted[place] == targets[place]).all()),
        )
        for place in range(len(examples))
    ]
    return sorted(answers, key=lambda answer: -answer.sureness)


def _timelines(answers: Sequence[_Answer]) -> list[str]:
    parts = [
        (
            '<p class="note">A bar for each frame that the model looked at, at its true time; its height is its share'
            " of the clip's attention. A shaded span is the event, where the data says when it is.</p>"
        )
    ]
    for heading, is_right in (("Surest wrong answers", False), ("Surest right answers", True)):
        chosen = [answer for answer in answers if answer.is_right == is_right][:NUM_TIMELINES]
        parts.append(f"<h3>{heading}</h3>" if chosen else f"<h3>{heading}: none</h3>")
        for answer in chosen:
            truth, given = (", ".join(labels) or "no label" for labels in (answer.example.labels, answer.labels))
            caption = f"{answer.example.path.name}: is {truth}, answered {given} ({answer.sureness:.3f})"
            parts += [f"<p>{escape(caption)}</p>", _image(caption, _timeline(answer.prediction, answer.example))]
    return parts


def _timeline(prediction: VideoPrediction, example: Example) -> Plot:
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


def _image(description: str, plot: Plot) -> str:
    """The plot as an SVG of its own inside the page, so that no two plots share names."""
    file = io.BytesIO()
    plot.savefig(file, format="svg", metadata={"Date": None})
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(description)}" src="data:image/svg+xml;base64,{data}">'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table><thead>{line(header, "th")}</thead><tbody>\n{body}\n</tbody></table></div>'


def _plain(label: str) -> str:
    """A label as Matplotlib writes it: a dollar sign would begin a formula."""
    return label.replace("$", r"\$")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
