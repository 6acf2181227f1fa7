"""The record of a cross-validation: stored as JSON and compared with other records."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import AliasChoices, Field, ValidationError

from model_training.config import TrainConfig
from model_training.cross_validation.correctness import is_correct
from model_training.datasets.examples import Example, labels_of
from model_training.errors import TrainingDataError
from model_training.evaluation.results import CrossValidation, Interval, Result


class VideoOutcome(Result):
    """The out-of-fold prediction of one run for a video.

    `path` is relative to the data's folder, or absolute if the video lies outside it.
    """

    path: str
    labels: tuple[str, ...]
    group: str
    fold: int
    seed: int
    probabilities: tuple[float, ...]


class Advantage(Result):
    """The difference in accuracy between two records, on the videos in both."""

    than: str
    """File name of the other record."""
    num_videos: int
    accuracy_difference: float
    interval: Interval | None = None
    """95 % interval of a bootstrap over groups."""


class CrossValidationRecord(Result):
    """The file that `cross-validate` writes; `train --cross-validation` and `cross-validate --against` read it."""

    config: TrainConfig
    labels: tuple[str, ...]
    metrics: CrossValidation = Field(validation_alias=AliasChoices("metrics", "figures"))
    """Older records call it `figures`."""
    videos: tuple[VideoOutcome, ...]
    advantage: Advantage | None = None

    def accuracy_by_path(self) -> dict[str, tuple[str, float]]:
        """For each video, its group and the fraction of seeds that predict it correctly."""
        groups = {video.path: video.group for video in self.videos}
        correct: dict[str, list[bool]] = {}
        for video in self.videos:
            probabilities, sums_to_one = np.array(video.probabilities), self.config.head.sums_to_one
            correct.setdefault(video.path, []).append(
                is_correct(probabilities, video.labels, self.labels, sums_to_one=sums_to_one)
            )
        return {path: (groups[path], float(np.mean(of_seeds))) for path, of_seeds in correct.items()}

    def compared_with(self, other: "CrossValidationRecord", path: Path) -> "CrossValidationRecord":
        """The same record with its advantage over `other`, which was read from `path`.

        Raises:
            TrainingDataError: the records have no video in common, or other labels.
        """
        return CrossValidationRecord(
            config=self.config,
            labels=self.labels,
            metrics=self.metrics,
            videos=self.videos,
            advantage=compute_advantage(self, other, path),
        )


def read_cross_validation(
    config: TrainConfig, examples: Sequence[Example], path: Path, *, skip_unreadable: bool
) -> CrossValidation:
    """Read the metrics from the record of this config and data; the held-out fold may differ.

    With `skip_unreadable`, the record may contain fewer videos than there are examples.

    Raises:
        TrainingDataError: the file is missing or no record, or belongs to another config or other data.
    """
    record = read_record(path)
    recorded = record.config.model_copy(update={"held_out_fold": config.held_out_fold})
    if recorded.recipe != config.recipe:
        raise TrainingDataError(f"{path}: this record belongs to another config")
    labels = labels_of(examples)
    if record.labels != labels:
        raise TrainingDataError(
            f"{path}: this record has the labels {', '.join(record.labels)}, and the data {', '.join(labels)}"
        )
    num_recorded, num_here = record.metrics.num_videos, sum(e.fold in record.metrics.folds for e in examples)
    if num_recorded > num_here or (num_recorded < num_here and not skip_unreadable):
        raise TrainingDataError(
            f"{path}: this record has {num_recorded} videos, and the data {num_here} in the same folds"
        )
    return record.metrics


def read_record(path: Path) -> CrossValidationRecord:
    """Read a record.

    Raises:
        TrainingDataError: the file cannot be read, or is no record.
    """
    try:
        return CrossValidationRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TrainingDataError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise TrainingDataError(f"{path}: not a record of cross-validate: {error.errors()[0]['msg']}") from error


def compute_advantage(record: CrossValidationRecord, other: CrossValidationRecord, path: Path) -> Advantage:
    """The accuracy of `record` minus that of `other`, which was read from `path`, on the videos in both.

    Raises:
        TrainingDataError: the records have no video in common, or other labels.
    """
    from model_training.evaluation.bootstrap import mean_interval  # noqa: PLC0415 - SciPy

    check_comparable(record.labels, {video.path for video in record.videos}, other, path)
    ours, theirs = record.accuracy_by_path(), other.accuracy_by_path()
    shared = sorted(ours.keys() & theirs.keys())
    gains = [ours[video][1] - theirs[video][1] for video in shared]
    return Advantage(
        than=path.name,
        num_videos=len(shared),
        accuracy_difference=round(float(np.mean(gains)), 4),
        interval=mean_interval(gains, [ours[video][0] for video in shared]),
    )


def check_comparable(labels: tuple[str, ...], videos: set[str], other: CrossValidationRecord, path: Path) -> None:
    """Check that `other` has the same labels and at least one of the videos.

    Raises:
        TrainingDataError: it does not.
    """
    if labels != other.labels:
        raise TrainingDataError(
            f"{path}: this record has the labels {', '.join(other.labels)}, not {', '.join(labels)}"
        )
    if videos.isdisjoint(video.path for video in other.videos):
        raise TrainingDataError(f"{path}: this record has no video in common with the data")
