"""Models are loaded and unloaded while requests are served."""

import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.keys.key_file import edit_keys, new_key
from tests.support.running_service import RunningService, running_service

pytestmark = pytest.mark.tensorflow

FAST: dict[str, Any] = {"engine": "openvino", "answer_cache_bytes": 0}
"""The engine that starts faster, and no prediction cache."""


@pytest.fixture(scope="module")
def grey(grey_models_dir: Path) -> Path:
    """The directory of `grey/1`, a source for copies."""
    return grey_models_dir / "grey" / "1"


@pytest.fixture(scope="module")
def own_models_dir(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models directory of `service`, with `grey/1`."""
    directory = tmp_path_factory.mktemp("control") / "models"
    return Path(shutil.copytree(grey_models_dir, directory))


@pytest.fixture(scope="module")
def service(own_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with `grey/1`; each test unloads the versions that it loads."""
    uploads = tmp_path_factory.mktemp("uploads")
    with running_service(
        own_models_dir, uploads, **FAST, model_control=True, max_waiting_requests=100, batch_sizes="[1, 2]"
    ) as service:
        yield service


def add_version(version: Path, models_dir: Path, number: str) -> Path:
    """Copy a version of a model into the models directory as version `number`."""
    directory = shutil.copytree(version, models_dir / "grey" / number)
    rewrite(directory, version=number)
    return Path(directory)


def rewrite(directory: Path, **fields: object) -> None:
    """Replace fields of the manifest."""
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def states(service: RunningService) -> dict[str, tuple[str, str | None]]:
    """State and detail of each version of the model, as /health reports them."""
    health = service.client.get("/health").json()
    return {model["version"]: (model["state"], model["detail"]) for model in health["models"]}


def change(service: RunningService, number: str, operation: str) -> httpx.Response:
    """POST to load or unload a version."""
    return service.client.post(f"/models/grey/versions/{number}/{operation}")


def test_a_version_is_loaded_used_and_unloaded_while_the_previous_one_stays(
    service: RunningService, own_models_dir: Path, grey: Path, ramp: Path
) -> None:
    assert change(service, "2", "load").json()["code"] == "unknown_model"
    add_version(grey, own_models_dir, "2")
    loaded = change(service, "2", "load")
    assert loaded.status_code == 200
    assert loaded.json() == {"name": "grey", "version": "2", "state": "ready", "detail": None}
    assert service.post_video(ramp).json()["model"]["version"] == "2"
    assert service.post_video(ramp, version="latest").json()["model"]["version"] == "2"
    assert service.post_video(ramp, version="1").json()["model"]["version"] == "1"
    assert 'framewise_model_ready_timestamp_seconds{model="grey",version="2"}' in service.client.get("/metrics").text
    assert change(service, "2", "load").status_code == 200, "it is already loaded"

    unloaded = change(service, "2", "unload")
    assert unloaded.json() == {"name": "grey", "version": "2", "state": "unloaded", "detail": None}
    assert "2" not in states(service)
    assert 'version="2"' not in service.client.get("/metrics").text
    assert service.post_video(ramp).json()["model"]["version"] == "1"
    assert service.post_video(ramp, version="2").json()["code"] == "unknown_model"
    assert change(service, "2", "unload").json()["code"] == "unknown_model"


def test_a_version_that_fails_its_verification_is_refused_and_the_loaded_one_stays(
    service: RunningService, own_models_dir: Path, grey: Path, ramp: Path
) -> None:
    altered = add_version(grey, own_models_dir, "3")
    with (altered / "saved_model.pb").open("ab") as file:
        file.write(b"\0")
    other = add_version(grey, own_models_dir, "4")
    (golden,) = json.loads((other / "manifest.json").read_text())["golden"]
    rewrite(other, golden=[golden | {"probabilities": [0.5, 0.5]}])
    for number, reason in (("3", "saved_model.pb"), ("4", "the output differs")):
        refused = change(service, number, "load")
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_model")
        assert refused.headers["content-type"] == "application/problem+json"
        assert reason in refused.json()["detail"]
        state, detail = states(service)[number]
        assert state == "failed"
        assert reason in (detail or "")
    assert service.client.get("/health").json()["state"] == "ready"
    assert service.post_video(ramp).json()["model"]["version"] == "1"


def test_a_loaded_version_stays_as_it_was_verified_when_its_files_change(
    service: RunningService, own_models_dir: Path, grey: Path, ramp: Path
) -> None:
    directory = add_version(grey, own_models_dir, "5")
    assert change(service, "5", "load").status_code == 200
    with (directory / "saved_model.pb").open("ab") as file:
        file.write(b"\0")
    assert change(service, "5", "load").status_code == 422
    state, detail = states(service)["5"]
    assert state == "ready"
    assert "saved_model.pb" in (detail or "")
    assert service.post_video(ramp).json()["model"]["version"] == "5"
    assert change(service, "5", "unload").status_code == 200


def test_no_request_fails_under_load_while_versions_are_loaded_replaced_and_unloaded(
    service: RunningService, own_models_dir: Path, grey: Path, ramp: Path
) -> None:
    directory = add_version(grey, own_models_dir, "6")
    is_over = threading.Event()

    def send_requests() -> Counter[tuple[int, str]]:
        seen: Counter[tuple[int, str]] = Counter()
        with httpx.Client(base_url=service.url, timeout=60) as client:
            while not is_over.is_set():
                response = client.post("/predict", files={"video": ramp.read_bytes()})
                seen[response.status_code, response.json().get("model", {}).get("version", response.text)] += 1
        return seen

    with ThreadPoolExecutor(3) as pool:
        callers = [pool.submit(send_requests) for _ in range(3)]
        try:
            for turn in range(3):
                assert change(service, "6", "load").status_code == 200
                # The same version with another description, and so with another digest.
                rewrite(directory, description=f"Changed, {turn}.")
                assert change(service, "6", "load").status_code == 200
                assert service.client.get("/models/grey").json()["description"] == f"Changed, {turn}."
                service.post_video(ramp).raise_for_status()
                assert change(service, "6", "unload").status_code == 200
        finally:
            is_over.set()
        seen = sum((caller.result() for caller in callers), Counter())
    assert {status for status, _ in seen} == {200}, seen
    assert {version for _, version in seen} == {"1", "6"}, seen


def test_only_the_admin_scope_may_change_models_within_the_limits(
    shared_service: RunningService, grey: Path, tmp_path: Path, ramp: Path
) -> None:
    for operation in ("load", "unload"):
        refused = change(shared_service, "1", operation)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), "no keys are configured"
    admin, admin_key = new_key("operator", ("admin", "predict"), None)
    caller, caller_key = new_key("caller", ("predict",), None)
    with edit_keys(tmp_path / "keys.json") as keys:
        keys += [admin_key, caller_key]
    for number in ("1", "2"):
        add_version(grey, tmp_path / "models", number)
    (tmp_path / "uploads").mkdir()
    with running_service(
        tmp_path / "models", tmp_path / "uploads", **FAST, api_keys_file=tmp_path / "keys.json", max_loaded_models=1
    ) as service:
        assert states(service) == {"2": ("ready", None)}, "the latest version is loaded first"
        assert change(service, "1", "load").status_code == 401
        service.client.headers["Authorization"] = f"Bearer {caller}"
        assert change(service, "1", "load").status_code == 403
        service.client.headers["Authorization"] = f"Bearer {admin}"
        many = change(service, "1", "load")
        assert (many.status_code, many.json()["code"]) == (409, "too_many_models")
        last = change(service, "2", "unload")
        assert (last.status_code, last.json()["code"]) == (409, "last_version")
        assert service.post_video(ramp).json()["model"]["version"] == "2"


def test_a_new_version_in_a_watched_directory_is_loaded_when_its_copy_is_complete(
    grey: Path, tmp_path: Path, ramp: Path
) -> None:
    models_dir = tmp_path / "models"
    add_version(grey, models_dir, "1")
    (tmp_path / "uploads").mkdir()
    with running_service(models_dir, tmp_path / "uploads", **FAST, watch_models_seconds=0.05) as service:
        # Copied file by file, and then changed: the service must load the final state.
        add_version(grey, models_dir, "9")
        shutil.copytree(grey, models_dir / "grey" / ".incomplete")
        (models_dir / "grey" / "8").mkdir()
        (models_dir / "grey" / "8" / "manifest.json").write_text("{}")
        expected = {"1": "ready", "8": "failed", "9": "ready"}
        while {number: state for number, (state, _) in states(service).items()} != expected:
            pass
        assert service.post_video(ramp).json()["model"]["version"] == "9"
        # Loaded models stay when their files are removed: a volume may be unavailable for a moment.
        shutil.rmtree(models_dir)
        assert service.post_video(ramp).json()["model"]["version"] == "9"
        assert service.client.get("/health").json()["state"] == "ready"


def test_the_openvino_engine_does_not_load_tensorflow(service: RunningService, ramp: Path) -> None:
    assert service.post_video(ramp).json()["prediction"]["label"] == "dark"
    (model,) = service.client.get("/capabilities").json()["models"]
    assert (model["engine"], model["device"], model["batch_sizes"]) == ("openvino", "cpu", [1, 2])
    try:
        mapped = Path(f"/proc/{service.process.pid}/maps").read_text()
    except PermissionError:
        pytest.skip("only root may read the memory map of an undumpable process")
    assert "/openvino/" in mapped
    assert "libtensorflow" not in mapped


@pytest.mark.parametrize(("engine", "state"), [("tensorflow", "ready"), ("openvino", "failed")])
def test_openvino_must_match_the_outputs_at_export_to_a_ten_thousandth(
    grey_models_dir: Path, tmp_path: Path, engine: str, state: str
) -> None:
    shutil.copytree(grey_models_dir, tmp_path / "models")
    model = tmp_path / "models" / "grey" / "1"
    (golden,) = json.loads((model / "manifest.json").read_text())["golden"]
    rewrite(model, golden=[golden | {"probabilities": [value + 5e-4 for value in golden["probabilities"]]}])
    (tmp_path / "uploads").mkdir()
    with running_service(tmp_path / "models", tmp_path / "uploads", engine=engine) as service:
        assert service.client.get("/health").json()["state"] == state


def test_each_stage_of_the_start_is_logged_with_its_seconds(service: RunningService) -> None:
    lines = [json.loads(line) for line in service.log_path.read_text().splitlines()]
    seconds = {line["stage"]: line["seconds"] for line in lines if "stage" in line}
    assert set(seconds) == {
        "decode workers started",
        "formats probed",
        "engine imported",
        "model verified",
        "model loaded",
        "model warmed",
        "golden clips replayed",
    }
    assert all(took >= 0 for took in seconds.values())
