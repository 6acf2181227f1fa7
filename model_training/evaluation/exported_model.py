"""Predicts videos with an exported model, as the service does."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_training.datasets.decoding import UnreadableExample
from model_training.datasets.examples import Example
from model_training.datasets.segments import Segment, open_segment
from model_training.errors import TrainingDataError
from service.inference.manifest import Manifest, combine_clips
from service.video.clip import Clip
from service.video.errors import VideoError


@dataclass(frozen=True, slots=True)
class VideoPrediction:
    """Prediction for one video: `probabilities` float64 [K], and for each clip.

    `attention` float32 [N, T], 0 where `valid` [N, T] is false; `times_seconds` [N, T].
    `clip_probabilities` float32 [N, K] is None if a service predicted: it returns only each clip's best label.
    """

    probabilities: NDArray[np.float64]
    clip_probabilities: NDArray[np.float32] | None
    attention: NDArray[np.float32]
    times_seconds: NDArray[np.float64]
    valid: NDArray[np.bool_]
    decode_seconds: float
    model_seconds_per_clip: float


class Predictor(Protocol):
    """A predictor of videos: the exported model in this process, or a service."""

    def predict(self, path: Path, manifest: Manifest, segment_seconds: Segment | None = None) -> VideoPrediction:
        """Predict the video in `path`, or a segment of it.

        Raises:
            VideoError: the video cannot be decoded.
        """
        ...


class ExportedModel:
    """A SavedModel, loaded as the service loads it."""

    def __init__(self, directory: Path) -> None:
        self._restored = tf.saved_model.load(str(directory))
        self._signature = self._restored.signatures["serving_default"]

    def predict_clips(self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], ...]:
        """Predict clips uint8 [B,T,H,W,3]: probabilities float32 [B,K] and attention float32 [B,T]."""
        outputs = self._signature(frames=tf.constant(frames), valid=tf.constant(valid))
        return outputs["probabilities"].numpy(), outputs["attention"].numpy()

    def predict(self, path: Path, manifest: Manifest, segment_seconds: Segment | None = None) -> VideoPrediction:
        """Predict the video in `path`, or a segment of it.

        Raises:
            VideoError: the video cannot be decoded.
        """
        outputs: list[tuple[NDArray[np.float32], ...]] = []
        clips: list[Clip] = []
        model_seconds = 0.0
        opened_at = time.perf_counter()
        with open_segment(path, manifest.clip, segment_seconds) as (_, of_video):
            for clip in of_video:
                started_at = time.perf_counter()
                outputs.append(self.predict_clips(clip.frames[None], clip.times.valid[None]))
                model_seconds += time.perf_counter() - started_at
                clips.append(clip)
        clip_probabilities = np.concatenate([probabilities for probabilities, _ in outputs])
        probabilities = combine_clips(clip_probabilities, manifest.combine, sums_to_one=manifest.sums_to_one)
        return VideoPrediction(
            # As in the service: a softmax may exceed 1 by a rounding error.
            probabilities=np.clip(probabilities, 0, 1),
            clip_probabilities=clip_probabilities,
            attention=np.concatenate([attention for _, attention in outputs]),
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
    unreadable: list[UnreadableExample] | None = None,
) -> list[VideoPrediction]:
    """Predict each example.

    With the list `unreadable`, unreadable videos are appended to it and have no prediction.

    Raises:
        TrainingDataError: a video cannot be read, or has a label that the model does not have.
    """
    predictions = []
    # Check all labels before hours of prediction.
    for example in examples:
        for label in (example.label,) if manifest.sums_to_one else example.labels:
            if label not in manifest.labels:
                known = ", ".join(manifest.labels)
                raise TrainingDataError(f"{example.listed}: the model has no label {label!r}, only {known}")
    for example in examples:
        try:
            predictions.append(model.predict(example.path, manifest, example.segment_seconds))
        except VideoError as error:
            if unreadable is None:
                raise TrainingDataError(f"{example.listed}: {error}") from error
            unreadable.append(UnreadableExample(example, str(error)))
        except OSError as error:
            raise TrainingDataError(f"{example.listed}: {error.strerror or error}") from error
        on_video()
    return predictions
