"""Baselines that do not see movement: most frequent label, file metadata, nearest mean frame.

A baseline with an accuracy near the model's shows that the data reveals the label otherwise, for instance by
encoding settings or by the place.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from model_training.datasets.clip_cache import DecodedVideo
from model_training.datasets.labels import multi_hot_targets
from model_training.datasets.thumbnails import stack_mean_frames

_NEAR_THE_MODEL = 0.05
_FAR_ABOVE_CHANCE = 0.5
"""Fraction of the way from the accuracy of the most frequent label to 1."""
_NUM_FOLDS = 5
_MAX_ITERATIONS = 2000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BaselineScore(_Part):
    """Metrics of a baseline. A video with several labels is correct if all of them are."""

    accuracy: float
    macro_f1: float


class Baselines(_Part):
    """Metrics of the baselines on the same videos.

    `majority` predicts the most frequent label in training; `metadata` is a logistic regression on size, frame
    rate, duration, bytes and codec; `mean_frame` predicts the label of the training video with the nearest mean
    frame.
    """

    majority: BaselineScore
    metadata: BaselineScore
    mean_frame: BaselineScore
    num_videos: int

    def with_model(self, accuracy: float, macro_f1: float) -> list[tuple[str, BaselineScore]]:
        """The scores of a model and of the baselines by name, as tables show them."""
        return [("this model", BaselineScore(accuracy=accuracy, macro_f1=macro_f1)), *self.by_name()]

    def by_name(self) -> list[tuple[str, BaselineScore]]:
        """The scores by name."""
        return [
            ("metadata alone (size, rate, length, codec; logistic regression)", self.metadata),
            ("nearest mean picture in training", self.mean_frame),
            ("always the most frequent label", self.majority),
        ]

    def verdict(self, model_accuracy: float | None = None) -> str | None:
        """One sentence if a baseline shows that the data reveals the label, otherwise None."""
        chance = self.majority.accuracy
        for score, how in (
            (self.metadata, "the files' metadata alone (size, rate, length, codec)"),
            (self.mean_frame, "the training video with the nearest mean picture"),
        ):
            is_near = model_accuracy is not None and score.accuracy >= model_accuracy - _NEAR_THE_MODEL
            if is_near or score.accuracy >= chance + _FAR_ABOVE_CHANCE * (1 - chance):
                against = "" if model_accuracy is None else f", the model {model_accuracy:.3f}"
                return (
                    f"The data reveals the label: {how} predicts {score.accuracy:.3f} of the videos correctly (the"
                    f" most frequent label: {chance:.3f}{against})."
                )
        return None


def measure_baselines(
    training: Sequence[DecodedVideo], test: Sequence[DecodedVideo], labels: Sequence[str]
) -> Baselines:
    """Fit the baselines on `training` and measure them on `test`; neither is empty."""
    return _measured([(training, test)], labels)


def baselines_over_folds(videos: Sequence[DecodedVideo], folds: Sequence[int], labels: Sequence[str]) -> Baselines:
    """Measure the baselines on these folds, each fold predicted from all other folds; none is empty."""
    parts = (
        (
            [video for video in videos if video.example.fold != fold],
            [video for video in videos if video.example.fold == fold],
        )
        for fold in folds
    )
    return _measured(parts, labels)


def cross_validate_baselines(
    videos: Sequence[DecodedVideo], groups: Sequence[str], labels: Sequence[str]
) -> Baselines | None:
    """Measure the baselines by cross-validation over groups; None with fewer than two groups."""
    from sklearn.model_selection import GroupKFold  # noqa: PLC0415 - see _predict

    num_folds = min(_NUM_FOLDS, len(set(groups)))
    if num_folds < 2:  # noqa: PLR2004 - one to fit and one to test
        return None
    folds = GroupKFold(num_folds).split(videos, groups=groups)
    return _measured((([videos[i] for i in training], [videos[i] for i in test]) for training, test in folds), labels)


def _measured(
    parts: Iterable[tuple[Sequence[DecodedVideo], Sequence[DecodedVideo]]], labels: Sequence[str]
) -> Baselines:
    """Pooled metrics over all parts; a part is a pair of training and test videos."""
    predictions, targets = [], []
    for training, test in parts:
        predictions.append(np.stack(_predict(training, test, labels)))
        targets.append(_targets(test, labels))
    pooled = np.concatenate(targets)
    majority, metadata, mean_frame = (_score(of_one, pooled) for of_one in np.concatenate(predictions, axis=1))
    return Baselines(majority=majority, metadata=metadata, mean_frame=mean_frame, num_videos=len(pooled))


def _predict(
    training: Sequence[DecodedVideo], test: Sequence[DecodedVideo], labels: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Predictions of the three baselines, as targets float32 [N, K]."""
    # scikit-learn takes a second to import, and most commands do not measure baselines.
    from sklearn.feature_extraction import DictVectorizer  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    training_targets = _targets(training, labels)
    kinds, kind_of = np.unique(training_targets, axis=0, return_inverse=True)
    kind_of = kind_of.ravel()
    most = kinds[np.bincount(kind_of).argmax()]
    # Each occurring set of labels is one class, so this works for one label and for several.
    if len(kinds) > 1:
        model = make_pipeline(
            DictVectorizer(sparse=False), StandardScaler(), LogisticRegression(max_iter=_MAX_ITERATIONS)
        )
        model.fit([_metadata(video) for video in training], kind_of)
        metadata = kinds[model.predict([_metadata(video) for video in test])]
    else:
        metadata = np.repeat(kinds, len(test), axis=0)
    finder = NearestNeighbors(n_neighbors=1).fit(stack_mean_frames([video.thumbnails for video in training]))
    nearest = finder.kneighbors(stack_mean_frames([video.thumbnails for video in test]), return_distance=False)[:, 0]
    return np.repeat(most[None], len(test), axis=0), metadata, training_targets[nearest]


def _metadata(video: DecodedVideo) -> dict[str, float | str]:
    """Facts from the container of a file; texts become one-hot features."""
    facts = video.facts
    return {
        "width": float(np.log(facts.width)),
        "height": float(np.log(facts.height)),
        "frame_rate": facts.frame_rate or 0.0,
        "num_frames": float(np.log(facts.num_frames)),
        "duration_seconds": float(np.log(facts.duration_seconds)),
        "size_bytes": float(np.log(video.size_bytes)),
        "bits_per_second": float(np.log(8 * video.size_bytes / facts.duration_seconds)),
        "is_variable_frame_rate": float(facts.is_variable_frame_rate),
        "has_audio": float(facts.has_audio),
        "codec": facts.codec,
        "container": facts.container,
    }


def _targets(videos: Sequence[DecodedVideo], labels: Sequence[str]) -> NDArray[np.float32]:
    return multi_hot_targets([video.example.labels for video in videos], labels)


def _score(predictions: NDArray[np.float32], targets: NDArray[np.float32]) -> BaselineScore:
    hits = (predictions * targets).sum(axis=0)
    f1 = 2 * hits / np.maximum(predictions.sum(axis=0) + targets.sum(axis=0), 1)
    return BaselineScore(
        accuracy=round(float((predictions == targets).all(axis=1).mean()), 4), macro_f1=round(float(f1.mean()), 4)
    )
