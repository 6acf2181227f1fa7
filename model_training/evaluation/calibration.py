"""Calibration: temperature scaling, abstention threshold and label thresholds."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from model_training.config import HeadKind

_TEMPERATURES = np.geomspace(0.25, 8.0, 201)


def fit_temperature(logits: NDArray[np.float32], targets: NDArray[np.float32], kind: HeadKind) -> float:
    """Fit the temperature that minimises the cross-entropy of `logits / temperature` (Guo et al. 2017).

    `logits` and `targets` are float32 [N, K], N >= 1; `targets` is 1 for each true label and 0 elsewhere.
    """
    entropy = _entropy_of_each_label if kind == "multi_label" else _entropy
    losses = [entropy(logits.astype(np.float64) / temperature, targets) for temperature in _TEMPERATURES]
    return round(float(_TEMPERATURES[int(np.argmin(losses))]), 4)


def abstention_threshold(probabilities: NDArray[np.float64], coverage: float) -> float:
    """The highest threshold that the top probability reaches in a fraction `coverage` of the videos [N, K]."""
    threshold = np.quantile(probabilities.max(axis=1), 1 - coverage, method="lower")
    return float(np.floor(threshold * 1e4) / 1e4)


def label_thresholds(probabilities: NDArray[np.float64], targets: NDArray[np.bool_]) -> tuple[float, ...]:
    """For each label, the threshold with the best F1 on these videos [N, K], rounded down.

    0.5 for a label that no video has, or all videos have.
    """
    return tuple(
        _best_threshold(probabilities[:, k], targets[:, k]) if 0 < targets[:, k].sum() < len(targets) else 0.5
        for k in range(targets.shape[1])
    )


def _best_threshold(probabilities: NDArray[np.float64], is_label: NDArray[np.bool_]) -> float:
    precision, recall, thresholds = precision_recall_curve(is_label, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(np.floor(thresholds[f1[:-1].argmax()] * 1e4) / 1e4)


def _entropy(logits: NDArray[np.float64], targets: NDArray[np.float32]) -> float:
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return float(-(log_probabilities * targets).sum(axis=1).mean())


def _entropy_of_each_label(logits: NDArray[np.float64], targets: NDArray[np.float32]) -> float:
    return float(np.logaddexp(0, np.where(targets > 0, -logits, logits)).mean())
