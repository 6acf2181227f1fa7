"""Tracing without a running service."""

import socket
import time
from importlib.machinery import ModuleSpec

import pytest

from service.settings import Settings
from service.telemetry.spans import SpanRecorder
from service.telemetry.tracing import Tracing


def test_an_unreachable_collector_delays_no_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed_port:
        closed_port.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{closed_port.getsockname()[1]}")
        tracing = Tracing("1", close_timeout_seconds=0.1)
        tracing.start()
        started_at = time.monotonic()
        for _ in range(100):
            tracing.start_request_span({}).end("GET /health", {}, SpanRecorder(), is_failure=False)
        tracing.close()
        # By default the exporter retries for half a minute.
        assert time.monotonic() - started_at < 20


def test_requests_succeed_when_opentelemetry_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing = Tracing("1")
    tracing.start()
    span = tracing.start_request_span({})
    assert span.traceparent == ""
    span.end("GET /health", {}, SpanRecorder(), is_failure=False)
    tracing.close()


def test_tracing_without_its_extra_is_a_settings_error(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = ModuleSpec("installed", loader=None)
    monkeypatch.setattr(
        "service.telemetry.settings.find_spec", lambda name: None if name == "opentelemetry.sdk" else installed
    )
    with pytest.raises(ValueError, match="needs the extra"):
        Settings(tracing=True)
