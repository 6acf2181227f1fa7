"""Records the spans of a request or of a job attempt: its stages, and how long each of them took.

The code that does the work calls `span` or `record_span` and knows neither the log nor the trace. A context variable
holds the recorder, so tasks of the request inherit it. Outside of a request or attempt, spans are dropped.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

# A video of one hour has thousands of clips with two spans each. Timings still cover all of them.
_MAX_SPANS = 256


@dataclass(frozen=True, slots=True)
class Span:
    """One stage of the work, by the clock of `time.perf_counter`."""

    name: str
    started_at: float
    ended_at: float
    attributes: dict[str, str | int]


@dataclass(slots=True)
class SpanRecorder:
    """Keeps the first 256 spans of one request or attempt, and the longest time of each stage.

    `traceparent` (W3C Trace Context) goes with the outgoing requests of the work.
    """

    traceparent: str | None = None
    spans: list[Span] = field(default_factory=list)
    longest_seconds: dict[str, float] = field(default_factory=dict)

    def add(self, span: Span) -> None:
        """Record a span that has ended."""
        seconds = span.ended_at - span.started_at
        self.longest_seconds[span.name] = max(seconds, self.longest_seconds.get(span.name, 0))
        if len(self.spans) < _MAX_SPANS:
            self.spans.append(span)

    @property
    def timings_ms(self) -> dict[str, float]:
        """Milliseconds by stage; where several clips went through a stage, the longest of them."""
        return {name: round(longest * 1000, 3) for name, longest in self.longest_seconds.items()}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the spans of the code inside the `with` block, and of the tasks it starts."""
        token = _recorder.set(self)
        try:
            yield
        finally:
            _recorder.reset(token)


_recorder: ContextVar[SpanRecorder | None] = ContextVar("span_recorder", default=None)


def record_span(name: str, started_at: float, ended_at: float, **attributes: str | int) -> None:
    """Record a span of the current request; `started_at` and `ended_at` are `time.perf_counter` values."""
    recorder = _recorder.get()
    if recorder is not None:
        recorder.add(Span(name, started_at, ended_at, attributes))


@contextmanager
def span(name: str) -> Iterator[None]:
    """Record the `with` block as a span of the current request, also if the block raises."""
    started_at = time.perf_counter()
    try:
        yield
    finally:
        record_span(name, started_at, time.perf_counter())


def current_traceparent() -> str | None:
    """The `traceparent` header for outgoing requests; None if the current request is not part of a trace."""
    recorder = _recorder.get()
    return None if recorder is None else recorder.traceparent
