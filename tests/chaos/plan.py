"""The events of a run, chosen before it starts and reproducible by the seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

_Variant = TypeVar("_Variant")
_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.2, 1.0
_MIN_HOLD_SECONDS, _MAX_HOLD_SECONDS = 0.2, 3.0


@dataclass(frozen=True)
class PlannedEvent:
    """One event: its cause, how long that lasts, and the pause before it."""

    cause: str
    pause_seconds: float
    hold_seconds: float
    """For a cause that lasts; a kill does not."""
    choice: float
    """In [0, 1): selects among the variants of the cause, such as which worker or how far the clock jumps."""


def plan_events(causes: Sequence[str], num_events: int, seed: int) -> list[PlannedEvent]:
    """Rounds of all causes, each round in an order of its own; the last round may be incomplete."""
    rng = random.Random(seed)  # noqa: S311 - the seed makes a run reproducible
    events: list[PlannedEvent] = []
    while len(events) < num_events:
        events += [_event(cause, rng) for cause in rng.sample(list(causes), len(causes))]
    return events[:num_events]


def chosen(variants: Sequence[_Variant], event: PlannedEvent) -> _Variant:
    """The variant that the event selects."""
    return variants[int(event.choice * len(variants))]


def _event(cause: str, rng: random.Random) -> PlannedEvent:
    return PlannedEvent(
        cause,
        pause_seconds=round(rng.uniform(_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS), 3),
        hold_seconds=round(rng.uniform(_MIN_HOLD_SECONDS, _MAX_HOLD_SECONDS), 3),
        choice=rng.random(),
    )
