"""The record of a cross-validation, as it is kept on disk and compared with another."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from model_training.config import TrainConfig
from model_training.datasets.examples import Example, labels_of
from model_training.errors import TrainingDataError
from model_training.evaluation.results import CrossValidation, Interval, Result


class VideoOutcome(Result):
    """What the exported model of one run answers for a video of the fold that it never saw.

    `path` is below the data's folder, or absolute where the video lies elsewhere.
    """

    path: str
    labels: tuple[str, ...]
    group: str
    fold: int
    seed: int
    probabilities: tuple[float, ...]


class Advantage(Result):
    """How much more often one config is right than another, on the videos that both answered."""

    than: str
    """The other config's file."""
    num_videos: int
    accuracy_difference: float
    interval: Interval | None = None
    """Of 95 %, whole groups drawn."""


class CrossValidationRecord(Result):
    """What `cross-validate` writes, and what `train --cross-validation` and `cross-validate --against` read."""

    config: TrainConfig
    labels: tuple[str, ...]
    figures: CrossValidation
    videos: tuple[VideoOutcome, ...]
    advantage: Advantage | None = None

    def accuracy_by_path(self) -> dict[str, tuple[str, float]]:
        """For each video, its group and how often the answers to it are right, over the seeds."""
        from model_training.cross_validation.folds import is_right  # noqa: PLC0415

        groups = {video.path: video.group for video in self.videos}
        rights: dict[str, list[bool]] = {}
        for video in self.videos:
            answer, sums_to_one = np.array(video.probabilities), self.config.head.sums_to_one
            right = is_right(answer, video.labels, self.labels, sums_to_one=sums_to_one)
            rights.setdefault(video.path, []).append(right)
        return {path: (groups[path], float(np.mean(right))) for path, right in rights.items()}


def read_cross_validation(
    config: TrainConfig, examples: Sequence[Example], path: Path, *, skip_unreadable: bool
) -> CrossValidation:
    """The figures in a file that `cross-validate` wrote for this config and data; the held-out fold may differ.

    With `skip_unreadable`, it may have answered fewer videos than there are examples.

    Raises:
        TrainingDataError: there is no such file, it is another, or it is of another config or other data.
    """
    record = read_record(path)
    if record.config.model_copy(update={"held_out_fold": config.held_out_fold}).recipe != config.recipe:
        raise TrainingDataError(f"{path}: was made by another config than the one to train")
    labels = labels_of(examples)
    if record.labels != labels:
        raise TrainingDataError(f"{path}: is of the labels {', '.join(record.labels)}, not of {', '.join(labels)}")
    num_answered, num_here = record.figures.num_videos, sum(e.fold in record.figures.folds for e in examples)
    if num_answered > num_here or (num_answered < num_here and not skip_unreadable):
        raise TrainingDataError(f"{path}: is of {num_answered} videos, and the data has {num_here} in the same folds")
    return record.figures


def read_record(path: Path) -> CrossValidationRecord:
    """The record in the file.

    Raises:
        TrainingDataError: it cannot be read, or is no record.
    """
    try:
        return CrossValidationRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TrainingDataError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise TrainingDataError(f"{path}: not what cross-validate writes: {error.errors()[0]['msg']}") from error


def compute_advantage(record: CrossValidationRecord, other: CrossValidationRecord, path: Path) -> Advantage:
    """How much more often `record` is right than `other`, which lies in `path`.

    Raises:
        TrainingDataError: they have no video in common, or other labels.
    """
    from model_training.evaluation.bootstrap import mean_interval  # noqa: PLC0415

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
    """Check that two cross-validations are of the same labels and videos.

    Raises:
        TrainingDataError: they are not.
    """
    if labels != other.labels:
        raise TrainingDataError(f"{path}: is of the labels {', '.join(other.labels)}, not of {', '.join(labels)}")
    if videos.isdisjoint(video.path for video in other.videos):
        raise TrainingDataError(f"{path}: answers none of the same videos")
