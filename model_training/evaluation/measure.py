"""Computes all metrics of a set of video predictions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.datasets.examples import Example
from model_training.datasets.labels import multi_hot_targets
from model_training.evaluation.conformal import label_set_metrics
from model_training.evaluation.exported_model import VideoPrediction
from model_training.evaluation.metrics import (
    Probabilities,
    Sets,
    abstention_metrics,
    accuracy,
    averages,
    calibration_error,
    confusion,
    curves,
    intervals,
    label_metrics,
    pointing,
    reliability,
    round_metric,
    top_k_accuracy,
)
from model_training.evaluation.results import Cost, Metrics, Pointing
from service.inference.manifest import Manifest

_TIME_DECIMALS = 6
"""The service rounds times alike, so both predictors agree on the frames inside an event."""


def stack_predictions(
    predictions: Sequence[VideoPrediction], examples: Sequence[Example], labels: Sequence[str]
) -> tuple[Probabilities, Sets]:
    """Probabilities float64 [N, K] and true labels bool [N, K] of the videos."""
    targets = multi_hot_targets([example.labels for example in examples], labels) > 0
    return np.stack([prediction.probabilities for prediction in predictions]), targets


def predicted_labels(probabilities: Probabilities, manifest: Manifest) -> Sets:
    """Predicted labels, bool [N, K]: the most probable one, or all that a multi-label model accepts."""
    threshold = 0.0 if manifest.sums_to_one else None
    return np.stack([manifest.accepts(row, threshold) for row in probabilities])


def compute_metrics(predictions: Sequence[VideoPrediction], examples: Sequence[Example], manifest: Manifest) -> Metrics:
    """Compute all metrics of the predictions, with the manifest's thresholds."""
    labels = manifest.labels
    probabilities, targets = stack_predictions(predictions, examples, labels)
    predicted = predicted_labels(probabilities, manifest)
    groups = [example.group for example in examples]
    per_label = label_metrics(probabilities, predicted, targets, labels)
    calibration: tuple[Probabilities, Sets] = (probabilities, targets)
    if manifest.sums_to_one:
        is_correct: Sets = (predicted & targets).sum(axis=1, keepdims=True) > 0
        calibration = (probabilities.max(axis=1, keepdims=True), is_correct)
    return Metrics(
        num_videos=len(examples),
        num_clips=sum(len(prediction.attention) for prediction in predictions),
        num_groups=len(set(groups)),
        labels=labels,
        accuracy=round_metric(accuracy(predicted, targets)),
        balanced_accuracy=round_metric(np.mean([label.recall for label in per_label.values() if label.num_videos])),
        top_k_accuracy=top_k_accuracy(probabilities, targets) if manifest.sums_to_one else {},
        macro=averages(per_label),
        per_label=per_label,
        confusion=confusion(predicted, targets) if manifest.sums_to_one else None,
        expected_calibration_error=calibration_error(*calibration),
        reliability=reliability(*calibration),
        abstention=abstention_metrics(probabilities, targets, manifest.abstention_threshold)
        if manifest.sums_to_one
        else None,
        label_sets=label_set_metrics(probabilities, targets.argmax(axis=1), manifest.conformal)
        if manifest.conformal
        else None,
        attention=_pointing(predictions, examples),
        intervals=intervals(probabilities, predicted, targets, calibration, groups),
        curves=curves(probabilities, targets, labels),
        cost=Cost(
            decode_milliseconds_per_video=_median_milliseconds(
                [prediction.decode_seconds for prediction in predictions]
            ),
            model_milliseconds_per_clip=_median_milliseconds(
                [prediction.model_seconds_per_clip for prediction in predictions]
            ),
        ),
    )


def prediction_record(prediction: VideoPrediction, example: Example, data_directory: Path) -> dict[str, Any]:
    """The prediction of one video for JSON, with exact numbers and the path relative to `data_directory`."""
    record: dict[str, Any] = {
        "path": example.path_below(data_directory),
        "labels": list(example.labels),
        "group": example.group,
        "probabilities": prediction.probabilities.tolist(),
        "clips": [
            {"attention": attention.tolist(), "times_seconds": times.tolist()}
            for attention, times in zip(prediction.attention, prediction.times_seconds, strict=True)
        ],
    }
    if prediction.clip_probabilities is not None:
        for clip, probabilities in zip(record["clips"], prediction.clip_probabilities, strict=True):
            clip["probabilities"] = probabilities.tolist()
    return record


def _pointing(predictions: Sequence[VideoPrediction], examples: Sequence[Example]) -> Pointing | None:
    """Attention against the annotated events, over the clips that show one; None without such clips."""
    pointed = [
        (prediction.attention[clip], is_inside)
        for prediction, example in zip(predictions, examples, strict=True)
        for clip, is_inside in enumerate(_is_in_event(prediction, example))
        if is_inside.any()
    ]
    return pointing([weights for weights, _ in pointed], [inside for _, inside in pointed]) if pointed else None


def _median_milliseconds(seconds: Sequence[float]) -> float:
    return round(float(np.median(seconds)) * 1000, 3)


def _is_in_event(prediction: VideoPrediction, example: Example) -> NDArray[np.bool_]:
    if example.event_seconds is None:
        return np.zeros_like(prediction.valid)
    start, end = example.event_seconds
    times = prediction.times_seconds.round(_TIME_DECIMALS)
    return prediction.valid & (times >= start) & (times < end)
