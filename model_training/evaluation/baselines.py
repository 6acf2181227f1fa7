"""What a model has to beat: guesses that see no movement, and one that sees no picture at all.

Where one of them is nearly as good as the model, the data gives the label away: by how files were made,
or by where they were filmed.
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
"""Of the way from always giving the most frequent answer to being always right."""
_NUM_FOLDS = 5
_MAX_ITERATIONS = 2000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BaselineScore(_Part):
    """How good a guess is. A video of several labels is right if all of them are."""

    accuracy: float
    macro_f1: float


class Baselines(_Part):
    """Guesses on the same videos: `majority` always answers what is most frequent in training.

    `metadata` sees size, rate, length, bytes and codec only: logistic regression. `mean_frame` answers
    as the training video whose mean picture is nearest.
    """

    majority: BaselineScore
    metadata: BaselineScore
    mean_frame: BaselineScore
    num_videos: int

    def beside(self, accuracy: float, macro_f1: float) -> list[tuple[str, BaselineScore]]:
        """A model's score and those of the guesses, each with its name, as tables show them."""
        return [("this model", BaselineScore(accuracy=accuracy, macro_f1=macro_f1)), *self.named()]

    def named(self) -> list[tuple[str, BaselineScore]]:
        """The scores of the guesses, each with its name."""
        return [
            ("metadata alone (size, rate, length, codec; logistic regression)", self.metadata),
            ("nearest mean picture in training", self.mean_frame),
            ("always the most frequent label", self.majority),
        ]

    def verdict(self, model_accuracy: float | None = None) -> str | None:
        """One sentence if the data gives the label away, None otherwise."""
        chance = self.majority.accuracy
        for score, how in (
            (self.metadata, "the files' metadata alone (size, rate, length, codec)"),
            (self.mean_frame, "the training video with the nearest mean picture"),
        ):
            is_near = model_accuracy is not None and score.accuracy >= model_accuracy - _NEAR_THE_MODEL
            if is_near or score.accuracy >= chance + _FAR_ABOVE_CHANCE * (1 - chance):
                against = "" if model_accuracy is None else f", the model {model_accuracy:.3f}"
                return (
                    f"The data gives the label away: {how} is right in {score.accuracy:.3f} of the videos (always the"
                    f" most frequent label: {chance:.3f}{against})."
                )
        return None


def measure_baselines(
    training: Sequence[DecodedVideo], test: Sequence[DecodedVideo], labels: Sequence[str]
) -> Baselines:
    """How well each guess, taught on `training`, answers `test`; neither is empty."""
    return _measured([(training, test)], labels)


def baselines_over_folds(videos: Sequence[DecodedVideo], folds: Sequence[int], labels: Sequence[str]) -> Baselines:
    """How well each guess answers the videos of these folds, each fold taught on all others; none is empty."""
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
    """The same over all videos, each answered from other groups than its own; None if there are too few groups."""
    from sklearn.model_selection import GroupKFold  # noqa: PLC0415 - as below

    num_folds = min(_NUM_FOLDS, len(set(groups)))
    if num_folds < 2:  # noqa: PLR2004 - one to learn from and one to ask
        return None
    folds = GroupKFold(num_folds).split(videos, groups=groups)
    return _measured((([videos[i] for i in taught], [videos[i] for i in asked]) for taught, asked in folds), labels)


def _measured(
    parts: Iterable[tuple[Sequence[DecodedVideo], Sequence[DecodedVideo]]], labels: Sequence[str]
) -> Baselines:
    """How good the guesses are over all parts together: of each, what teaches them and what they answer."""
    answers, truths = [], []
    for taught, asked in parts:
        answers.append(np.stack(_guesses(taught, asked, labels)))
        truths.append(_targets(asked, labels))
    truth = np.concatenate(truths)
    majority, metadata, mean_frame = (_score(answer, truth) for answer in np.concatenate(answers, axis=1))
    return Baselines(majority=majority, metadata=metadata, mean_frame=mean_frame, num_videos=len(truth))


def _guesses(
    training: Sequence[DecodedVideo], test: Sequence[DecodedVideo], labels: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What each guess answers, as targets float32 [N, K]."""
    # Loaded here: it takes a second, and many commands only read what was measured.
    from sklearn.feature_extraction import DictVectorizer  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    taught = _targets(training, labels)
    kinds, kind_of = np.unique(taught, axis=0, return_inverse=True)
    kind_of = kind_of.ravel()
    most = kinds[np.bincount(kind_of).argmax()]
    # Each set of labels that occurs counts as an answer of its own, so one label or several are the same to it.
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
    return np.repeat(most[None], len(test), axis=0), metadata, taught[nearest]


def _metadata(video: DecodedVideo) -> dict[str, float | str]:
    """What a file says without being decoded; texts count as present or not."""
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


def _score(answers: NDArray[np.float32], truths: NDArray[np.float32]) -> BaselineScore:
    hits = (answers * truths).sum(axis=0)
    f1 = 2 * hits / np.maximum(answers.sum(axis=0) + truths.sum(axis=0), 1)
    return BaselineScore(
        accuracy=round(float((answers == truths).all(axis=1).mean()), 4), macro_f1=round(float(f1.mean()), 4)
    )
