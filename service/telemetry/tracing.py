"""Traces for OpenTelemetry: one span a request or attempt of a job, one below it for each stage, sent by OTLP.

Needs the extra `tracing`, and is imported only where tracing is asked for. Where to send to, what to keep
and under which name is said by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`, ...). Spans of stages are made when the work has ended, from
what was told of them: while it is done, traced work costs what any other does.
"""

import threading
import time
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.telemetry.spans import Stages

_W3C = TraceContextTextMapPropagator()
# A collector that is gone does not keep a service from ending.
_CLOSE_SECONDS = 5


class Work:
    """The span of one piece of work that is being done: a request, or an attempt to run a job."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def traceparent(self) -> str:
        """What names this span to others, as W3C has it; empty where OpenTelemetry is switched off."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(self._span))
        return carrier.get("traceparent", "")

    def end(self, name: str, attributes: Mapping[str, str | int], stages: Stages, *, is_failure: bool) -> None:
        """The work has ended after these stages; `is_failure` says that it was us who failed."""
        if self._span.is_recording():
            self._span.update_name(name)
            self._span.set_attributes(dict(attributes))
            if is_failure:
                self._span.set_status(trace.StatusCode.ERROR)
            self._add(stages)
        self._span.end()

    def _add(self, stages: Stages) -> None:
        context = trace.set_span_in_context(self._span)
        to_unix_seconds = time.time() - time.perf_counter()
        for stage in stages.kept:
            span = self._tracer.start_span(
                stage.name,
                context,
                attributes=stage.facts,
                start_time=_nanoseconds(stage.started_at + to_unix_seconds),
            )
            span.end(_nanoseconds(stage.ended_at + to_unix_seconds))


class Tracing:
    """Begins the spans of requests and jobs; from its start on sends them in the background; close it in the end."""

    def __init__(self, version: str) -> None:
        resource = Resource({"service.name": "framewise", "service.version": version})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._tracer = self._provider.get_tracer("service")

    def start(self) -> None:
        """Begin to send, to where the environment says."""
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))

    def begin_request(self, headers: Mapping[str, str]) -> Work:
        """A request has come; a `traceparent` among its headers makes it a part of the caller's trace."""
        span = self._tracer.start_span("request", _W3C.extract(headers), kind=trace.SpanKind.SERVER)
        return Work(self._tracer, span)

    def begin_attempt(self, traceparent: str | None) -> Work:
        """A job is being run that the request of that `traceparent` asked for, perhaps long ago.

        It is a part of that request's trace, and sampled as that was; the link beside it is where those look
        who expect no child to begin after its parent has ended.
        """
        context = _W3C.extract({} if traceparent is None else {"traceparent": traceparent})
        asked_by = trace.get_current_span(context).get_span_context()
        links = [trace.Link(asked_by)] if asked_by.is_valid else []
        span = self._tracer.start_span("job", context, kind=trace.SpanKind.CONSUMER, links=links)
        return Work(self._tracer, span)

    def close(self) -> None:
        """Send what is left, as far as that goes quickly. Blocks."""
        closing = threading.Thread(target=self._provider.shutdown, name="tracing", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
