"""The commands `train`, `evaluate`, `verify` and `card` in processes of their own, on painted videos."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

import csv
import json
import shutil
from pathlib import Path

import pytest

from model_training.export.card import Card
from model_training.export.card_markdown import card_markdown
from model_training.export.verify import differences
from model_training.training.checkpoint import read_checkpoint
from service.inference.manifest import file_digests, read_manifest, verify_files
from tests.support.training.commands import interrupted, places, run

pytestmark = pytest.mark.tensorflow


def test_training_exports_a_model_that_verifies(trained: Path) -> None:
    directory = trained / "models" / "tiny" / "1"
    manifest = read_manifest(directory)
    verify_files(directory, manifest)
    assert manifest.metrics["held_out"]["fold"] == 1
    assert manifest.metrics["held_out"]["num_videos"] == 5
    assert len(manifest.golden) == 3
    assert manifest.conformal is not None
    card = Card.model_validate_json((directory / "MODEL_CARD.json").read_bytes())
    assert len(card.history) == manifest.training["num_epochs"]
    assert card.assessment.faithfulness.attention_is_explanation == manifest.attention_is_explanation
    text = (directory / "MODEL_CARD.md").read_text()
    assert text == card_markdown(card)
    assert "Fold 1 of the data's manifest was held out" in text


def test_verify_measures_the_card_again_and_lists_differences(
    trained: Path, painted_dataset: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "tiny" / "1"
    shutil.copytree(trained / "models" / "tiny" / "1", directory)
    card_path = directory / "MODEL_CARD.json"
    original_card = trained / "models" / "tiny" / "1" / "MODEL_CARD.json"
    card = json.loads(card_path.read_text())
    card["assessment"]["robustness"]["clean_accuracy"] += 0.5
    card_path.write_text(json.dumps(card))
    unlisted = run("verify", "--model", directory, "--data", painted_dataset)
    assert unlisted.returncode == 2
    assert "altered, missing or unlisted files: MODEL_CARD.json" in unlisted.stderr
    manifest = read_manifest(directory).model_copy(update={"files": file_digests(directory)})
    (directory / "manifest.json").write_text(manifest.to_json())
    # All other metrics are measured again with the same values: only the changed one differs.
    done = run("verify", "--model", directory, "--data", painted_dataset)
    assert done.returncode == 2
    assert "1 metrics differ from the card" in done.stderr
    assert "robustness.clean_accuracy: the card says" in done.stderr
    written = run("card", "--model", directory, "--data", painted_dataset)
    assert written.returncode == 0, written.stderr
    written_card, original = (Card.model_validate_json(path.read_bytes()) for path in (card_path, original_card))
    assert differences(written_card.assessment, original.assessment) == []
    assert (directory / "MODEL_CARD.md").read_text() == card_markdown(written_card)
    verify_files(directory, read_manifest(directory))


def test_evaluate_gives_the_metrics_in_the_manifest_and_the_card(trained: Path, painted_dataset: Path) -> None:
    directory = trained / "models" / "tiny" / "1"
    predictions, metrics_file = trained / "predictions.json", trained / "metrics.json"
    outputs = ("--json", metrics_file, "--predictions", predictions, "--html", trained / "report.html")
    data = ("--data", painted_dataset, "--folds", 1, "--runs", trained / "runs")
    done = run("evaluate", "--model", directory, *data, *outputs)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(metrics_file.read_text())
    recorded = read_manifest(directory).metrics["held_out"]
    assert {name: metrics[name] for name in recorded if name != "fold"} == {
        name: value for name, value in recorded.items() if name != "fold"
    }
    card = json.loads((directory / "MODEL_CARD.json").read_text())
    assert metrics["baselines"] == card["assessment"]["baselines"]
    page = (trained / "report.html").read_text()
    for shown in (done.stdout, page):
        assert "nearest mean picture in training" in shown
        assert "metadata alone" in shown
    assert "Learning curves" in page
    videos = json.loads(predictions.read_text())["videos"]
    assert len(videos) == 5
    assert all(sum(video["probabilities"]) == pytest.approx(1) for video in videos)


def test_evaluating_training_videos_gives_no_baselines_and_the_reason(trained: Path, painted_dataset: Path) -> None:
    data = ("--data", painted_dataset, "--runs", trained / "runs")
    done = run("evaluate", "--model", trained / "models" / "tiny" / "1", *data)
    assert done.returncode == 0, done.stderr
    assert "no baselines: the model was trained on 5 of these 15 videos" in done.stderr
    assert "nearest mean picture" not in done.stdout
    assert "may be training videos of the model" in done.stdout


def test_a_sigmoid_head_of_two_labels_is_trained_exported_and_evaluated(painted_dataset: Path, tmp_path: Path) -> None:
    from tests.model_training.conftest import QUICK_CONFIG

    (tmp_path / "tiny.py").write_text(QUICK_CONFIG.replace("HeadConfig(", 'HeadConfig(kind="sigmoid", ', 1))
    with (painted_dataset / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "two.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "group", "fold"])
        for row in rows:
            label = "appearance" if row["label"] in {"flash", "vanish"} else "movement"
            writer.writerow([painted_dataset / row["path"], label, row["group"], row["fold"]])
    data = ("--data", tmp_path / "two.csv")
    done = run("train", "--config", tmp_path / "tiny.py", *data, *places(tmp_path))
    assert done.returncode == 0, done.stderr
    directory, predictions = tmp_path / "models" / "tiny" / "1", tmp_path / "predictions.json"
    done = run("evaluate", "--model", directory, *data, "--folds", 1, "--runs", tmp_path, "--predictions", predictions)
    assert done.returncode == 0, done.stderr
    predictions_of_videos = [video["probabilities"] for video in json.loads(predictions.read_text())["videos"]]
    assert read_manifest(directory).labels == ("appearance", "movement")
    assert len(predictions_of_videos) == 5
    for probabilities in predictions_of_videos:
        assert len(probabilities) == 2
        assert sum(probabilities) == pytest.approx(1, abs=1e-6)


def test_ctrl_c_saves_a_checkpoint_and_prints_how_to_continue(painted_dataset: Path, tmp_path: Path) -> None:
    from tests.model_training.conftest import QUICK_CONFIG

    # So many epochs that training is not finished when the signal is sent.
    config = QUICK_CONFIG.replace("num_epochs=2", "num_epochs=1000, patience_epochs=1000")
    (tmp_path / "tiny.py").write_text(config)
    arguments = ("train", "--config", tmp_path / "tiny.py", "--data", painted_dataset, *places(tmp_path))
    said = "\n".join(interrupted("all epoch 1:", *arguments, exit_codes=(130,)))
    assert "the checkpoint is saved; run the same command again" in said
    assert "Traceback" not in said
    # test_resume tests the result of a continued run.
    (checkpoint,) = (read_checkpoint(path) for path in tmp_path.glob("runs/tiny-*/checkpoint.npz"))
    assert checkpoint is not None
    assert not checkpoint.state.is_finished
    assert not (tmp_path / "models" / "tiny").exists()


def test_a_published_version_is_never_overwritten(trained: Path, painted_dataset: Path) -> None:
    done = run("train", "--config", trained / "tiny.py", "--data", painted_dataset, *places(trained), "--version", 1)
    assert done.returncode == 2
    assert "a version is never changed" in done.stderr


def test_an_unreadable_video_is_one_error_line_with_its_file_and_line(
    trained: Path, painted_dataset: Path, tmp_path: Path
) -> None:
    for path in painted_dataset.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    rows = (tmp_path / "manifest.csv").read_text().splitlines()
    broken = tmp_path / rows[1].split(",")[0]
    broken.write_bytes(b"not a video")
    done = run("train", "--config", trained / "tiny.py", "--data", tmp_path, *places(tmp_path))
    assert done.returncode == 2
    assert f"manifest.csv, line 2: {broken}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("CONFIG = 7", "sets no CONFIG"),
        ("from nowhere import nothing", "ModuleNotFoundError"),
        ("from model_training.config import LossConfig\nLossConfig(kind='guess')", "kind: Input should be"),
    ],
)
def test_a_broken_config_is_one_error_line(painted_dataset: Path, tmp_path: Path, config: str, sentence: str) -> None:
    (tmp_path / "broken.py").write_text(config)
    done = run("train", "--config", tmp_path / "broken.py", "--data", painted_dataset, *places(tmp_path))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
