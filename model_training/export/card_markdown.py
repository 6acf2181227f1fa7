"""Writes a model card as Markdown, from the template `card.md.jinja`."""

from collections.abc import Iterator, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from model_training.evaluation.baselines import Baselines
from model_training.evaluation.results import Faithfulness, Interval, Metrics, OrderedCurve, Robustness
from model_training.export.card import Card, leak_warning

_TEMPLATE = "card.md.jinja"
_SMALL_GAIN = 0.05
"""Mean probability below which the card calls a significant gain small."""


def card_markdown(card: Card) -> str:
    """The card for people; equal cards give equal text."""
    # Markdown is not escaped: the card's texts may contain Markdown.
    environment = Environment(  # noqa: S701
        loader=PackageLoader("model_training.export", package_path=""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(_TEMPLATE).render(_context(card))


def _context(card: Card) -> dict[str, Any]:
    faithfulness = card.assessment.faithfulness
    gains = (faithfulness.deletion.gain_over_random, faithfulness.insertion.gain_over_random)
    not_measured = ["costs"]
    if card.cross_validation is not None:
        not_measured.append("cross-validation")
    if card.pruning:
        not_measured.append("pruning")
    return {
        "card": card,
        "is_small_gain": min(gains) < _SMALL_GAIN,
        "not_measured": " and ".join([part for part in (", ".join(not_measured[:-1]), not_measured[-1]) if part]),
        "metric": _metric,
        "interval": _with_interval,
        "table": _table,
        "leak_warning": leak_warning,
        "data_rows": _data_rows,
        "label_rows": _label_rows,
        "confusion_rows": _confusion_rows,
        "baseline_rows": _baseline_rows,
        "pruning_rows": _pruning_rows,
        "curve_header": _curve_header,
        "curve_rows": _curve_rows,
        "change_rows": _change_rows,
    }


def _data_rows(card: Card) -> Iterator[tuple[str, ...]]:
    for use, data in card.assessment.data.items():
        counts = (str(data.per_label.get(label, 0)) for label in card.labels)
        yield use, str(data.num_videos), str(data.num_groups), *counts


def _label_rows(metrics: Metrics) -> Iterator[tuple[str, ...]]:
    counts = [*(label.num_videos for label in metrics.per_label.values()), metrics.num_videos]
    rows = (*metrics.per_label.items(), ("macro", metrics.macro))
    for (name, row), count in zip(rows, counts, strict=True):
        values = (row.precision, row.recall, row.f1, row.roc_auc, row.average_precision)
        yield name, *map(_metric, values), str(count)


def _confusion_rows(metrics: Metrics) -> Iterator[tuple[str, ...]]:
    for label, row in zip(metrics.labels, metrics.confusion or (), strict=True):
        yield label, *map(str, row)


def _baseline_rows(baselines: Baselines, accuracy: float, macro_f1: float) -> Iterator[tuple[str, ...]]:
    for name, score in baselines.with_model(accuracy, macro_f1):
        yield name, _metric(score.accuracy), _metric(score.macro_f1)


def _pruning_rows(card: Card) -> Iterator[tuple[str, ...]]:
    for effect in card.pruning:
        for when in ("before", "after"):
            if when in effect:
                names = ("sparsity", "validation_loss", "validation_accuracy")
                yield effect["stage"], when, *(_metric(effect[when][name]) for name in names)


def _curve_header(title: str, faithfulness: Faithfulness) -> tuple[str, ...]:
    return title, *(f"{fraction:.0%}" for fraction in faithfulness.shares), "area"


def _curve_rows(curve: OrderedCurve) -> Iterator[tuple[str, ...]]:
    for name, values, area in (
        ("attention", curve.attention, curve.area_attention),
        ("random", curve.random, curve.area_random),
        ("even", curve.even, curve.area_even),
    ):
        yield name, *map(_metric, values), _metric(area)


def _change_rows(robustness: Robustness) -> Iterator[tuple[str, ...]]:
    for name, change in robustness.changes.items():
        yield name, *map(_metric, (change.accuracy, change.agreement, change.mean_probability_shift))


def _with_interval(value: float, interval: Interval | None) -> str:
    return _metric(value) + ("" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]")


def _metric(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(header: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [tuple(header), tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
