"""Splits examples into training, validation and held-out fold; a group is never divided. Opens no video."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from model_training.datasets.examples import Example, labels_of
from model_training.errors import TrainingDataError

_NO_LABEL = ""


@dataclass(frozen=True, slots=True)
class Split:
    """The examples of each part; no group is in both training and validation."""

    training: tuple[Example, ...]
    validation: tuple[Example, ...]
    held_out: tuple[Example, ...]


def split_examples(
    examples: Sequence[Example], *, held_out_fold: int | None, validation_fraction: float, seed: int
) -> Split:
    """Hold out a fold, then take whole groups of the rest for validation; deterministic in `seed`.

    Groups are visited in a random order. A group goes to validation if it brings the label counts there
    closer to `validation_fraction` of the whole. `leakage` checks the held-out fold for leaks.

    Raises:
        TrainingDataError: no video is in that fold, or a label is missing from training or validation.
    """
    held_out = [e for e in examples if held_out_fold is not None and e.fold == held_out_fold]
    rest = [e for e in examples if held_out_fold is None or e.fold != held_out_fold]
    if held_out_fold is not None and not held_out:
        raise TrainingDataError(
            f"no video is in fold {held_out_fold}, which the config holds out: set held_out_fold=None, or give a"
            " manifest with that fold"
        )
    chosen = _validation_groups(rest, validation_fraction, seed)
    training = tuple(e for e in rest if e.group not in chosen)
    validation = tuple(e for e in rest if e.group in chosen)
    for use, part in (("training", training), ("validation", validation)):
        absent = set(labels_of(examples)) - set(labels_of(part))
        if absent:
            label = min(absent)
            first = next(example for example in examples if label in example.labels)
            raise TrainingDataError(f"{first.listed}: label {label!r} has too few groups: none is left for {use}")
    return Split(training, validation, tuple(held_out))


def _validation_groups(examples: Sequence[Example], fraction: float, seed: int) -> set[str]:
    # Videos without any label are the negatives: they are counted like a label.
    labels_of_each = [(example.group, example.labels or (_NO_LABEL,)) for example in examples]
    counts: dict[str, Counter[str]] = {}
    for group, labels in labels_of_each:
        counts.setdefault(group, Counter()).update(labels)
    wanted = {
        label: max(1.0, fraction * n)
        for label, n in Counter(label for _, labels in labels_of_each for label in labels).items()
    }
    groups_left = Counter(label for group in counts.values() for label in group)
    taken: Counter[str] = Counter()
    chosen: set[str] = set()

    def distance(have: Counter[str]) -> float:
        return sum(abs(n - have[label]) for label, n in wanted.items())

    for group in sorted(counts, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest()):
        leaves_some = all(groups_left[label] > 1 for label in counts[group])
        if leaves_some and distance(taken + counts[group]) < distance(taken):
            taken += counts[group]
            groups_left -= Counter(counts[group].keys())
            chosen.add(group)
    return chosen
