"""The way from examples to a split that may be trained on: decode, find twins, refuse leaks, then split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_training.clip_store import CachedClip, DecodedVideo
from model_training.config import TrainConfig
from model_training.datasets import Example, labels_of
from model_training.duplicates import find_twins
from model_training.frames import decode_examples, readable_videos
from model_training.leakage import find_leaks, refuse_leaks, with_twins_grouped
from model_training.progress import RunProgress
from model_training.splits import Split, split_examples


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
    with display.bar("decode", len(examples), "videos") as on_video:
        decoding = decode_examples(examples, config.clip, cache_directory, on_video)
    videos = readable_videos(decoding, skip_unreadable=skip_unreadable)
    for left_out in decoding.unreadable:
        display.say(f"left out: {left_out.example.name}: {left_out.reason}")
    kept = [video.example for video in videos]
    twins = find_twins(videos)
    leaks = [] if config.held_out_fold is None else find_leaks(kept, twins, lambda e: e.fold == config.held_out_fold)
    if not allow_leakage:
        refuse_leaks(leaks)
    grouped = with_twins_grouped(kept, twins)
    as_given = dict(zip(grouped, kept, strict=True))
    split = split_of(config, grouped)
    parts = (
        tuple(as_given[example] for example in part) for part in (split.training, split.validation, split.held_out)
    )
    return TrainingData(Split(*parts), labels_of(kept), dict(zip(kept, videos, strict=True)), len(leaks))
