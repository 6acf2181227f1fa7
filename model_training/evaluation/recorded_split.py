"""Recovers the training, validation and held-out videos of a model by the digests in its card."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from model_training.config import TrainConfig
from model_training.datasets.clip_cache import file_digests
from model_training.datasets.examples import Example
from model_training.datasets.preparation import prepare_data, split_by_config
from model_training.datasets.splits import Split
from model_training.errors import TrainingDataError
from model_training.evaluation.results import DataUse
from model_training.progress import RunProgress


def describe_use(examples: Sequence[Example]) -> DataUse:
    """Count the videos and compute a digest of their contents and annotations; file names do not matter."""
    digests = file_digests(examples)
    lines = sorted(
        f"{digests[example.path][0]} {example.labels} {example.group} {example.segment_seconds} {example.event_seconds}"
        for example in examples
    )
    return DataUse(
        num_videos=len(examples),
        num_groups=len({example.group for example in examples}),
        per_label=dict(sorted(Counter(label for example in examples for label in example.labels).items())),
        digest="sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    )


def recorded_split(
    config: TrainConfig,
    recorded: Mapping[str, DataUse],
    examples: Sequence[Example],
    cache_directory: Path,
    display: RunProgress,
) -> Split:
    """Find the split of the examples whose digests are those `recorded` in the card.

    Versions of training split differently: with or without duplicates on one side, with or without unreadable
    videos. Each of these splits is tried.

    Raises:
        TrainingDataError: no split matches; the message describes the difference of the last one.
    """
    difference = ""
    for split in _possible_splits(config, examples, cache_directory, display):
        difference = _difference(split, recorded)
        if not difference:
            return split
    raise TrainingDataError(f"not the data that the model was trained on: {difference}")


def _possible_splits(
    config: TrainConfig, examples: Sequence[Example], cache_directory: Path, display: RunProgress
) -> Iterator[Split]:
    """Splits without decoding, with duplicates on one side, and with duplicates split by their groups."""
    yield split_by_config(config, examples)
    data = prepare_data(config, examples, cache_directory, display, skip_unreadable=True, allow_leakage=True)
    yield data.split
    yield split_by_config(config, list(data.videos))


def _difference(split: Split, recorded: Mapping[str, DataUse]) -> str:
    """Describe the first difference to the recorded uses; empty without a difference."""
    uses = {"training": split.training, "validation": split.validation, "held_out": split.held_out}
    # Counts first: they need no file reads.
    for use, part in uses.items():
        if len(part) != recorded[use].num_videos:
            return f"the card lists {recorded[use].num_videos} {use.replace('_', '-')} videos, the data {len(part)}"
    for use, part in uses.items():
        if describe_use(part) != recorded[use]:
            return f"the {use.replace('_', '-')} videos, their labels or groups do not match the digest in the card"
    return ""
