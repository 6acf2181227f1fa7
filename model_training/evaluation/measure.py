"""How good an exported model is: the SavedModel itself, fed by `service.video`, one clip per call."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_training.datasets.decoding import Unreadable
from model_training.datasets.examples import Example
from model_training.datasets.segments import Segment, open_segment
from model_training.errors import TrainingDataError
from model_training.evaluation.conformal import label_set_figures
from model_training.evaluation.metrics import (
    Probabilities,
    Sets,
    abstention_figures,
    accuracy,
    averages,
    calibration_error,
    confusion,
    curves,
    intervals,
    label_figures,
    pointing,
    reliability,
    rounded,
    top_k_accuracy,
)
from model_training.evaluation.results import Cost, Figures, Pointing
from model_training.input_pipeline.sampling import targets_of
from service.inference.manifest import Manifest, combine_clips
from service.video.clip import Clip
from service.video.errors import VideoError

_TIME_DECIMALS = 6
"""As the service writes times, so that both ways agree on which frames lie in an event."""


@dataclass(frozen=True, slots=True)
class VideoPrediction:
    """What a model answers for one video: `probabilities` float64 [K], and clip by clip.

    `attention` float32 [N, T], 0 where `valid` [N, T] is false; `times_seconds` [N, T].
    `clip_probabilities` float32 [N, K] is None where a service answered: it tells each clip's best label alone.
    """

    probabilities: NDArray[np.float64]
    clip_probabilities: NDArray[np.float32] | None
    attention: NDArray[np.float32]
    times_seconds: NDArray[np.float64]
    valid: NDArray[np.bool_]
    decode_seconds: float
    model_seconds_per_clip: float


class Predictor(Protocol):
    """Whatever answers videos as a model does: the exported graph here, or a service elsewhere."""

    def predict(self, path: Path, manifest: Manifest, segment_seconds: Segment | None = None) -> VideoPrediction:
        """What the model answers for the video in `path`, or for a segment of it.

        Raises:
            VideoError: the video cannot be used.
        """
        ...


class ExportedModel:
    """A SavedModel, restored as serving restores it."""

    def __init__(self, directory: Path) -> None:
        self._restored = tf.saved_model.load(str(directory))
        self._signature = self._restored.signatures["serving_default"]

    def answer(self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], ...]:
        """Probabilities float32 [B,K] and attention float32 [B,T] of clips uint8 [B,T,H,W,3]."""
        outputs = self._signature(frames=tf.constant(frames), valid=tf.constant(valid))
        return outputs["probabilities"].numpy(), outputs["attention"].numpy()

    def predict(self, path: Path, manifest: Manifest, segment_seconds: Segment | None = None) -> VideoPrediction:
        """What the model answers for the video in `path`, or for a segment of it.

        Raises:
            VideoError: the video cannot be used.
        """
        answers: list[tuple[NDArray[np.float32], ...]] = []
        clips: list[Clip] = []
        model_seconds = 0.0
        opened_at = time.perf_counter()
        with open_segment(path, manifest.clip, segment_seconds) as (_, of_video):
            for clip in of_video:
                asked_at = time.perf_counter()
                answers.append(self.answer(clip.frames[None], clip.times.valid[None]))
                model_seconds += time.perf_counter() - asked_at
                clips.append(clip)
        clip_probabilities = np.concatenate([probabilities for probabilities, _ in answers])
        probabilities = combine_clips(clip_probabilities, manifest.combine, sums_to_one=manifest.sums_to_one)
        return VideoPrediction(
            # As the service answers: a softmax may exceed 1 by a rounding error.
            probabilities=np.clip(probabilities, 0, 1),
            clip_probabilities=clip_probabilities,
            attention=np.concatenate([attention for _, attention in answers]),
            times_seconds=np.stack([clip.times.times_seconds for clip in clips]),
            valid=np.stack([clip.times.valid for clip in clips]),
            decode_seconds=time.perf_counter() - opened_at - model_seconds,
            model_seconds_per_clip=model_seconds / len(clips),
        )


def predict_examples(
    model: Predictor,
    manifest: Manifest,
    examples: Sequence[Example],
    on_video: Callable[[], None] = lambda: None,
    unreadable: list[Unreadable] | None = None,
) -> list[VideoPrediction]:
    """The model's answer for each example.

    Where the list `unreadable` is given, videos that cannot be used are put there, and the answers leave them out.

    Raises:
        TrainingDataError: a video cannot be used, or has a label the model does not know.
    """
    predictions = []
    # Before hours of answering, not in the middle of them.
    for example in examples:
        for label in (example.label,) if manifest.sums_to_one else example.labels:
            if label not in manifest.labels:
                known = ", ".join(manifest.labels)
                raise TrainingDataError(f"{example.listed}: the model does not know the label {label!r}, only {known}")
    for example in examples:
        try:
            predictions.append(model.predict(example.path, manifest, example.segment_seconds))
        except VideoError as error:
            if unreadable is None:
                raise TrainingDataError(f"{example.listed}: {error}") from error
            unreadable.append(Unreadable(example, str(error)))
        except OSError as error:
            raise TrainingDataError(f"{example.listed}: {error.strerror or error}") from error
        on_video()
    return predictions


def stacked(
    predictions: Sequence[VideoPrediction], examples: Sequence[Example], labels: Sequence[str]
) -> tuple[Probabilities, Sets]:
    """Probabilities float64 [N, K] and true labels bool [N, K] of the videos."""
    targets = targets_of([example.labels for example in examples], labels) > 0
    return np.stack([prediction.probabilities for prediction in predictions]), targets


def answered(probabilities: Probabilities, manifest: Manifest) -> Sets:
    """The labels answered, bool [N, K]: the likeliest, or, of a multi-label model, all that it accepts."""
    threshold = 0.0 if manifest.sums_to_one else None
    return np.stack([manifest.accepts(row, threshold) for row in probabilities])


def measure(predictions: Sequence[VideoPrediction], examples: Sequence[Example], manifest: Manifest) -> Figures:
    """Every figure of a set of answers, by the manifest's thresholds."""
    labels = manifest.labels
    probabilities, targets = stacked(predictions, examples, labels)
    answers = answered(probabilities, manifest)
    groups = [example.group for example in examples]
    per_label = label_figures(probabilities, answers, targets, labels)
    calibration: tuple[Probabilities, Sets] = (probabilities, targets)
    if manifest.sums_to_one:
        is_right: Sets = (answers & targets).sum(axis=1, keepdims=True) > 0
        calibration = (probabilities.max(axis=1, keepdims=True), is_right)
    return Figures(
        num_videos=len(examples),
        num_clips=sum(len(prediction.attention) for prediction in predictions),
        num_groups=len(set(groups)),
        labels=labels,
        accuracy=rounded(accuracy(answers, targets)),
        balanced_accuracy=rounded(np.mean([one.recall for one in per_label.values() if one.num_videos])),
        top_k_accuracy=top_k_accuracy(probabilities, targets) if manifest.sums_to_one else {},
        macro=averages(per_label),
        per_label=per_label,
        confusion=confusion(answers, targets) if manifest.sums_to_one else None,
        expected_calibration_error=calibration_error(*calibration),
        reliability=reliability(*calibration),
        abstention=abstention_figures(probabilities, targets, manifest.abstention_threshold)
        if manifest.sums_to_one
        else None,
        label_sets=label_set_figures(probabilities, targets.argmax(axis=1), manifest.conformal)
        if manifest.conformal
        else None,
        attention=_pointing(predictions, examples),
        intervals=intervals(probabilities, answers, targets, calibration, groups),
        curves=curves(probabilities, targets, labels),
        cost=Cost(
            decode_milliseconds_per_video=_median_milliseconds([one.decode_seconds for one in predictions]),
            model_milliseconds_per_clip=_median_milliseconds([one.model_seconds_per_clip for one in predictions]),
        ),
    )


def prediction_record(prediction: VideoPrediction, example: Example, data_directory: Path) -> dict[str, Any]:
    """One video's answer as JSON can hold it, every number exact; its path is as seen from `data_directory`."""
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
    """How attention points at the events, over the clips that show one; None where no event is known."""
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
