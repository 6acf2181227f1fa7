"""Traces of a running service, received by a real OTLP receiver."""

import json
import secrets
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.file_server import FileRequestHandler, FileServer
from tests.support.job_client import JobClient, log_lines
from tests.support.otlp_collector import Collector, attributes
from tests.support.running_service import RunningService

pytestmark = pytest.mark.tensorflow

PARENT_ID = "b7ad6b7169203331"
STAGES = {"receive", "wait", "decode", "queue", "model"}


def longest_milliseconds(spans: list[Span]) -> dict[str, float]:
    """The longest duration of each stage: clips of one video may go through a stage in several batches."""
    durations: dict[str, float] = {}
    for span in spans:
        milliseconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
        durations[span.name] = max(milliseconds, durations.get(span.name, 0))
    return durations


def test_a_prediction_is_a_span_of_the_clients_trace_with_a_child_span_for_each_stage(
    calling_service: RunningService, collector: Collector, ramp: Path
) -> None:
    trace_id = secrets.token_hex(16)
    response = calling_service.client.post(
        "/predict",
        files={"video": ramp.read_bytes()},
        headers={"traceparent": f"00-{trace_id}-{PARENT_ID}-01", "tracestate": "vendor=1"},
    ).raise_for_status()
    root, *stages = collector.trace(response.headers["x-request-id"])
    assert (root.name, root.kind) == ("POST /predict", Span.SPAN_KIND_SERVER)
    assert (root.trace_id.hex(), root.parent_span_id.hex(), root.trace_state) == (trace_id, PARENT_ID, "vendor=1")
    assert root.status.code == Status.STATUS_CODE_UNSET
    found = attributes(root)
    assert (found["http.request.method"], found["http.route"], found["url.path"]) == ("POST", "/predict", "/predict")
    assert (found["http.response.status_code"], found["model"]) == (200, "grey/1")
    assert {span.name for span in stages} == STAGES
    timings, longest = response.json()["timings_ms"], longest_milliseconds(stages)
    for name in timings.keys() & longest.keys():
        assert longest[name] == pytest.approx(timings[name], abs=1)
    for span in stages:
        assert span.parent_span_id == root.span_id
        assert root.start_time_unix_nano <= span.start_time_unix_nano + 5_000_000
        assert span.end_time_unix_nano <= root.end_time_unix_nano + 5_000_000
    assert collector.resource["service.name"] == "framewise"
    assert collector.resource["deployment.environment.name"] == "test"


def test_trace_and_log_of_a_refused_video_have_the_stages_up_to_the_error(
    calling_service: RunningService, collector: Collector
) -> None:
    refused = calling_service.client.post("/predict", files={"video": b"no video"})
    assert refused.status_code == 415
    request_id = refused.headers["x-request-id"]
    root, *stages = collector.trace(request_id)
    assert attributes(root)["code"] == "unsupported_media"
    assert {span.name for span in stages} == {"receive", "wait", "decode"}
    (decode,) = (span for span in stages if span.name == "decode")
    assert attributes(decode)["outcome"] == "UnsupportedVideo"
    (line,) = [json.loads(line) for line in calling_service.log_path.read_text().splitlines() if request_id in line]
    assert line["trace_id"] == root.trace_id.hex()
    assert set(line["timings_ms"]) == {"receive", "wait", "decode"}


def test_a_request_for_a_url_carries_the_trace_to_the_file_server(
    calling_service: RunningService, collector: Collector, files: FileServer, ramp: Path
) -> None:
    parents: list[list[str]] = []

    def respond(handler: FileRequestHandler) -> None:
        parents.append(handler.headers["traceparent"].split("-"))
        handler.send_head(200, Content_Length=ramp.stat().st_size)
        handler.wfile.write(ramp.read_bytes())

    url = files.put("/traced.mp4", respond)
    response = calling_service.client.post("/predict", json={"url": url}).raise_for_status()
    root = collector.trace(response.headers["x-request-id"])[0]
    assert [parent[1:3] for parent in parents] == [[root.trace_id.hex(), root.span_id.hex()]]


def test_a_request_that_its_client_does_not_sample_is_not_traced(
    calling_service: RunningService, collector: Collector, ramp: Path
) -> None:
    headers = {"traceparent": f"00-{'1' * 32}-{PARENT_ID}-00"}
    calling_service.client.post("/predict", files={"video": ramp.read_bytes()}, headers=headers).raise_for_status()
    # Spans are sent in the order of their ends.
    other = calling_service.client.get("/models")
    assert len(collector.trace(other.headers["x-request-id"])) == 1
    assert "1" * 32 not in collector.trace_ids


def test_each_attempt_of_a_job_is_a_span_linked_to_the_request_that_submitted_it(
    calling_service: RunningService, collector: Collector, ramp: Path
) -> None:
    trace_id = secrets.token_hex(16)
    client = JobClient(calling_service)
    headers = {"traceparent": f"00-{trace_id}-{PARENT_ID}-01", "X-Request-Id": secrets.token_hex(8)}
    job = client.wait(client.submit(ramp, headers))
    assert job["state"] == "done"
    attempt = collector.job(job["id"])
    request, *others = collector.trace(headers["X-Request-Id"])
    assert (request.name, request.parent_span_id.hex()) == ("POST /jobs", PARENT_ID)
    assert (attempt.name, attempt.kind, attempt.status.code) == (
        "job",
        Span.SPAN_KIND_CONSUMER,
        Status.STATUS_CODE_UNSET,
    )
    assert (attempt.trace_id.hex(), attempt.parent_span_id) == (trace_id, request.span_id)
    assert [(link.trace_id.hex(), link.span_id) for link in attempt.links] == [(trace_id, request.span_id)]
    found = attributes(attempt)
    assert (found["outcome"], found["attempt"], found["request_id"]) == ("done", 1, headers["X-Request-Id"])
    stages = [span for span in others if span.parent_span_id == attempt.span_id]
    assert {span.name for span in stages} == {"decode", "queue", "model"}
    timings = job["result"]["timings_ms"]
    for name, milliseconds in longest_milliseconds(stages).items():
        assert milliseconds == pytest.approx(timings[name], abs=1)
    for span in stages:
        assert attempt.start_time_unix_nano <= span.start_time_unix_nano + 5_000_000
        assert span.end_time_unix_nano <= attempt.end_time_unix_nano + 5_000_000
    lines = [line for line in log_lines(calling_service) if line.get("job_id") == job["id"]]
    (ended,) = [line for line in lines if line["message"] == "job attempt ended"]
    assert set(ended["timings_ms"]) == {"decode", "queue", "model"}


def test_a_job_that_fails_because_of_its_video_is_traced_with_its_code_and_not_as_an_error(
    calling_service: RunningService, collector: Collector, not_a_video: Path
) -> None:
    client = JobClient(calling_service)
    job = client.wait(client.submit(not_a_video))
    attempt = collector.job(job["id"])
    found = attributes(attempt)
    assert (found["outcome"], found["code"]) == ("failed", "unsupported_media")
    assert attempt.status.code == Status.STATUS_CODE_UNSET
    # Without a client's trace, the attempt belongs to the trace of its request.
    request = collector.trace(job["request_id"])[0]
    assert (request.trace_id, request.parent_span_id) == (attempt.trace_id, b"")


def test_a_job_that_its_client_does_not_sample_is_not_traced(
    calling_service: RunningService, collector: Collector, ramp: Path
) -> None:
    client = JobClient(calling_service)
    job = client.wait(client.submit(ramp, {"traceparent": f"00-{'2' * 32}-{PARENT_ID}-00"}))
    assert job["state"] == "done"
    # Spans are sent in the order of their ends.
    collector.job(client.wait(client.submit(ramp))["id"])
    assert "2" * 32 not in collector.trace_ids
