"""How far a request, or an attempt to run a job, came, and how long each stage took: for its log line and its trace.

Whoever does the work says so here and needs to know neither. A stage belongs to the request or attempt in whose
context it is told, tasks of it included; outside of any nobody listens.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

# A video of an hour has thousands of clips, each with stages of its own; the longest are known all the same.
_MAX_KEPT = 256


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage, by the clock of `time.perf_counter`."""

    name: str
    started_at: float
    ended_at: float
    facts: dict[str, str | int]


@dataclass(slots=True)
class Stages:
    """The stages of one request or attempt; its own requests to others carry `traceparent`, as W3C has it."""

    traceparent: str | None = None
    kept: list[Stage] = field(default_factory=list)
    longest_seconds: dict[str, float] = field(default_factory=dict)

    def add(self, stage: Stage) -> None:
        """One stage has ended."""
        seconds = stage.ended_at - stage.started_at
        self.longest_seconds[stage.name] = max(seconds, self.longest_seconds.get(stage.name, 0))
        if len(self.kept) < _MAX_KEPT:
            self.kept.append(stage)

    @property
    def timings_ms(self) -> dict[str, float]:
        """How long each stage took; of those that several clips had, the longest."""
        return {name: round(longest * 1000, 3) for name, longest in self.longest_seconds.items()}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep the stages that are told in the context."""
        token = _listening.set(self)
        try:
            yield
        finally:
            _listening.reset(token)


_listening: ContextVar[Stages | None] = ContextVar("stages", default=None)


def tell_stage(name: str, started_at: float, ended_at: float, **facts: str | int) -> None:
    """A stage of the present request lasted from `started_at` to `ended_at`."""
    stages = _listening.get()
    if stages is not None:
        stages.add(Stage(name, started_at, ended_at, facts))


@contextmanager
def stage(name: str) -> Iterator[None]:
    """The context is a stage of the present request, however it ends."""
    started_at = time.perf_counter()
    try:
        yield
    finally:
        tell_stage(name, started_at, time.perf_counter())


def traceparent() -> str | None:
    """What the present request's own requests to others are to carry, if it is part of a trace."""
    stages = _listening.get()
    return None if stages is None else stages.traceparent
