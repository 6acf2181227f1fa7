"""The messages of `evaluate` and `verify` for a trained model."""

import shutil
from pathlib import Path

import pytest

from model_training.__main__ import main
from service.inference.manifest import file_digests, read_manifest

pytestmark = pytest.mark.tensorflow


def test_a_warning_is_printed_unless_only_the_held_out_fold_is_evaluated(
    trained: Path, painted_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--model", str(trained / "models" / "tiny" / "1"), "--data", str(painted_dataset)]
    for folds, is_warned in ((["1"], False), (["1", "0"], True), (["0"], True)):
        assert main(["evaluate", *given, "--runs", str(tmp_path / "runs"), "--folds", *folds]) == 0
        said = capsys.readouterr().out
        assert ("may be training videos of the model" in said) is is_warned, folds


def test_verify_lists_where_the_manifest_and_the_markdown_differ_from_the_card(
    trained: Path, painted_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "tiny" / "1"
    shutil.copytree(trained / "models" / "tiny" / "1", directory)
    given = ["verify", "--model", str(directory), "--data", str(painted_dataset)]
    assert main(given) == 0
    assert "its documents agree" in capsys.readouterr().out
    markdown = directory / "MODEL_CARD.md"
    markdown.write_text(markdown.read_text(encoding="utf-8") + "Always right.\n", encoding="utf-8")
    changed = {"files": file_digests(directory), "abstention_threshold": 0.123}
    manifest = read_manifest(directory).model_copy(update=changed)
    (directory / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    assert main(given) == 2
    said = capsys.readouterr().err
    assert "2 statements differ between its documents" in said
    assert "abstention_threshold: the card says " in said
    assert "MODEL_CARD.md does not match MODEL_CARD.json" in said
    assert "metrics differ" not in said
