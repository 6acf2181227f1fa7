"""Traces for OpenTelemetry: one span a request, one below it for each stage, sent to a collector by OTLP.

Needs the extra `tracing`, and is imported only where tracing is asked for. Where to send to, what to keep
and under which name is said by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`, ...). Spans of stages are made when the request has ended, from
what it was told of them: while it is worked on, a traced request costs what any other does.
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

from service.stages import Stages

_W3C = TraceContextTextMapPropagator()
_FIRST_SERVER_ERROR = 500
# A collector that is gone does not keep a service from ending.
_CLOSE_SECONDS = 5


class RequestSpan:
    """The span of one request that is being worked on."""

    def __init__(self, tracer: trace.Tracer, headers: Mapping[str, str]) -> None:
        """`headers` are the request's; a `traceparent` among them makes this a part of the caller's trace."""
        self._tracer = tracer
        self._span = tracer.start_span("request", _W3C.extract(headers), kind=trace.SpanKind.SERVER)

    @property
    def traceparent(self) -> str:
        """What names this span to others, as W3C has it."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(self._span))
        return carrier["traceparent"]

    def end(self, name: str, status: int, attributes: Mapping[str, str | int], stages: Stages) -> None:
        """The request has ended after these stages."""
        if self._span.is_recording():
            self._span.update_name(name)
            self._span.set_attributes({**attributes, "http.response.status_code": status})
            if status >= _FIRST_SERVER_ERROR:
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
    """Begins the spans of requests, and from its start on sends them in the background; close it in the end."""

    def __init__(self, version: str) -> None:
        resource = Resource({"service.name": "framewise", "service.version": version})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._tracer = self._provider.get_tracer("service")

    def start(self) -> None:
        """Begin to send, to where the environment says."""
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))

    def begin(self, headers: Mapping[str, str]) -> RequestSpan:
        """A request has come."""
        return RequestSpan(self._tracer, headers)

    def close(self) -> None:
        """Send what is left, as far as that goes quickly. Blocks."""
        closing = threading.Thread(target=self._provider.shutdown, name="tracing", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
