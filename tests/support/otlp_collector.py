"""A receiver of OTLP traces over HTTP."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class _Export(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Collector"

    def do_POST(self) -> None:
        """Receive one export."""
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        self.server.take(self.path, request)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


class Collector(ThreadingHTTPServer):
    """Keeps every span that it receives."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Export)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.trace_ids: set[str] = set()
        self.resource: dict[str, str] = {}
        self._spans: list[Span] = []
        self._has_more = threading.Condition()

    def take(self, path: str, request: ExportTraceServiceRequest) -> None:
        """Keep the exported spans."""
        assert path == "/v1/traces"
        with self._has_more:
            for exported in request.resource_spans:
                self.resource = {pair.key: pair.value.string_value for pair in exported.resource.attributes}
                self._spans.extend(span for scope in exported.scope_spans for span in scope.spans)
            self._has_more.notify_all()

    def trace(self, request_id: str) -> list[Span]:
        """The spans of this request's trace, the request's own first. Waits until that one has arrived."""
        root = self._wait_for(
            lambda span: span.kind == Span.SPAN_KIND_SERVER and attributes(span).get("request_id") == request_id
        )
        with self._has_more:
            return [root, *(span for span in self._spans if span.trace_id == root.trace_id and span is not root)]

    def job(self, job_id: str) -> Span:
        """The span of an attempt to run this job, with the spans of its steps. Waits until it has arrived."""
        return self._wait_for(lambda span: span.name == "job" and attributes(span)["job_id"] == job_id)

    def _wait_for(self, is_wanted: Callable[[Span], bool]) -> Span:
        """The first span that matches. Waits until it has arrived."""

        def found() -> Span | None:
            return next((span for span in self._spans if is_wanted(span)), None)

        with self._has_more:
            assert self._has_more.wait_for(found, timeout=120), "the span was not exported"
            span = found()
            assert span is not None
            self.trace_ids = {span.trace_id.hex() for span in self._spans}
            return span


def attributes(span: Span) -> dict[str, str | int]:
    """The span's attributes."""
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}


@contextmanager
def otlp_collector() -> Iterator[Collector]:
    """A collector for the length of the context."""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()
