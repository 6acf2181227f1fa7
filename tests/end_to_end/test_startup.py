"""Start of the service: readiness, models, settings and logs."""

import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.grey_model import write_grey_model
from tests.support.running_service import RunningService, running_service, wait_until_not_starting

pytestmark = pytest.mark.tensorflow


def test_the_service_is_alive_before_it_is_ready_and_then_lists_its_models(
    grey_models_dir: Path, tmp_path: Path
) -> None:
    with running_service(grey_models_dir, tmp_path, until_ready=False) as service:
        assert service.client.get("/health/live").status_code == 200
        early = service.client.get("/health/ready")
        if early.status_code == 503:
            assert early.json()["state"] == "starting"
            assert {model["state"] for model in early.json()["models"]} <= {"loading"}
        assert wait_until_not_starting(service) == "ready"
        assert service.client.get("/health").json() == {
            "state": "ready",
            "detail": None,
            "models": [{"name": "grey", "version": "1", "state": "ready", "detail": None}],
        }
        assert service.client.get("/health/ready").status_code == 200
        assert service.stop() == 0
        assert list(tmp_path.iterdir()) == []


def test_models_are_listed_with_manifest_digest_and_card(shared_service: RunningService) -> None:
    (listed,) = shared_service.client.get("/models").json()["models"]
    assert listed["name"] == "grey"
    assert listed["is_default"] is True
    detail = shared_service.client.get("/models/grey").json()
    assert detail["labels"] == ["dark", "bright"]
    assert detail["digest"] == listed["digest"]
    assert detail["manifest"]["clip"]["num_frames"] == 8
    assert 1 in detail["batch_sizes"]
    assert detail["sees_training_pixels"] is True
    assert shared_service.client.get("/models/grey/versions/1").json() == detail
    card = shared_service.client.get("/models/grey", headers={"Accept": "text/markdown"})
    assert card.headers["content-type"].startswith("text/markdown")


def test_the_latest_version_is_used_unless_the_request_names_one(tmp_path: Path, ramp: Path) -> None:
    for version in ("2", "10"):
        write_grey_model(tmp_path / "models", version=version)
    (tmp_path / "uploads").mkdir()
    with running_service(tmp_path / "models", tmp_path / "uploads", default_model="grey") as service:
        assert service.post_video(ramp).json()["model"]["version"] == "10"
        assert service.post_video(ramp, version="2").json()["model"]["version"] == "2"


def test_a_missing_default_model_is_reported_by_health(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_grey_model(tmp_path / "models", name=name)
    (tmp_path / "uploads").mkdir()
    with running_service(tmp_path / "models", tmp_path / "uploads", default_model="three") as service:
        assert "three" in service.client.get("/health").json()["detail"]


def test_the_configured_models_are_loaded_at_start_and_the_default_model_first(tmp_path: Path, ramp: Path) -> None:
    models, uploads = tmp_path / "models", tmp_path / "uploads"
    for name in ("one", "two", "zoo"):
        write_grey_model(models, name=name)
    uploads.mkdir()

    def loaded(service: RunningService) -> list[str]:
        return [model["name"] for model in service.client.get("/health").json()["models"]]

    with running_service(models, uploads, models_at_start='["one", "two"]', default_model="two") as service:
        assert loaded(service) == ["one", "two"]
        assert service.post_video(ramp).json()["model"]["name"] == "two"
        unloaded = service.post_video(ramp, model="zoo")
        assert (unloaded.status_code, unloaded.json()["code"]) == (404, "unknown_model")
        assert "too many models" not in service.log_path.read_text()
    with running_service(models, uploads, max_loaded_models=1, default_model="two") as service:
        assert loaded(service) == ["two"], "the default model comes first"
    with running_service(models, uploads, models_at_start='["one", "none"]', default_model="one") as service:
        assert "There is no model 'none'" in service.client.get("/health").json()["detail"]


def test_invalid_settings_are_named_and_end_the_service_with_status_2() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "service"],
        env={"SERVICE_PORT": "many", "SERVICE_MAX_UPLOAD_BYTES": "0"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "SERVICE_PORT: " in ended.stderr
    assert "SERVICE_MAX_UPLOAD_BYTES: " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() == 0, reason="root may read any process")
def test_no_other_process_of_the_same_user_can_read_the_environment(grey_models_dir: Path, tmp_path: Path) -> None:
    with (
        running_service(grey_models_dir, tmp_path, until_ready=False) as service,
        pytest.raises(PermissionError),
    ):
        Path(f"/proc/{service.process.pid}/environ").read_bytes()


def test_every_log_line_is_json_and_every_request_has_one(grey_models_dir: Path, tmp_path: Path, ramp: Path) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with running_service(grey_models_dir, tmp_path) as service:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            responses = list(pool.map(lambda _: service.post_video(ramp), range(4)))
        service.client.get("/health", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        assert service.stop() == 0
        lines = [json.loads(line) for line in service.log_path.read_text().splitlines()]
    requests = {line["request_id"]: line for line in lines if line["message"] == "request"}
    for response in responses:
        line = requests[response.headers["x-request-id"]]
        assert (line["method"], line["path"], line["status"]) == ("POST", "/predict", 200)
        assert line["timings_ms"] == response.json()["timings_ms"]
    assert [line["trace_id"] for line in requests.values() if "trace_id" in line] == [trace]
