"""Leaks between the sides of a split: groups and duplicates with an example on both. Opens no video."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from model_training.datasets.duplicates import DuplicatePair
from model_training.datasets.examples import Example
from model_training.errors import TrainingDataError


@dataclass(frozen=True, slots=True)
class Leak:
    """Two examples on different sides of a split, and their common group or match type."""

    first: Example
    second: Example
    shared: str

    def __str__(self) -> str:
        one, other = (f"{example.name} (fold {example.fold})" for example in (self.first, self.second))
        return f"{one} and {other}: {self.shared}"


def find_leaks(
    examples: Sequence[Example], duplicates: Sequence[DuplicatePair], side_of: Callable[[Example], Hashable]
) -> list[Leak]:
    """Find a leak for each group on two sides and for each pair of duplicates on two sides.

    `duplicates` index `examples`. `side_of` maps an example to its side of the split.
    """
    leaks = []
    first_of: dict[tuple[str, Hashable], Example] = {}
    for example in examples:
        first_of.setdefault((example.group, side_of(example)), example)
    firsts: dict[str, Example] = {}
    for (group, _), example in first_of.items():
        first = firsts.setdefault(group, example)
        if first is not example:
            leaks.append(Leak(first, example, f"group {group!r}"))
    for pair in duplicates:
        one, other = examples[pair.first], examples[pair.second]
        if one.group != other.group and side_of(one) != side_of(other):
            leaks.append(Leak(one, other, pair.match_type))
    return leaks


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """Raise an error if there are leaks.

    Raises:
        TrainingDataError: there is a leak; the message names the first.
    """
    if leaks:
        more = f" and {len(leaks) - 1} more like it" if len(leaks) > 1 else ""
        raise TrainingDataError(
            f"the held-out fold leaks: {leaks[0]}{more}; give both the same fold or leave one out (validate-data"
            " lists them), or train anyway with --allow-leakage"
        )


def group_duplicates(examples: Sequence[Example], duplicates: Sequence[DuplicatePair]) -> list[Example]:
    """The examples with groups that share duplicates merged, so that no split separates the duplicates."""
    parents = {example.group: example.group for example in examples}

    def root(group: str) -> str:
        while parents[group] != group:
            group = parents[group]
        return group

    for pair in duplicates:
        one, other = sorted((root(examples[pair.first].group), root(examples[pair.second].group)))
        parents[other] = one
    return [replace(example, group=root(example.group)) for example in examples]
