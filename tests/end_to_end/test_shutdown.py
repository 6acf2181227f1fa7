"""SIGTERM lets requests in progress finish; then the service ends."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_service import running_service
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
    """The default model of two never finishes loading, because its manifest is a pipe."""
    models_dir = tmp_path / "models"
    shutil.copytree(grey_models_dir / "grey" / "1", models_dir / "alpha" / "1")
    manifest = json.loads((models_dir / "alpha" / "1" / "manifest.json").read_text())
    (models_dir / "alpha" / "1" / "manifest.json").write_text(json.dumps(manifest | {"name": "alpha"}))
    (models_dir / "grey" / "1").mkdir(parents=True)
    pipe = models_dir / "grey" / "1" / "manifest.json"
    os.mkfifo(pipe)
    (tmp_path / "uploads").mkdir()
    with (
        running_service(
            models_dir, tmp_path / "uploads", until_ready=False, engine="openvino", default_model="grey"
        ) as service,
        # `open` returns when the service opens the pipe; by then the other model is ready.
        pipe.open("wb"),
    ):
        (ready,) = service.client.get("/models").json()["models"]
        assert (ready["name"], ready["is_default"]) == ("alpha", False)
        assert service.client.get("/health").json()["state"] == "starting"
        assert service.stop() == 0
        assert list((tmp_path / "uploads").iterdir()) == []
