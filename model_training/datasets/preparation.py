"""The way from examples to a split that may be trained on: decode, find twins, refuse leaks, then split."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_training.config import TrainConfig
from model_training.datasets.clip_cache import CachedClip, DecodedVideo
from model_training.datasets.decoding import decode_examples, readable_videos
from model_training.datasets.duplicates import find_twins
from model_training.datasets.examples import Example, labels_of
from model_training.datasets.leakage import find_leaks, refuse_leaks, with_twins_grouped
from model_training.datasets.splits import Split, split_examples
from model_training.errors import TrainingDataError
from model_training.progress import RunProgress

_NUM_SIGMOID_LABELS = 2


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Examples by use, all decoded; `num_leaks` were allowed."""

    split: Split
    labels: tuple[str, ...]
    videos: dict[Example, DecodedVideo]
    num_leaks: int

    def clips(self, examples: Sequence[Example]) -> list[CachedClip]:
        """The clips of some examples, in order."""
        return [clip for example in examples for clip in self.videos[example].clips]


@dataclass(frozen=True, slots=True)
class CheckedVideos:
    """Decoded videos whose sides may be trained across; of `grouped`, in their order, no split parts twins.

    `num_leaks` were allowed.
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
    """Decode the examples, and refuse those that share a group or footage across the sides that `side_of` tells.

    Raises:
        TrainingDataError: the config's head cannot answer the labels, a video cannot be read, or the sides leak.
    """
    # What the names alone refuse is refused before hours of decoding; what is left out may take a label with it.
    _check_labels(config, examples)
    with display.bar("decode", len(examples), "videos") as on_video:
        decoding = decode_examples(examples, config.clip, cache_directory, on_video)
    videos = readable_videos(decoding, skip_unreadable=skip_unreadable)
    for left_out in decoding.unreadable:
        display.say(f"left out: {left_out.example.listed}: {left_out.reason}")
    kept = [video.example for video in videos]
    _check_labels(config, kept)
    twins = find_twins(videos)
    leaks = find_leaks(kept, twins, side_of)
    if not allow_leakage:
        refuse_leaks(leaks)
    return CheckedVideos(videos, tuple(with_twins_grouped(kept, twins)), len(leaks))


def _check_labels(config: TrainConfig, examples: Sequence[Example]) -> None:
    labels = labels_of(examples)
    if config.head.kind == "sigmoid" and len(labels) != _NUM_SIGMOID_LABELS:
        raise TrainingDataError(
            f'head.kind="sigmoid" answers two labels, but these videos have {len(labels)}: {", ".join(labels)}'
        )


def split_of(config: TrainConfig, examples: Sequence[Example]) -> Split:
    """The config's split of the examples, by their groups as they stand.

    Raises:
        TrainingDataError: there is none.
    """
    return split_examples(
        examples,
        held_out_fold=config.held_out_fold,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
    )


def settle_data(
    config: TrainConfig,
    examples: Sequence[Example],
    cache_directory: Path,
    display: RunProgress,
    *,
    skip_unreadable: bool,
    allow_leakage: bool,
) -> TrainingData:
    """Decode the examples, the held-out ones too, and split them so that no twins are parted.

    The same files and config always give the same split. Twins that the manifest's folds part are a
    leak, which no split can mend.

    Raises:
        TrainingDataError: a video cannot be read, the held-out fold leaks, or there is no such split.
    """
    # What the names alone refuse is refused before hours of decoding.
    split_of(config, examples)
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
    split = split_of(config, checked.grouped)
    parts = (
        tuple(as_given[example] for example in part) for part in (split.training, split.validation, split.held_out)
    )
    return TrainingData(Split(*parts), labels_of(kept), dict(zip(kept, checked.videos, strict=True)), checked.num_leaks)
