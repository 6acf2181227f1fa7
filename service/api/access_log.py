"""Gives each request an id, and logs, counts and traces it: one line of JSON for each request."""

import logging
import re
import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry.metrics import Metrics
from service.telemetry.spans import SpanRecorder

if TYPE_CHECKING:
    from service.telemetry.tracing import Tracing

_log = logging.getLogger(__name__)
_access_log = logging.getLogger("service.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_CLIENT_CLOSED = 499
_HEALTH_PROBES = frozenset({"/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})


def note(request: Request, **fields: object) -> None:
    """Add fields to the log line of this request."""
    request.state.log_fields.update(fields)


class AccessLog:
    """Middleware that gives each request an id, and logs, counts and traces it at its end."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: "Tracing | None", *, logs_probes: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._logs_probes = logs_probes
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = _RequestRecord(scope, self._tracing)
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = record.request_id
            await send(message)

        try:
            with record.spans.recording():
                await self._app(scope, receive, send_with_id)
        except Exception:
            if status is None:
                raise
            # A problem was already sent. If the error were raised again, the server would close the connection, and a
            # client that still sends its body would not read that response.
            _log.exception("unexpected error", extra={"request_id": record.request_id})
        finally:
            record.end(status, self._metrics, logs_probes=self._logs_probes)


class _RequestRecord:
    """The id, spans and log fields of one request."""

    def __init__(self, scope: Scope, tracing: "Tracing | None") -> None:
        headers = Headers(scope=scope)
        client_id = headers.get("x-request-id", "")
        self.request_id = client_id if _REQUEST_ID.fullmatch(client_id) else uuid.uuid4().hex
        self._scope = scope
        self._fields: dict[str, object] = {}
        scope.setdefault("state", {}).update(request_id=self.request_id, log_fields=self._fields)
        self._span = None if tracing is None else tracing.start_request_span(headers)
        traceparent = headers.get("traceparent", "") if self._span is None else self._span.traceparent
        trace = _TRACEPARENT.fullmatch(traceparent)
        if trace is not None:
            self._fields["trace_id"] = trace[1]
        self.spans = SpanRecorder(traceparent=traceparent if trace is not None else None)
        self._started_at = time.perf_counter()

    def end(self, status: int | None, metrics: Metrics, *, logs_probes: bool) -> None:
        """Log, count and trace the request; `status` is None if the client left or the process is ending."""
        seconds = time.perf_counter() - self._started_at
        route: str | None = getattr(self._scope.get("route"), "path", None)
        method = self._scope["method"]
        metrics.count_request(route, status or _CLIENT_CLOSED, seconds)
        timings_ms = self.spans.timings_ms
        # A prediction has timings of the same stages.
        timings = {} if not timings_ms or "timings_ms" in self._fields else {"timings_ms": timings_ms}
        if logs_probes or not _is_expected_of_a_probe(route, status):
            _access_log.info(
                "request",
                extra={
                    "request_id": self.request_id,
                    "method": method,
                    "path": self._scope["path"],
                    "status": status,
                    "milliseconds": round(seconds * 1000, 1),
                    **timings,
                    **self._fields,
                },
            )
        if self._span is not None:
            attributes: dict[str, str | int] = {
                "http.request.method": method,
                "url.path": self._scope["path"],
                "request_id": self.request_id,
            }
            attributes |= {name: value for name, value in self._fields.items() if isinstance(value, str)}
            if route is not None:
                attributes["http.route"] = route
            final_status = status or _CLIENT_CLOSED
            attributes["http.response.status_code"] = final_status
            name = f"{method} {route or 'other'}"
            self._span.end(name, attributes, self.spans, is_failure=final_status >= HTTPStatus.INTERNAL_SERVER_ERROR)


def _is_expected_of_a_probe(route: str | None, status: int | None) -> bool:
    """Whether a request is a health probe or a scrape with a usual response."""
    if route in _HEALTH_PROBES:
        return status in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
    return route == "/metrics" and status == HTTPStatus.OK
