"""Metrics of predictions as arrays, computed with scikit-learn."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import sklearn
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
    top_k_accuracy_score,
)

from model_training.evaluation.bootstrap import Rows, group_interval
from model_training.evaluation.results import (
    Abstention,
    Averages,
    Interval,
    LabelCurves,
    LabelMetrics,
    Point,
    Pointing,
    ReliabilityBin,
)

NUM_BINS = 10
_MAX_K = 5
_MAX_CURVE_POINTS = 64

Probabilities = NDArray[np.float64]
"""[N, K]"""
Sets = NDArray[np.bool_]
"""[N, K]: predicted or true labels; exactly one per video, unless the model is multi-label."""


def label_metrics(
    probabilities: Probabilities, predicted_labels: Sets, targets: Sets, labels: Sequence[str]
) -> dict[str, LabelMetrics]:
    """Metrics of each label against the rest. 0 / 0 counts as 0."""
    precision, recall, f1, count = _label_statistics(predicted_labels, targets)
    return {
        label: LabelMetrics(
            precision=round_metric(precision[k]),
            recall=round_metric(recall[k]),
            f1=round_metric(f1[k]),
            roc_auc=_if_defined(roc_auc_score, probabilities, targets, k),
            average_precision=_if_defined(average_precision_score, probabilities, targets, k),
            num_videos=int(count[k]),
        )
        for k, label in enumerate(labels)
    }


def averages(per_label: dict[str, LabelMetrics]) -> Averages:
    """Macro averages: means over the labels whose metric is defined."""
    labels = per_label.values()
    return Averages(
        precision=round_metric(np.mean([label.precision for label in labels])),
        recall=round_metric(np.mean([label.recall for label in labels])),
        f1=round_metric(np.mean([label.f1 for label in labels])),
        roc_auc=_mean_of_known([label.roc_auc for label in labels]),
        average_precision=_mean_of_known([label.average_precision for label in labels]),
    )


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round_metric(np.mean(known)) if known else None


def confusion(predicted_labels: Sets, targets: Sets) -> tuple[tuple[int, ...], ...]:
    """Confusion matrix [K][K]: a row for each true label, a column for each predicted one."""
    counts = confusion_matrix(targets.argmax(axis=1), predicted_labels.argmax(axis=1), labels=range(targets.shape[1]))
    return tuple(tuple(map(int, row)) for row in counts)


def top_k_accuracy(probabilities: Probabilities, targets: Sets) -> dict[str, float]:
    """Fraction of videos whose label is among the k most probable ones, by k >= 2."""
    truths, num_labels = targets.argmax(axis=1), targets.shape[1]
    return {
        str(k): round_metric(top_k_accuracy_score(truths, probabilities, k=k, labels=range(num_labels)))
        for k in range(2, min(_MAX_K, num_labels - 1) + 1)
    }


def reliability(predicted: Probabilities, is_correct: Sets) -> tuple[ReliabilityBin, ...]:
    """The non-empty bins of `NUM_BINS` bins of equal width over the predicted probabilities."""
    predicted, is_correct = predicted.ravel(), is_correct.ravel()
    fractions_correct, mean_probabilities = calibration_curve(is_correct, predicted, pos_label=True, n_bins=NUM_BINS)
    inner_edges = np.linspace(0, 1, NUM_BINS + 1)[1:-1]
    counts = np.bincount(np.searchsorted(inner_edges, predicted))
    return tuple(
        ReliabilityBin(mean_probability=round_metric(mean), share_right=round_metric(fraction), num_videos=int(count))
        for mean, fraction, count in zip(mean_probabilities, fractions_correct, counts[counts > 0], strict=True)
    )


def calibration_error(predicted: Probabilities, is_correct: Sets) -> float:
    """Expected calibration error: mean gap of the reliability bins, weighted by their number of videos."""
    bins = reliability(predicted, is_correct)
    gaps = [abs(bin_.mean_probability - bin_.share_right) for bin_ in bins]
    return round_metric(np.average(gaps, weights=[bin_.num_videos for bin_ in bins]))


def abstention_metrics(probabilities: Probabilities, targets: Sets, threshold: float) -> Abstention:
    """Fraction of videos that reach `threshold`, and their accuracy (None without such videos)."""
    is_accepted = probabilities.max(axis=1) >= threshold
    is_correct = targets[np.arange(len(targets)), probabilities.argmax(axis=1)]
    return Abstention(
        threshold=threshold,
        coverage=round_metric(is_accepted.mean()),
        accuracy_when_answering=round_metric(is_correct[is_accepted].mean()) if is_accepted.any() else None,
    )


def curves(probabilities: Probabilities, targets: Sets, labels: Sequence[str]) -> dict[str, LabelCurves]:
    """ROC and precision-recall curves of each label that some, but not all, videos have."""
    return {
        label: LabelCurves(
            roc=_points(*roc_curve(targets[:, k], probabilities[:, k])[:2]),
            precision_recall=_points(
                *precision_recall_curve(targets[:, k], probabilities[:, k], drop_intermediate=True)[1::-1]
            ),
        )
        for k, label in enumerate(labels)
        if 0 < targets[:, k].sum() < len(targets)
    }


def accuracy(predicted_labels: Sets, targets: Sets) -> float:
    """Fraction of videos whose predicted labels are exactly the true ones."""
    return float((predicted_labels == targets).all(axis=1).mean())


def intervals(
    probabilities: Probabilities,
    predicted_labels: Sets,
    targets: Sets,
    calibration: tuple[Probabilities, Sets],
    groups: Sequence[str],
) -> dict[str, Interval]:
    """95 % confidence intervals by bootstrap over groups; empty with a single group.

    `calibration` contains the arguments of `reliability`, with a row for each video.
    """

    @cache
    def of_labels(rows: bytes) -> tuple[float, float]:
        """Balanced accuracy and macro F1 of a resample; all statistics get the same resamples."""
        sampled = np.frombuffer(rows, np.int64)
        return balanced_accuracy_and_macro_f1(predicted_labels[sampled], targets[sampled])

    statistics: dict[str, Callable[[Rows], float]] = {
        "accuracy": lambda rows: accuracy(predicted_labels[rows], targets[rows]),
        "balanced_accuracy": lambda rows: of_labels(rows.tobytes())[0],
        "macro_f1": lambda rows: of_labels(rows.tobytes())[1],
        "macro_roc_auc": lambda rows: macro_roc_auc(probabilities[rows], targets[rows]),
        "expected_calibration_error": lambda rows: calibration_error(calibration[0][rows], calibration[1][rows]),
    }
    # Validating the arguments of each resample would take most of the time.
    with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
        found = {name: group_interval(statistic, groups) for name, statistic in statistics.items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def pointing(attentions: Sequence[NDArray[np.float32]], are_in_event: Sequence[NDArray[np.bool_]]) -> Pointing:
    """Attention [T] against the annotated event: hit rate of the peak (pointing game) and mass inside the event.

    `chance_mass` is the mass inside the event of uniform attention on all valid frames.
    """
    pairs = list(zip(attentions, are_in_event, strict=True))
    hits = [bool(inside[int(np.argmax(attention))]) for attention, inside in pairs]
    masses = [float(attention[inside].sum()) for attention, inside in pairs]
    chances = [inside.sum() / max(int((attention > 0).sum()), 1) for attention, inside in pairs]
    return Pointing(
        pointing_game_hit_rate=round_metric(np.mean(hits)),
        mass_inside_event=round_metric(np.mean(masses)),
        chance_mass=round_metric(np.mean(chances)),
        num_clips=len(hits),
    )


def round_metric(value: float | np.floating) -> float:
    """Round to four decimals, the precision of all stored metrics."""
    return round(float(value), 4)


def balanced_accuracy_and_macro_f1(predicted_labels: Sets, targets: Sets) -> tuple[float, float]:
    """Both metrics as scikit-learn defines them, fast enough for every resample. NaN and 0 without a label."""
    num_hits = np.logical_and(predicted_labels, targets).sum(axis=0)
    num_true, num_predicted = targets.sum(axis=0), predicted_labels.sum(axis=0)
    has_videos = num_true > 0
    if not has_videos.any():
        return np.nan, 0.0
    f1 = 2 * num_hits / np.maximum(num_true + num_predicted, 1)
    return float((num_hits[has_videos] / num_true[has_videos]).mean()), float(f1.mean())


def macro_roc_auc(probabilities: Probabilities, targets: Sets) -> float:
    """Mean ROC AUC of the labels that some, but not all, videos have: the Mann-Whitney U statistic. NaN without any."""
    num_true = targets.sum(axis=0)
    num_false = len(targets) - num_true
    is_defined = (num_true > 0) & (num_false > 0)
    if not is_defined.any():
        return np.nan
    num_true, num_false = num_true[is_defined], num_false[is_defined]
    rank_sums = np.where(targets, rankdata(probabilities, axis=0), 0).sum(axis=0)[is_defined]
    return float(((rank_sums - num_true * (num_true + 1) / 2) / (num_true * num_false)).mean())


def _label_statistics(predicted_labels: Sets, targets: Sets) -> tuple[NDArray[np.float64], ...]:
    """Precision, recall, F1 and number of videos, each an array [K]."""
    found: tuple[NDArray[np.float64], ...] = precision_recall_fscore_support(targets, predicted_labels, zero_division=0)
    return found


def _if_defined(score: Callable[..., float], probabilities: Probabilities, targets: Sets, label: int) -> float | None:
    """`score` of one label against the rest; None if all videos, or none, have the label."""
    is_label = targets[:, label]
    return round_metric(score(is_label, probabilities[:, label])) if 0 < is_label.sum() < len(is_label) else None


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Point, ...]:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MAX_CURVE_POINTS)).round().astype(int))
    return tuple((round_metric(x[index]), round_metric(y[index])) for index in kept)
