"""The models on disk: their loading order and the signatures of their files."""

from pathlib import Path

from service.inference.stored_model import find_models
from service.model_control.models_directory import latest_first, models_on_disk, scan_signatures


def add_model(models_dir: Path, name: str, version: str) -> Path:
    """A model directory with an empty manifest."""
    directory = models_dir / name / version
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text("{}")
    return directory


def test_latest_versions_come_first_and_the_default_model_before_others(tmp_path: Path) -> None:
    for name, version in (("a", "1"), ("a", "9"), ("a", "10"), ("b", "1"), ("b", "2"), ("c", "1")):
        add_model(tmp_path, name, version)
    ordered = latest_first(find_models(tmp_path), default_name="b")
    names = [f"{directory.parent.name}/{directory.name}" for directory in ordered]
    assert names[0] == "b/2"
    assert set(names[1:3]) == {"a/10", "c/1"}
    assert names[3:] == ["b/1", "a/9", "a/1"]


def test_a_directory_without_models_is_empty(tmp_path: Path) -> None:
    assert models_on_disk(tmp_path) == {}
    assert scan_signatures(tmp_path / "absent") == {}


def test_the_signature_changes_with_the_files_of_the_model_alone(tmp_path: Path) -> None:
    directory = add_model(tmp_path, "a", "1")
    add_model(tmp_path, "b", "1")
    before = scan_signatures(tmp_path)
    (directory / "weights").write_bytes(b"x")
    after = scan_signatures(tmp_path)
    assert after["a", "1"] != before["a", "1"]
    assert after["b", "1"] == before["b", "1"]
