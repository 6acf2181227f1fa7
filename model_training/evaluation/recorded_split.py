"""Which videos a model was trained on, found again by the digests that its card keeps."""

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
    """How many videos there are of what, and a digest of what they are, whatever their files are called."""
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
    """The split of the examples whose uses are those `recorded`, to the byte, the label and the group.

    Whether twins were kept on one side and unreadable videos left out, as trainings of different age did and
    did not, is told by which of these splits fits.

    Raises:
        TrainingDataError: none does; the message says where the last one differs.
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
    """Without decoding, then with twins on one side, then with them wherever their groups are."""
    yield split_by_config(config, examples)
    data = prepare_data(config, examples, cache_directory, display, skip_unreadable=True, allow_leakage=True)
    yield data.split
    yield split_by_config(config, list(data.videos))


def _difference(split: Split, recorded: Mapping[str, DataUse]) -> str:
    """In what the first use that differs does; empty where none does."""
    uses = {"training": split.training, "validation": split.validation, "held_out": split.held_out}
    # Counts come first: they need no file read.
    for use, part in uses.items():
        if len(part) != recorded[use].num_videos:
            return (
                f"its card counts {recorded[use].num_videos} {use.replace('_', '-')} videos, and here are {len(part)}"
            )
    for use, part in uses.items():
        if describe_use(part) != recorded[use]:
            return f"its {use.replace('_', '-')} videos, their labels or groups are others than its card's digest says"
    return ""
