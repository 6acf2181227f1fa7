"""The commands `compare` and `cross-validate`, and the record on the card of a trained model."""

import csv
import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from model_training.__main__ import main
from model_training.cross_validation.record import CrossValidationRecord
from tests.model_training.conftest import QUICK_CONFIG

pytestmark = pytest.mark.tensorflow

FOLDS = ("--folds", "0", "1", "--epochs", "2", "--skip-unreadable")


@dataclass(frozen=True)
class CommandRun:
    """A finished command: its options for config, data and runs, its standard output and the file that it wrote."""

    inputs: tuple[str, ...]
    output: str
    path: Path

    @property
    def record(self) -> dict[str, Any]:
        """The content of the file."""
        record: dict[str, Any] = json.loads(self.path.read_text())
        return record


def _cross_validate(inputs: Sequence[str], path: Path, *options: str) -> CommandRun:
    output = StringIO()
    with redirect_stdout(output):
        assert main(["cross-validate", *inputs, *FOLDS, *options, "--out", str(path)]) == 0
    return CommandRun(tuple(inputs), output.getvalue(), path)


@pytest.fixture(scope="module")
def first(painted_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandRun:
    """The tiny config, cross-validated on two folds."""
    work = tmp_path_factory.mktemp("folds")
    (work / "tiny.py").write_text(QUICK_CONFIG)
    inputs = ("--config", str(work / "tiny.py"), "--data", str(painted_dataset), "--runs", str(work / "runs"))
    return _cross_validate(inputs, work / "folds.json")


@pytest.fixture(scope="module")
def repeated(first: CommandRun) -> CommandRun:
    """The same command again, after the stored predictions of one fold were truncated as by a power failure."""
    work = first.path.parent
    (stored, *_) = (work / "runs" / "tiny-folds").glob("exported-*-fold-0-*.npz")
    stored.write_bytes(stored.read_bytes()[:1000])
    return _cross_validate(first.inputs, work / "again.json", "--against", str(first.path))


@pytest.fixture(scope="module")
def with_attention(first: CommandRun) -> CommandRun:
    """The same command with another architecture."""
    options = ("--architecture", "cnn_bilstm_attention", "--against", str(first.path))
    return _cross_validate(first.inputs, first.path.parent / "attention.json", *options)


@pytest.fixture(scope="module")
def model(first: CommandRun) -> Path:
    """A model of the tiny config, trained with the record of its cross-validation."""
    models = first.path.parent / "models"
    assert main(["train", *first.inputs, "--out", str(models), "--cross-validation", str(first.path)]) == 0
    return models / "tiny" / "1"


def test_the_accuracy_is_printed(first: CommandRun) -> None:
    assert f"accuracy {first.record['metrics']['accuracy']:.3f} +- 0.000 over 1 seeds" in first.output


def test_the_baselines_are_printed(first: CommandRun) -> None:
    accuracy = first.record["metrics"]["baselines"]["mean_frame"]["accuracy"]
    assert f"nearest mean picture in training: accuracy {accuracy:.3f}" in first.output


def test_the_record_states_the_command_that_repeats_it(first: CommandRun) -> None:
    assert first.record["metrics"]["command"] == (
        f"python -m model_training cross-validate --config {first.inputs[1]} --data DIR --folds 0 1 --seeds 1"
        " --epochs 2 --skip-unreadable --out FILE"
    )


def test_a_fold_with_truncated_predictions_is_trained_again_with_the_same_result(repeated: CommandRun) -> None:
    assert repeated.record["advantage"]["accuracy_difference"] == 0


def test_the_difference_to_another_record_is_printed(first: CommandRun, repeated: CommandRun) -> None:
    num_videos = first.record["metrics"]["num_videos"]
    assert f"accuracy +0.000 compared with folds.json, on the {num_videos} videos that both" in repeated.output


def test_the_architecture_option_replaces_that_of_the_config(with_attention: CommandRun) -> None:
    assert with_attention.record["config"]["architecture"] == "cnn_bilstm_attention"


def test_the_architecture_option_is_part_of_the_recorded_command(with_attention: CommandRun) -> None:
    assert (
        "--epochs 2 --architecture cnn_bilstm_attention --skip-unreadable"
        in with_attention.record["metrics"]["command"]
    )


def test_another_architecture_makes_other_predictions(first: CommandRun, with_attention: CommandRun) -> None:
    of_each = [[video["probabilities"] for video in run.record["videos"]] for run in (first, with_attention)]
    assert of_each[0] != of_each[1]


def test_the_former_name_of_the_architecture_option_is_accepted() -> None:
    from model_training.commands.arguments import argument_parser  # noqa: PLC0415

    given = ["cross-validate", "--config", "c.py", "--data", "d", "--out", "o.json", "--family", "cnn"]
    assert argument_parser().parse_args(given).architecture == "cnn"


def test_the_manifest_contains_the_metrics_of_the_record(first: CommandRun, model: Path) -> None:
    manifest = json.loads((model / "manifest.json").read_text())
    assert manifest["metrics"]["cross_validation"] == first.record["metrics"]


def test_the_card_shows_the_accuracy_of_the_record(first: CommandRun, model: Path) -> None:
    metrics = first.record["metrics"]
    card = (model / "MODEL_CARD.md").read_text()
    assert f"### Cross-validation: {metrics['num_videos']} videos of {metrics['num_groups']} groups" in card
    assert f"Accuracy {metrics['accuracy']:.3f} [" in card


def test_the_card_shows_the_baselines_of_the_record(first: CommandRun, model: Path) -> None:
    score = first.record["metrics"]["baselines"]["mean_frame"]
    table = (model / "MODEL_CARD.md").read_text().split("each fold taught on the others:")[1]
    assert f"| nearest mean picture in training | {score['accuracy']:.3f} | {score['macro_f1']:.3f} |" in table


def _train_error(inputs: Sequence[str], record: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["train", *inputs, "--out", str(models), "--cross-validation", str(record)]) == 2
    return capsys.readouterr().err


def test_training_rejects_the_record_of_another_architecture(
    first: CommandRun, with_attention: CommandRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = _train_error(first.inputs, with_attention.path, tmp_path, capsys)
    assert f"{with_attention.path}: this record belongs to another config" in error


def test_training_rejects_the_record_of_a_changed_config(
    first: CommandRun, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_config.write_text(QUICK_CONFIG.replace("num_epochs=2", "num_epochs=3"))
    error = _train_error(("--config", str(tiny_config), *first.inputs[2:]), first.path, tmp_path / "models", capsys)
    assert f"{first.path}: this record belongs to another config" in error


def test_training_rejects_a_file_that_is_no_record(
    first: CommandRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "folds.json"
    record.write_text("{}")
    error = _train_error(first.inputs, record, tmp_path / "models", capsys)
    assert f"{record}: not a record of cross-validate: " in error


def test_options_replace_the_backbone_and_omit_stages_that_train_it(
    painted_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, record = tmp_path / "staged.py", tmp_path / "other.json"
    frozen = 'StageConfig(name="head", num_epochs=1, learning_rate=1e-3, backbone="frozen", num_feature_views=1),'
    config.write_text(
        QUICK_CONFIG.replace("stages=(", f"stages=({frozen}", 1).replace('backbone="tiny",', 'backbone="i3d",', 1)
    )
    given = ["--config", str(config), "--data", str(painted_dataset), "--runs", str(tmp_path / "runs")]
    command_line = ["cross-validate", *given, "--folds", "0", "--frozen-only", "--out", str(record), "--backbone"]
    assert main([*command_line, "mobilenet_v2"]) == 0
    content = json.loads(record.read_text())
    assert content["config"]["backbone"] == "mobilenet_v2"
    assert [stage["name"] for stage in content["config"]["stages"]] == ["head"]
    assert "--backbone mobilenet_v2 --frozen-only --out FILE" in content["metrics"]["command"]
    config.write_text(QUICK_CONFIG.replace('backbone="tiny",', 'backbone="tiny", input="differences",', 1))
    capsys.readouterr()
    assert main([*command_line[:-4], *command_line[-3:], "i3d"]) == 2
    assert f"{config}: TrainConfig: i3d models motion itself" in capsys.readouterr().err


def test_the_record_counts_allowed_leaks_and_keeps_absolute_paths_of_videos_outside_the_folder(
    painted_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (painted_dataset / "manifest.csv").open(newline="") as file:
        rows = [row | {"path": str(painted_dataset / row["path"])} for row in csv.DictReader(file)]
    first = next(row for row in rows if row["fold"] == "0")
    next(row for row in rows if row["fold"] == "1")["group"] = first["group"]
    data, record, config = tmp_path / "data", tmp_path / "folds.json", tmp_path / "tiny.py"
    data.mkdir()
    with (data / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        writer.writerows(rows)
    config.write_text(QUICK_CONFIG)
    given = ["--config", str(config), "--data", str(data), "--runs", str(tmp_path / "runs"), "--out", str(record)]
    assert main(["cross-validate", *given, "--folds", "0", "--epochs", "1", "--allow-leakage"]) == 0
    output = capsys.readouterr().out
    assert "1 leak between a held-out fold and the rest was allowed (the same source, scene or copy" in output
    kept = CrossValidationRecord.model_validate_json(record.read_bytes())
    assert kept.metrics.num_leaks == 1
    assert kept.metrics.command.endswith("--epochs 1 --allow-leakage --out FILE")
    assert {video.path for video in kept.videos} == {row["path"] for row in rows if row["fold"] == "0"}


@pytest.mark.parametrize("command", ["compare", "cross-validate"])
def test_too_few_groups_and_a_config_for_several_machines_are_errors_before_decoding(
    painted_dataset: Path, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with (painted_dataset / "manifest.csv").open(newline="") as file:
        rows = [row | {"path": str(painted_dataset / row["path"])} for row in csv.DictReader(file)]
    for row in rows:
        row["group"] = "one" if row["label"] == "jump" and row["fold"] != "0" else row["group"]
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    given = [command, "--config", str(tiny_config), "--data", str(tmp_path), "--runs", str(tmp_path / "runs")]
    given += ["--out", str(tmp_path / "out.json")] if command == "cross-validate" else []
    assert main(given) == 2
    assert "label 'jump' has too few groups: none is left for" in capsys.readouterr().err
    tiny_config.write_text(tiny_config.read_text().replace("batch_size=3", 'batch_size=3, distribution="multi_worker"'))
    assert main(given) == 2
    assert 'distribution="multi_worker" is for train only: cross-validation' in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
