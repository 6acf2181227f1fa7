"""OpenTelemetry traces: one span per request or job attempt, with a child span per stage, exported by OTLP.

Needs the extra `tracing`; the service imports this module only if tracing is on. OpenTelemetry's own variables
(`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`, ...) set endpoint, sampling and name.
Child spans are created from the recorded ones when the work has ended, so tracing does not slow the work itself.
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

from service.telemetry.spans import SpanRecorder

_W3C = TraceContextTextMapPropagator()


class ActiveSpan:
    """The span of a request or job attempt that has not ended yet."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def traceparent(self) -> str:
        """The W3C `traceparent` header that names this span; empty if OpenTelemetry is disabled."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(self._span))
        return carrier.get("traceparent", "")

    def end(self, name: str, attributes: Mapping[str, str | int], recorder: SpanRecorder, *, is_failure: bool) -> None:
        """End the span and add the recorded spans below it; `is_failure` means that the service is at fault."""
        if self._span.is_recording():
            self._span.update_name(name)
            self._span.set_attributes(dict(attributes))
            if is_failure:
                self._span.set_status(trace.StatusCode.ERROR)
            self._add_children(recorder)
        self._span.end()

    def _add_children(self, recorder: SpanRecorder) -> None:
        context = trace.set_span_in_context(self._span)
        to_unix_seconds = time.time() - time.perf_counter()
        for recorded in recorder.spans:
            child = self._tracer.start_span(
                recorded.name,
                context,
                attributes=recorded.attributes,
                start_time=_nanoseconds(recorded.started_at + to_unix_seconds),
            )
            child.end(_nanoseconds(recorded.ended_at + to_unix_seconds))


class Tracing:
    """Creates the spans of requests and job attempts, and exports them in the background.

    Call `start` before the first span and `close` at the end.
    """

    def __init__(self, version: str, *, close_timeout_seconds: float = 5) -> None:
        """`close_timeout_seconds` limits how long `close` waits for a collector that does not respond."""
        resource = Resource({"service.name": "framewise", "service.version": version})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._tracer = self._provider.get_tracer("service")
        self._close_timeout_seconds = close_timeout_seconds

    def start(self) -> None:
        """Start to export spans to the endpoint that the environment names."""
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))

    def start_request_span(self, headers: Mapping[str, str]) -> ActiveSpan:
        """Start the span of a request; a `traceparent` header makes it a child of the caller's span."""
        span = self._tracer.start_span("request", _W3C.extract(headers), kind=trace.SpanKind.SERVER)
        return ActiveSpan(self._tracer, span)

    def start_attempt_span(self, traceparent: str | None) -> ActiveSpan:
        """Start the span of a job attempt; `traceparent` is that of the request that submitted the job.

        The span is a child of the request's span and inherits its sampling decision. It also links to that span,
        for tools that ignore a child which starts after its parent has ended.
        """
        context = _W3C.extract({} if traceparent is None else {"traceparent": traceparent})
        submitted_by = trace.get_current_span(context).get_span_context()
        links = [trace.Link(submitted_by)] if submitted_by.is_valid else []
        span = self._tracer.start_span("job", context, kind=trace.SpanKind.CONSUMER, links=links)
        return ActiveSpan(self._tracer, span)

    def close(self) -> None:
        """Export the remaining spans, for at most `close_timeout_seconds`. Blocks."""
        closing = threading.Thread(target=self._provider.shutdown, name="tracing", daemon=True)
        closing.start()
        closing.join(self._close_timeout_seconds)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
