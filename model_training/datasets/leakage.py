"""What would let a model be tested on what it was taught: groups and twins on both sides of a split.

Twins are pairs of places in the list of examples. Opens no video.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from model_training.datasets.duplicates import Twins
from model_training.datasets.examples import Example
from model_training.errors import TrainingDataError


@dataclass(frozen=True, slots=True)
class Leak:
    """Two examples on different sides, and what they share."""

    first: Example
    second: Example
    shared: str

    def __str__(self) -> str:
        one, other = (f"{example.name} (fold {example.fold})" for example in (self.first, self.second))
        return f"{one} and {other}: {self.shared}"


def find_leaks(
    examples: Sequence[Example], twins: Sequence[Twins], side_of: Callable[[Example], Hashable]
) -> list[Leak]:
    """One leak for each group with examples on two sides, and one for each pair of twins on two sides."""
    leaks = []
    first_of: dict[tuple[str, Hashable], Example] = {}
    for example in examples:
        first_of.setdefault((example.group, side_of(example)), example)
    firsts: dict[str, Example] = {}
    for (group, _), example in first_of.items():
        first = firsts.setdefault(group, example)
        if first is not example:
            leaks.append(Leak(first, example, f"group {group!r}"))
    for pair in twins:
        one, other = examples[pair.first], examples[pair.second]
        if one.group != other.group and side_of(one) != side_of(other):
            leaks.append(Leak(one, other, pair.likeness))
    return leaks


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """Nothing, if there are none.

    Raises:
        TrainingDataError: there are; the message names the first.
    """
    if leaks:
        more = f" and {len(leaks) - 1} more like it" if len(leaks) > 1 else ""
        raise TrainingDataError(
            f"the held-out fold leaks: {leaks[0]}{more}; give both the same fold or leave one out (validate-data"
            " lists them), or train all the same with --allow-leakage"
        )


def with_twins_grouped(examples: Sequence[Example], twins: Sequence[Twins]) -> list[Example]:
    """The examples, groups that share twins made one, so that no split parts them."""
    parents = {example.group: example.group for example in examples}

    def root(group: str) -> str:
        while parents[group] != group:
            group = parents[group]
        return group

    for pair in twins:
        one, other = sorted((root(examples[pair.first].group), root(examples[pair.second].group)))
        parents[other] = one
    return [replace(example, group=root(example.group)) for example in examples]
