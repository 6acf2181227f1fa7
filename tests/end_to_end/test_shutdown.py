"""SIGTERM lets requests in progress finish; then the service ends."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.proxies import haproxy
from tests.support.running_service import ANSWER_TIMEOUT_SECONDS, RunningService, running_service
from tests.support.slow_upload import SlowUpload

pytestmark = pytest.mark.tensorflow


def test_sigterm_lets_requests_in_progress_finish_and_refuses_new_ones(
    grey_models_dir: Path, tmp_path: Path, ramp: Path
) -> None:
    with running_service(grey_models_dir, tmp_path) as service:
        in_progress = SlowUpload(service, ramp.read_bytes())
        service.post_video(ramp).raise_for_status()
        service.process.send_signal(signal.SIGTERM)
        while service.client.get("/health").json()["state"] != "draining":
            pass
        refused = service.post_video(ramp)
        assert refused.status_code == 503
        assert refused.json()["code"] == "draining"
        assert int(refused.headers["retry-after"]) >= 1
        assert service.client.get("/health/live").status_code == 200
        assert in_progress.finish() == "HTTP/1.1 200 OK"
        assert service.process.wait(timeout=30) == 0
        assert list(tmp_path.iterdir()) == []


def test_a_drain_ends_at_its_time_limit(grey_models_dir: Path, tmp_path: Path, ramp: Path) -> None:
    # No other limit ends this upload before the test.
    patient: dict[str, Any] = {
        "upload_idle_timeout_seconds": 600,
        "upload_timeout_seconds": 600,
        "deadline_seconds": 600,
    }
    with running_service(grey_models_dir, tmp_path, drain_delay_seconds=0.1, drain_seconds=0.1, **patient) as service:
        stuck = SlowUpload(service, ramp.read_bytes())
        service.post_video(ramp).raise_for_status()
        assert service.stop() == 0
        stuck.leave()
        assert list(tmp_path.iterdir()) == []


def test_during_the_delay_of_a_drain_requests_are_served_and_probes_and_connections_report_the_end(
    grey_models_dir: Path, tmp_path: Path, ramp: Path
) -> None:
    with running_service(grey_models_dir, tmp_path, drain_delay_seconds=600) as service:
        assert "connection" not in service.post_video(ramp).headers
        service.process.send_signal(signal.SIGTERM)
        while (probe := service.client.get("/health/ready")).status_code == 200:
            pass
        assert (probe.status_code, probe.json()["state"]) == (503, "draining")
        served = service.post_video(ramp)
        assert (served.status_code, served.headers["connection"]) == (200, "close")
        assert service.client.get("/health/live").status_code == 200
        # A second one ends it at once.
        assert service.stop() == 128 + signal.SIGTERM


def test_a_load_balancer_that_probes_loses_no_request_when_one_of_two_services_ends(
    grey_models_dir: Path, tmp_path: Path, ramp: Path, shared_service: RunningService
) -> None:
    """Regression: the service refused requests from the moment in which its probe reported the end."""
    video = ramp.read_bytes()
    (tmp_path / "uploads").mkdir()
    checks = "option httpchk GET /health/ready\n    default-server check inter 100ms fall 2 rise 1"
    with (
        running_service(grey_models_dir, tmp_path / "uploads", drain_delay_seconds=5) as ending,
        haproxy(tmp_path, checks, *(httpx.URL(each.url).port or 80 for each in (ending, shared_service))) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_TIMEOUT_SECONDS) as client,
    ):
        statuses = [client.post("/predict", files={"video": video}).status_code for _ in range(10)]
        ending.process.send_signal(signal.SIGTERM)
        while ending.process.poll() is None:
            statuses.append(client.post("/predict", files={"video": video}).status_code)
        assert set(statuses) == {200}
        assert ending.process.returncode == 0


def test_a_second_sigterm_ends_at_once(grey_models_dir: Path, tmp_path: Path, ramp: Path) -> None:
    with running_service(grey_models_dir, tmp_path, drain_seconds=300) as service:
        stuck = SlowUpload(service, ramp.read_bytes())
        service.post_video(ramp).raise_for_status()
        service.process.send_signal(signal.SIGTERM)
        while service.client.get("/health").json()["state"] != "draining":
            pass
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(timeout=30)
        stuck.leave()


def test_sigterm_ends_a_service_that_is_still_loading_a_model(grey_models_dir: Path, tmp_path: Path) -> None:
    """The default model of two takes minutes to verify, because one of its files has a terabyte of zeros."""
    models_dir = tmp_path / "models"
    for name in ("alpha", "grey"):
        model = models_dir / name / "1"
        shutil.copytree(grey_models_dir / "grey" / "1", model)
        manifest = json.loads((model / "manifest.json").read_text()) | {"name": name}
        if name == "grey":
            manifest["files"]["zeros"] = "0" * 64
            with (model / "zeros").open("wb") as zeros:
                zeros.truncate(1 << 40)
        (model / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "uploads").mkdir()
    with running_service(
        models_dir, tmp_path / "uploads", until_ready=False, engine="openvino", default_model="grey"
    ) as service:
        while not (models := service.client.get("/models").json()["models"]):
            pass
        assert [(model["name"], model["is_default"]) for model in models] == [("alpha", False)]
        assert service.client.get("/health").json()["state"] == "starting"
        assert service.stop() == 0
        assert list((tmp_path / "uploads").iterdir()) == []
