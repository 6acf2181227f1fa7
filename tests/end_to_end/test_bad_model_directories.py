"""Model directories that cannot be loaded at start: the others are served, and a corrected one is loaded."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_service import RunningService, running_service

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def models_dir(grey_models_dir: Path, tmp_path: Path) -> Path:
    """A models directory of its own, with `grey/1`."""
    (tmp_path / "uploads").mkdir()
    return Path(shutil.copytree(grey_models_dir, tmp_path / "models"))


def add_version(models_dir: Path, number: str) -> Path:
    """Copy `grey/1` as another version."""
    directory = Path(shutil.copytree(models_dir / "grey" / "1", models_dir / "grey" / number))
    manifest = (directory / "manifest.json").read_text()
    (directory / "manifest.json").write_text(manifest.replace('"version": "1"', f'"version": "{number}"'))
    return directory


def health(service: RunningService) -> dict[str, Any]:
    """The response of /health, which must show no path of this machine."""
    response = service.client.get("/health")
    assert "/tmp" not in response.text  # noqa: S108
    assert str(service.upload_dir.parent) not in response.text
    found: dict[str, Any] = response.json()
    return found


def states(service: RunningService) -> dict[str, str]:
    """The state of each model."""
    return {f"{model['name']}/{model['version']}": model["state"] for model in health(service)["models"]}


def wait_until(service: RunningService, state: str) -> Iterator[None]:
    while health(service)["state"] != state:
        yield


def test_bad_directories_degrade_the_service_until_they_are_corrected_or_removed(
    models_dir: Path, tmp_path: Path, ramp: Path
) -> None:
    # Copied only in part, a pipe that nobody writes to, and a manifest that is none.
    half = models_dir / "grey" / "2"
    half.mkdir()
    shutil.copy(models_dir / "grey" / "1" / "manifest.json", half)
    for name in ("pipe", "other"):
        (models_dir / name / "1").mkdir(parents=True)
    os.mkfifo(models_dir / "pipe" / "1" / "manifest.json")
    (models_dir / "other" / "1" / "manifest.json").write_text("[]")
    (models_dir / "grey" / "1" / ".DS_Store").write_bytes(b"x")
    settings: dict[str, Any] = {"default_model": "grey", "watch_models_seconds": 0.05}
    with running_service(models_dir, tmp_path / "uploads", **settings) as service:
        assert service.client.get("/health/ready").status_code == 200
        degraded = health(service)
        assert degraded["state"] == "degraded"
        (part,) = degraded["degraded"]
        assert (part["part"], part["reason"]) == ("models", "invalid_model")
        assert all(name in part["detail"] for name in ("grey/2", "pipe/1", "other/1"))
        assert states(service) == {"grey/1": "ready", "grey/2": "failed", "pipe/1": "failed", "other/1": "failed"}
        assert service.post_video(ramp).json()["model"]["version"] == "1"
        assert service.post_video(ramp, model="pipe").json()["code"] == "unknown_model"

        shutil.rmtree(half)
        add_version(models_dir, "2")
        shutil.rmtree(models_dir / "pipe")
        shutil.rmtree(models_dir / "other")
        for _ in wait_until(service, "ready"):
            pass
        assert states(service) == {"grey/1": "ready", "grey/2": "ready"}
        assert "degraded" not in health(service)
        assert service.post_video(ramp).json()["model"]["version"] == "2"


def test_a_service_whose_default_model_is_bad_becomes_ready_when_the_model_is_corrected(
    models_dir: Path, tmp_path: Path, ramp: Path
) -> None:
    moved = tmp_path / "mounted later"
    (models_dir / "grey").rename(moved)
    settings: dict[str, Any] = {"default_model": "grey", "watch_models_seconds": 0.05}
    with running_service(models_dir, tmp_path / "uploads", **settings) as service:
        assert health(service)["state"] == "failed"
        assert "no model in the models directory" in health(service)["detail"]
        shutil.copytree(moved, models_dir / "grey")
        (models_dir / "grey" / "1" / "extra.txt").write_text("unlisted")
        while "extra.txt" not in (health(service)["detail"] or ""):
            pass
        assert (health(service)["state"], states(service)) == ("failed", {"grey/1": "failed"})
        assert service.post_video(ramp).json()["code"] == "not_ready"
        (models_dir / "grey" / "1" / "extra.txt").unlink()
        for _ in wait_until(service, "ready"):
            pass
        assert health(service)["detail"] is None
        assert service.post_video(ramp).status_code == 200
