"""Tracing, without a service."""

import socket
import time
from importlib.machinery import ModuleSpec

import pytest

from service.settings import Settings
from service.telemetry.spans import Stages
from service.telemetry.tracing import Tracing


def test_a_collector_that_is_gone_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.telemetry.tracing._CLOSE_SECONDS", 0.1)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{unheard.getsockname()[1]}")
        tracing = Tracing("1")
        tracing.start()
        started_at = time.monotonic()
        for _ in range(100):
            tracing.begin_request({}).end("GET /health", {}, Stages(), is_failure=False)
        tracing.close()
        # Left to itself the library would try for half a minute.
        assert time.monotonic() - started_at < 20


def test_tracing_that_opentelemetry_itself_switches_off_costs_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing = Tracing("1")
    tracing.start()
    span = tracing.begin_request({})
    assert span.traceparent == ""
    span.end("GET /health", {}, Stages(), is_failure=False)
    tracing.close()


def test_tracing_without_its_extra_is_an_unusable_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ModuleSpec("there", loader=None)
    monkeypatch.setattr("service.settings.find_spec", lambda name: None if name == "opentelemetry.sdk" else there)
    with pytest.raises(ValueError, match="needs the extra"):
        Settings(tracing=True)
