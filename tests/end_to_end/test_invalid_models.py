"""A model that does not match its manifest is not served."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.running_service import running_service

pytestmark = pytest.mark.tensorflow


def _alter_weights(model: Path) -> None:
    with (model / "saved_model.pb").open("ab") as file:
        file.write(b"\0")


def _add_file(model: Path) -> None:
    (model / "extra.txt").write_text("unlisted")


def _empty_manifest(model: Path) -> None:
    (model / "manifest.json").write_text("{}")


def _claim_other_output(model: Path) -> None:
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
    ("damage", "reason"),
    [
        (_alter_weights, "saved_model.pb"),
        (_add_file, "extra.txt"),
        (_empty_manifest, "manifest.json"),
        (_claim_other_output, "the output differs"),
        (_claim_other_shape, "inputs"),
        (_claim_other_labels, "shape"),
        (shutil.rmtree, "no model"),
    ],
)
def test_a_model_that_does_not_match_its_manifest_is_not_served(
    damage: "object", reason: str, grey_models_dir: Path, tmp_path: Path, ramp: Path
) -> None:
    models_dir = tmp_path / "models"
    shutil.copytree(grey_models_dir, models_dir)
    assert callable(damage)
    damage(models_dir / "grey" / "1")
    (tmp_path / "uploads").mkdir()
    with running_service(models_dir, tmp_path / "uploads") as service:
        health = service.client.get("/health")
        assert health.status_code == 503
        assert health.json()["state"] == "failed"
        assert reason in health.json()["detail"]
        assert service.client.get("/health/live").status_code == 200
        refused = service.post_video(ramp)
        assert refused.status_code == 503
        assert refused.json()["code"] == "not_ready"
        assert refused.headers["retry-after"] == "5"


def test_a_model_whose_golden_clips_decode_to_other_pixels_is_served_with_a_warning(
    grey_models_dir: Path, tmp_path: Path
) -> None:
    """A new release of the decoder may round differently; the outputs are still within their tolerance."""
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
