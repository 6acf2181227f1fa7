"""Prepares examples for training: decode, find duplicates, refuse leaks, then split."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_training.config import TrainConfig
from model_training.datasets.clip_cache import CachedClip, DecodedVideo
from model_training.datasets.decoding import decode_examples, readable_videos
from model_training.datasets.duplicates import find_duplicates
from model_training.datasets.examples import Example, labels_of
from model_training.datasets.leakage import find_leaks, group_duplicates, refuse_leaks
from model_training.datasets.splits import Split, split_examples
from model_training.errors import TrainingDataError
from model_training.progress import RunProgress

_NUM_SIGMOID_LABELS = 2


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Decoded examples and their split; `num_leaks` counts the leaks that were allowed."""

    split: Split
    labels: tuple[str, ...]
    videos: dict[Example, DecodedVideo]
    num_leaks: int

    def clips(self, examples: Sequence[Example]) -> list[CachedClip]:
        """The clips of `examples`, in their order."""
        return [clip for example in examples for clip in self.videos[example].clips]


@dataclass(frozen=True, slots=True)
class CheckedVideos:
    """Decoded videos without leaks between sides, but for `num_leaks` that were allowed.

    `grouped` are the examples of `videos`, in the same order, with the groups of duplicates merged.
    """

    videos: tuple[DecodedVideo, ...]
    grouped: tuple[Example, ...]
    num_leaks: int


def check_videos(
    config: TrainConfig,
    examples: Sequence[Example],
    side_of: Callable[[Example], Hashable],
    cache_directory: Path,
    display: RunProgress,
    *,
    skip_unreadable: bool,
    allow_leakage: bool,
) -> CheckedVideos:
    """Decode the examples and check that no group and no footage is on two of the sides given by `side_of`.

    Raises:
        TrainingDataError: the config's head does not fit the number of labels, a video cannot be read, or the sides
            leak.
    """
    # Checked before hours of decoding, and again afterwards: a video left out may have been the last of its label.
    _check_labels(config, examples)
    with display.bar("decode", len(examples), "videos") as on_video:
        decoding = decode_examples(examples, config.clip, cache_directory, on_video)
    videos = readable_videos(decoding, skip_unreadable=skip_unreadable)
    for left_out in decoding.unreadable:
        display.log(f"left out: {left_out.example.listed}: {left_out.reason}")
    kept = [video.example for video in videos]
    _check_labels(config, kept)
    duplicates = find_duplicates(videos)
    leaks = find_leaks(kept, duplicates, side_of)
    if not allow_leakage:
        refuse_leaks(leaks)
    return CheckedVideos(videos, tuple(group_duplicates(kept, duplicates)), len(leaks))


def _check_labels(config: TrainConfig, examples: Sequence[Example]) -> None:
    labels = labels_of(examples)
    if config.head.kind == "sigmoid" and len(labels) != _NUM_SIGMOID_LABELS:
        raise TrainingDataError(
            f'head.kind="sigmoid" needs two labels, but these videos have {len(labels)}: {", ".join(labels)}'
        )


def split_by_config(config: TrainConfig, examples: Sequence[Example]) -> Split:
    """Split the examples as the config says, by their present groups.

    Raises:
        TrainingDataError: no such split exists.
    """
    return split_examples(
        examples,
        held_out_fold=config.held_out_fold,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
    )


def prepare_data(
    config: TrainConfig,
    examples: Sequence[Example],
    cache_directory: Path,
    display: RunProgress,
    *,
    skip_unreadable: bool,
    allow_leakage: bool,
) -> TrainingData:
    """Decode all examples, held-out ones included, and split them with duplicates on one side.

    The same files and config always give the same split. Duplicates that the manifest puts in different folds
    are a leak.

    Raises:
        TrainingDataError: a video cannot be read, the held-out fold leaks, or no such split exists.
    """
    # What the names alone refuse is refused before hours of decoding.
    split_by_config(config, examples)
    held_out_fold = config.held_out_fold
    checked = check_videos(
        config,
        examples,
        lambda example: held_out_fold is not None and example.fold == held_out_fold,
        cache_directory,
        display,
        skip_unreadable=skip_unreadable,
        allow_leakage=allow_leakage,
    )
    kept = [video.example for video in checked.videos]
    as_given = dict(zip(checked.grouped, kept, strict=True))
    split = split_by_config(config, checked.grouped)
    parts = (
        tuple(as_given[example] for example in part) for part in (split.training, split.validation, split.held_out)
    )
    return TrainingData(Split(*parts), labels_of(kept), dict(zip(kept, checked.videos, strict=True)), checked.num_leaks)
