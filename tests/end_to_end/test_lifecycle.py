"""From start to end: ready only when every model proved itself, draining without cutting anybody off."""

import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.grey_model import write_grey_model
from tests.support.running_service import RunningService, running_service, wait_until_not_starting
from tests.support.slow_upload import SlowUpload
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of one clip."""
    return painted(tmp_path_factory.mktemp("videos") / "ramp.mp4", range(0, 160, 10))


def until_places_taken(service: RunningService, number: int) -> None:
    """Wait until the service refuses (all upload places taken) or accepts again."""
    for _ in range(2000):
        refused = service.client.post("/predict").status_code == 429
        if refused == bool(number):
            return
    raise TimeoutError


def test_it_is_alive_before_it_is_ready_and_then_says_which_models_answer(
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


def test_the_latest_version_answers_unless_one_is_named(tmp_path: Path, ramp: Path) -> None:
    for version in ("2", "10"):
        write_grey_model(tmp_path / "models", version=version)
    (tmp_path / "uploads").mkdir()
    with running_service(tmp_path / "models", tmp_path / "uploads", default_model="grey") as service:
        assert service.post_video(ramp).json()["model"]["version"] == "10"
        assert service.post_video(ramp, version="2").json()["model"]["version"] == "2"


def _alter_weights(model: Path) -> None:
    with (model / "saved_model.pb").open("ab") as file:
        file.write(b"\0")


def _add_file(model: Path) -> None:
    (model / "extra.txt").write_text("unlisted")


def _spoil_manifest(model: Path) -> None:
    (model / "manifest.json").write_text("{}")


def _claim_other_answer(model: Path) -> None:
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["golden"][0]["probabilities"] = [0.5, 0.5]
    (model / "manifest.json").write_text(json.dumps(manifest))


def _claim_other_shape(model: Path) -> None:
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["clip"]["height"] = 40
    (model / "manifest.json").write_text(json.dumps(manifest))


def _claim_other_labels(model: Path) -> None:
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["labels"].append("third")
    manifest["golden"][0]["probabilities"].append(0.0)
    (model / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_alter_weights, "saved_model.pb"),
        (_add_file, "extra.txt"),
        (_spoil_manifest, "manifest.json"),
        (_claim_other_answer, "the answer differs"),
        (_claim_other_shape, "inputs"),
        (_claim_other_labels, "shape"),
        (shutil.rmtree, "no model"),
    ],
)
def test_a_model_that_is_not_what_it_says_is_not_served(
    spoil: "object", why: str, grey_models_dir: Path, tmp_path: Path, ramp: Path
) -> None:
    models_dir = tmp_path / "models"
    shutil.copytree(grey_models_dir, models_dir)
    assert callable(spoil)
    spoil(models_dir / "grey" / "1")
    (tmp_path / "uploads").mkdir()
    with running_service(models_dir, tmp_path / "uploads") as service:
        health = service.client.get("/health")
        assert health.status_code == 503
        assert health.json()["state"] == "failed"
        assert why in health.json()["detail"]
        assert service.client.get("/health/live").status_code == 200
        refused = service.post_video(ramp)
        assert refused.status_code == 503
        assert refused.json()["code"] == "not_ready"
        assert refused.headers["retry-after"] == "5"


def test_a_model_whose_golden_clips_decode_otherwise_answers_and_says_so(grey_models_dir: Path, tmp_path: Path) -> None:
    """A new release of the decoder may round otherwise: the answers are right, the proof is gone."""
    models_dir = tmp_path / "models"
    shutil.copytree(grey_models_dir, models_dir)
    path = models_dir / "grey" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["golden"][0]["frames_sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    (tmp_path / "uploads").mkdir()
    with running_service(models_dir, tmp_path / "uploads") as service:
        assert service.client.get("/models/grey").json()["sees_training_pixels"] is False
        assert "other pixels" in service.log_path.read_text()


def test_a_default_model_that_is_not_there_is_said_at_start(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_grey_model(tmp_path / "models", name=name)
    (tmp_path / "uploads").mkdir()
    with running_service(tmp_path / "models", tmp_path / "uploads", default_model="three") as service:
        assert "three" in service.client.get("/health").json()["detail"]


def test_at_start_come_the_models_that_were_asked_for_and_the_default_one_first(tmp_path: Path, ramp: Path) -> None:
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
        assert loaded(service) == ["two"], "it is what answers when none is named"
    with running_service(models, uploads, models_at_start='["one", "none"]', default_model="one") as service:
        assert "There is no model 'none'" in service.client.get("/health").json()["detail"]


def test_unusable_settings_are_named_and_end_the_service_with_status_2() -> None:
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


def test_without_a_free_place_a_request_is_refused_before_its_body_and_told_when_to_return(
    grey_models_dir: Path, tmp_path: Path, ramp: Path
) -> None:
    with running_service(grey_models_dir, tmp_path, max_uploads_per_caller=1) as service:
        holder = SlowUpload(service, ramp.read_bytes())
        until_places_taken(service, 1)
        refused = service.post_video(ramp)
        assert refused.status_code == 429
        assert refused.json()["code"] == "busy"
        assert int(refused.headers["retry-after"]) >= 1
        # Somebody else has places of their own; uvicorn believes a proxy on this machine.
        elsewhere = {"X-Forwarded-For": "203.0.113.9"}
        assert service.client.post("/predict", files={"video": ramp.read_bytes()}, headers=elsewhere).is_success
        assert holder.finish() == "HTTP/1.1 200 OK"
        assert service.post_video(ramp).status_code == 200


def test_a_stalled_upload_is_cut_off(grey_models_dir: Path, tmp_path: Path, ramp: Path) -> None:
    with running_service(grey_models_dir, tmp_path, upload_idle_timeout_seconds=0.2) as service:
        assert SlowUpload(service, ramp.read_bytes()).status_line() == "HTTP/1.1 408 Request Timeout"
    with running_service(grey_models_dir, tmp_path, upload_timeout_seconds=0.2) as service:
        assert SlowUpload(service, ramp.read_bytes()).status_line() == "HTTP/1.1 408 Request Timeout"
        assert service.uploads_left() == []


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
    # Nothing else would end this upload before the test gives up.
    patient = {"upload_idle_timeout_seconds": 600, "upload_timeout_seconds": 600, "deadline_seconds": 600}
    with running_service(grey_models_dir, tmp_path, drain_seconds=0.1, **patient) as service:
        stuck = SlowUpload(service, ramp.read_bytes())
        service.post_video(ramp).raise_for_status()
        assert service.stop() == 0
        stuck.leave()
        assert list(tmp_path.iterdir()) == []


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


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() == 0, reason="root may read any process")
def test_another_process_of_the_same_user_cannot_read_the_environment(grey_models_dir: Path, tmp_path: Path) -> None:
    with (
        running_service(grey_models_dir, tmp_path, until_ready=False) as service,
        pytest.raises(PermissionError),
    ):
        Path(f"/proc/{service.process.pid}/environ").read_bytes()


def test_sigterm_ends_a_service_whose_model_is_still_being_loaded(grey_models_dir: Path, tmp_path: Path) -> None:
    """Of two models the one that answers when none is named never comes to its end: its manifest is a pipe."""
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
        # Opened when the other end is: then the service reads, and the model before it is ready.
        pipe.open("wb"),
    ):
        (ready,) = service.client.get("/models").json()["models"]
        assert (ready["name"], ready["is_default"]) == ("alpha", False)
        assert service.client.get("/health").json()["state"] == "starting"
        assert service.stop() == 0
        assert list((tmp_path / "uploads").iterdir()) == []


def test_every_log_line_is_json_and_every_request_has_one(grey_models_dir: Path, tmp_path: Path, ramp: Path) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with running_service(grey_models_dir, tmp_path) as service:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: service.post_video(ramp), range(4)))
        service.client.get("/health", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        assert service.stop() == 0
        lines = [json.loads(line) for line in service.log_path.read_text().splitlines()]
    requests = {line["request_id"]: line for line in lines if line["message"] == "request"}
    for answer in answers:
        line = requests[answer.headers["x-request-id"]]
        assert (line["method"], line["path"], line["status"]) == ("POST", "/predict", 200)
        assert line["timings_ms"] == answer.json()["timings_ms"]
    assert [line["trace_id"] for line in requests.values() if "trace_id" in line] == [trace]
