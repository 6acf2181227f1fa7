"""`GET /metrics` of a running service, read with the parser of Prometheus."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.settings import Settings
from tests.api.in_process import call
from tests.support.running_service import RunningService, running_service

pytestmark = pytest.mark.tensorflow

Sample = Callable[..., float]

ROOT = Path(__file__).parents[2]
MONITORING, OBSERVABILITY = ROOT / "monitoring", ROOT / "docs" / "observability.md"


@pytest.fixture(scope="module")
def service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that has received no requests yet."""
    uploads, jobs = tmp_path_factory.mktemp("uploads"), tmp_path_factory.mktemp("jobs")
    with running_service(grey_models_dir, uploads, jobs_dir=jobs, decode_children=2) as service:
        yield service


def samples(service: RunningService) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample, by name and labels."""
    response = service.client.get("/metrics").raise_for_status()
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def growth_during(service: RunningService, act: Callable[[], object]) -> Sample:
    """Run `act`, and return a function that gives the growth of a sample."""
    before = samples(service)
    act()
    after = samples(service)

    def growth(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after.get(key, 0) - before.get(key, 0)

    return growth


def test_a_prediction_is_counted_at_each_stage(service: RunningService, ramp: Path) -> None:
    growth = growth_during(service, lambda: service.post_video(ramp).raise_for_status())
    assert growth("framewise_requests_total", route="/predict", status="200") == 1
    assert growth("framewise_request_seconds_count", route="/predict") == 1
    for stage in ("receive", "decode", "queue", "model", "total"):
        assert growth("framewise_stage_seconds_count", stage=stage) == 1
    assert growth("framewise_decodes_total", container="mp4", codec="h264", outcome="decoded") == 1
    assert growth("framewise_batch_clips_count", model="grey", version="1") == 1
    assert growth("framewise_model_seconds_count", model="grey", version="1") == 1


def test_refused_videos_are_counted_by_error(service: RunningService, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    growth = growth_during(service, lambda: service.post_video(text))
    assert growth("framewise_requests_total", route="/predict", status="415") == 1
    assert growth("framewise_decodes_total", container="unknown", codec="unknown", outcome="UnsupportedVideo") == 1


def test_values_from_clients_never_become_labels(service: RunningService, ramp: Path) -> None:
    known = len(samples(service))

    def make_up() -> None:
        for number in range(20):
            service.client.get(f"/made/up/{number}")
            service.client.get(f"/models/made-up-{number}")
            service.post_video(ramp, model=f"made-up-{number}")

    growth = growth_during(service, make_up)
    assert growth("framewise_requests_total", route="other", status="404") == 20
    assert growth("framewise_requests_total", route="/models/{name}", status="404") == 20
    assert not any("made" in value for _, labels in samples(service) for _, value in labels)
    assert len(samples(service)) < known + 100


def test_the_gauges_show_the_current_state(service: RunningService) -> None:
    now = samples(service)
    model = (("model", "grey"), ("version", "1"))
    assert now["framewise_ready", ()] == 1
    for stage in ("uploading", "waiting", "working"):
        assert now["framewise_requests_in_progress", (("stage", stage),)] == 0
    assert now["framewise_places", (("stage", "uploading"),)] == 64
    assert now["framewise_queue_clips", model] == 0
    assert now["framewise_model_ready", model] == 1
    assert now["framewise_model_ready_timestamp_seconds", model] > 1.7e9
    assert now["framewise_decode_children_replaced_total", ()] == 0
    assert now["framewise_decode_children", (("state", "idle"),)] == 3
    assert now["framewise_decode_children", (("state", "busy"),)] == 0
    assert now["framewise_decode_children_resident_bytes", ()] > 3e7
    assert now["framewise_release_seconds_count", ()] == 0
    assert now["process_resident_memory_bytes", ()] > 1e7


def test_an_unexpected_error_has_a_request_id_and_is_counted() -> None:
    app = create_app(Settings())

    @app.get("/fails")
    async def fail() -> None:
        raise RuntimeError("a secret")

    refused = call(app, "GET", "/fails")
    assert (refused.status_code, refused.json()["code"]) == (500, "internal")
    assert refused.headers["x-request-id"] == refused.json()["request_id"]
    assert "secret" not in refused.text
    registry = app.state.app_state.metrics.registry
    assert registry.get_sample_value("framewise_requests_total", {"route": "/fails", "status": "500"}) == 1


def test_two_services_on_one_machine_count_separately(
    service: RunningService, shared_service: RunningService, ramp: Path
) -> None:
    """One process serves one port: an instance in the terms of Prometheus."""
    growth = growth_during(service, lambda: shared_service.post_video(ramp).raise_for_status())
    for name in ("framewise_requests_total", "framewise_decodes_total", "framewise_batch_clips_count"):
        grown_here = {key: growth(key[0], **dict(key[1])) for key in samples(service) if key[0] == name}
        assert sum(value for key, value in grown_here.items() if ("route", "/metrics") not in key[1]) == 0
    growth = growth_during(shared_service, lambda: shared_service.post_video(ramp).raise_for_status())
    assert growth("framewise_decodes_total", container="mp4", codec="h264", outcome="decoded") == 1


def test_the_document_lists_every_metric(service: RunningService) -> None:
    text = service.client.get("/metrics").raise_for_status().text
    exposed = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(text)
        # `_created` is the start time of each counter and histogram.
        if family.name.startswith("framewise_") and not family.name.endswith("_created")
    }
    rows = re.findall(r"^\| (`framewise_.*?) \|", OBSERVABILITY.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(exposed)


def expressions() -> Iterator[str]:
    """Yield every expression of the dashboard and of the alerts."""
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_the_dashboard_and_the_alerts_use_only_existing_metrics(service: RunningService, ramp: Path) -> None:
    service.post_video(ramp).raise_for_status()
    text = service.client.get("/metrics").raise_for_status().text
    # Prometheus adds this metric.
    known = {"up": {"job", "instance"}}
    for family in text_string_to_metric_families(text):
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        labels = {label for sample in family.samples for label in sample.labels}
        known |= {family.name + suffix: labels | {"job", "instance"} for suffix in suffixes}
    wanted = list(expressions())
    assert len(wanted) > 30
    for expression in wanted:
        names = re.findall(r"\b(?:framewise|process)_[a-z_]+|\bup\b", expression)
        assert names, expression
        assert set(names) <= set(known), expression
        used = {label for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(", ") if label}
        used |= set(re.findall(r"([a-z_]+)=~?\"", expression))
        # A counter without samples shows no labels.
        if all(known[name] > {"job", "instance"} or "_total" not in name for name in names):
            assert used <= set().union(*(known[name] for name in names)), expression
