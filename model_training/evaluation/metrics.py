"""How good a set of answers is. The statistics are scikit-learn's; what is chosen here is which."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import sklearn
from numpy.typing import NDArray
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
"""[N, K]: which labels are answered, or are true. One for each video, unless the model is multi-label."""


def label_metrics(
    probabilities: Probabilities, answers: Sets, targets: Sets, labels: Sequence[str]
) -> dict[str, LabelMetrics]:
    """Each label against the others. 0 / 0 counts as 0."""
    precision, recall, f1, count = _of_labels(answers, targets)
    return {
        label: LabelMetrics(
            precision=round_metric(precision[k]),
            recall=round_metric(recall[k]),
            f1=round_metric(f1[k]),
            roc_auc=_if_told_apart(roc_auc_score, probabilities, targets, k),
            average_precision=_if_told_apart(average_precision_score, probabilities, targets, k),
            num_videos=int(count[k]),
        )
        for k, label in enumerate(labels)
    }


def averages(per_label: dict[str, LabelMetrics]) -> Averages:
    """The means over the labels for which there is a figure."""

    def mean(name: str) -> float | None:
        known = [getattr(label, name) for label in per_label.values() if getattr(label, name) is not None]
        return round_metric(np.mean(known)) if known else None

    return Averages.model_validate({name: mean(name) for name in Averages.model_fields})


def confusion(answers: Sets, targets: Sets) -> tuple[tuple[int, ...], ...]:
    """Counts [K][K]: a row is a true label, a column an answered one; one label a video."""
    counts = confusion_matrix(targets.argmax(axis=1), answers.argmax(axis=1), labels=range(targets.shape[1]))
    return tuple(tuple(map(int, row)) for row in counts)


def top_k_accuracy(probabilities: Probabilities, targets: Sets) -> dict[str, float]:
    """Share of videos whose label is among the k likeliest, by k; k = 1 is accuracy itself."""
    truths, num_labels = targets.argmax(axis=1), targets.shape[1]
    return {
        str(k): round_metric(top_k_accuracy_score(truths, probabilities, k=k, labels=range(num_labels)))
        for k in range(2, min(_MAX_K, num_labels - 1) + 1)
    }


def reliability(claimed: Probabilities, is_right: Sets) -> tuple[ReliabilityBin, ...]:
    """The bins that hold any, of `NUM_BINS` of equal width over the claimed probabilities."""
    claimed, is_right = claimed.ravel(), is_right.ravel()
    share_right, mean_claimed = calibration_curve(is_right, claimed, pos_label=True, n_bins=NUM_BINS)
    inner_edges = np.linspace(0, 1, NUM_BINS + 1)[1:-1]
    counts = np.bincount(np.searchsorted(inner_edges, claimed))
    return tuple(
        ReliabilityBin(mean_probability=round_metric(mean), share_right=round_metric(right), num_videos=int(count))
        for mean, right, count in zip(mean_claimed, share_right, counts[counts > 0], strict=True)
    )


def calibration_error(claimed: Probabilities, is_right: Sets) -> float:
    """Expected calibration error: the mean gap of the reliability bins, by how many they hold."""
    bins = reliability(claimed, is_right)
    gaps = [abs(one.mean_probability - one.share_right) for one in bins]
    return round_metric(np.average(gaps, weights=[one.num_videos for one in bins]))


def abstention_metrics(probabilities: Probabilities, targets: Sets, threshold: float) -> Abstention:
    """Share of videos answered at `threshold`, and accuracy over those; None if none is."""
    is_accepted = probabilities.max(axis=1) >= threshold
    is_right = targets[np.arange(len(targets)), probabilities.argmax(axis=1)]
    return Abstention(
        threshold=threshold,
        coverage=round_metric(is_accepted.mean()),
        accuracy_when_answering=round_metric(is_right[is_accepted].mean()) if is_accepted.any() else None,
    )


def curves(probabilities: Probabilities, targets: Sets, labels: Sequence[str]) -> dict[str, LabelCurves]:
    """ROC and precision-recall of each label against the others, where both kinds are there."""
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


def accuracy(answers: Sets, targets: Sets) -> float:
    """Share of videos with just their own labels answered."""
    return float((answers == targets).all(axis=1).mean())


def intervals(
    probabilities: Probabilities,
    answers: Sets,
    targets: Sets,
    calibration: tuple[Probabilities, Sets],
    groups: Sequence[str],
) -> dict[str, Interval]:
    """95 % confidence intervals, whole groups drawn; none with a single group.

    `calibration` holds what `reliability` takes, a row for each video.
    """

    @cache
    def of_labels(rows: bytes) -> tuple[float, float]:
        """Balanced accuracy and macro F1 of a draw; every statistic is given the same draws."""
        drawn = np.frombuffer(rows, np.int64)
        _, recall, f1, count = _of_labels(answers[drawn], targets[drawn])
        return float(recall[count > 0].mean()) if count.any() else np.nan, float(f1.mean())

    def macro_roc_auc(rows: Rows) -> float:
        is_label = targets[rows]
        is_told_apart = is_label.any(axis=0) & ~is_label.all(axis=0)
        if not is_told_apart.any():
            return np.nan
        return float(roc_auc_score(is_label[:, is_told_apart], probabilities[rows][:, is_told_apart]))

    statistics: dict[str, Callable[[Rows], float]] = {
        "accuracy": lambda rows: accuracy(answers[rows], targets[rows]),
        "balanced_accuracy": lambda rows: of_labels(rows.tobytes())[0],
        "macro_f1": lambda rows: of_labels(rows.tobytes())[1],
        "macro_roc_auc": macro_roc_auc,
        "expected_calibration_error": lambda rows: calibration_error(calibration[0][rows], calibration[1][rows]),
    }
    # Arguments that were checked once need no checking in each of thousands of draws.
    with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
        found = {name: group_interval(statistic, groups) for name, statistic in statistics.items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def pointing(attentions: Sequence[NDArray[np.float32]], are_in_event: Sequence[NDArray[np.bool_]]) -> Pointing:
    """How well attention [T] points at the known event: hit rate of its peak, and its mass inside.

    `chance_mass` is the mass that equal attention on all valid frames would have inside.
    """
    pairs = list(zip(attentions, are_in_event, strict=True))
    hits = [bool(inside[int(np.argmax(attention))]) for attention, inside in pairs]
    masses = [float(attention[inside].sum()) for attention, inside in pairs]
    shares = [inside.sum() / max(int((attention > 0).sum()), 1) for attention, inside in pairs]
    return Pointing(
        pointing_game_hit_rate=round_metric(np.mean(hits)),
        mass_inside_event=round_metric(np.mean(masses)),
        chance_mass=round_metric(np.mean(shares)),
        num_clips=len(hits),
    )


def round_metric(value: float | np.floating) -> float:
    """To the four places that figures are kept with."""
    return round(float(value), 4)


def _of_labels(answers: Sets, targets: Sets) -> tuple[NDArray[np.float64], ...]:
    """Precision, recall, F1 and number of videos of each label."""
    found: tuple[NDArray[np.float64], ...] = precision_recall_fscore_support(targets, answers, zero_division=0)
    return found


def _if_told_apart(
    score: Callable[..., float], probabilities: Probabilities, targets: Sets, label: int
) -> float | None:
    """`score` of one label against the others; None where all videos are of one kind."""
    is_label = targets[:, label]
    return round_metric(score(is_label, probabilities[:, label])) if 0 < is_label.sum() < len(is_label) else None


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Point, ...]:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MAX_CURVE_POINTS)).round().astype(int))
    return tuple((round_metric(x[place]), round_metric(y[place])) for place in kept)
