"""Bad input, full disks and Ctrl-C on the command line: one error line each, and finished work is kept."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from model_training.__main__ import main
from tests.model_training.conftest import QUICK_CONFIG
from tests.support.training.commands import interrupted, places, run
from tests.support.videos import painted


@pytest.fixture
def data(painted_dataset: Path, tmp_path: Path) -> Path:
    """A copy of the painted dataset, for tests that change it."""
    return Path(shutil.copytree(painted_dataset, tmp_path / "data"))


def _changed_line(data: Path, number: int, **cells: str) -> None:
    """Give cells of a line of the manifest other texts."""
    lines = (data / "manifest.csv").read_text().splitlines()
    row = dict(zip(lines[0].split(","), lines[number - 1].split(","), strict=True)) | cells
    lines[number - 1] = ",".join(row.values())
    (data / "manifest.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.tensorflow
def test_each_error_of_evaluate_is_one_line_with_file_and_line(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained / "models" / "tiny" / "1"

    def error_of(*more: str, model: Path = model) -> str:
        given = ["evaluate", "--model", str(model), "--data", str(data), "--runs", str(tmp_path / "runs"), *more]
        assert main(given) == 2
        said = capsys.readouterr()
        assert said.out == ""
        lines = [line for line in said.err.splitlines() if line.startswith("error: ")]
        assert "Traceback" not in said.err
        assert said.err.splitlines()[-1:] == lines
        return lines[0]

    manifest = data / "manifest.csv"
    assert "no readable manifest.json" in error_of(model=tmp_path / "none" / "1")
    nowhere = tmp_path / "none" / "metrics.json"
    assert f"{nowhere}: cannot be written: the folder {nowhere.parent} does not exist" in error_of(
        "--json", str(nowhere)
    )
    whole = manifest.read_text()
    _changed_line(data, 9, label="explode")
    assert f"{manifest}, line 9: " in error_of()
    assert "the model has no label 'explode', only flash, grow" in error_of()
    manifest.write_text(whole)
    _changed_line(data, 5, path="gone.mp4")
    assert f"{manifest}, line 5: no such file: gone.mp4" in error_of()
    manifest.write_text(whole.replace("path,label", "path,lable", 1))
    assert f"{manifest}, line 1: unknown column 'lable' (did you mean 'label'?)" in error_of()
    manifest.write_text(whole)
    broken = data / whole.splitlines()[2].split(",")[0]
    broken.write_bytes(b"not a video")
    assert f"{manifest}, line 3: {broken}: " in error_of()
    metrics = tmp_path / "metrics.json"
    given = ["evaluate", "--model", str(model), "--data", str(data), "--runs", str(tmp_path / "runs")]
    assert main([*given, "--skip-unreadable", "--json", str(metrics)]) == 0
    assert f"left out: {manifest}, line 3: {broken}: " in capsys.readouterr().err
    counted = json.loads(metrics.read_text())
    assert (counted["num_unreadable"], counted["num_videos"]) == (1, len(whole.splitlines()) - 2)
    for row in whole.splitlines()[1:]:
        (data / row.split(",")[0]).write_bytes(b"not a video")
    assert f"{data}: no video can be read" in error_of("--skip-unreadable")


def test_a_full_disk_while_decoding_is_one_error_line(painted_dataset: Path, tmp_path: Path) -> None:
    done = run("validate-data", "--data", painted_dataset, "--runs", tmp_path, max_file_kilobytes=64)
    assert done.returncode == 2
    assert "cannot write decoded clips: File too large; finished clips are kept" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.tensorflow
def test_a_full_disk_while_saving_a_checkpoint_is_one_error_line(painted_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(QUICK_CONFIG)
    given = ("train", "--config", tmp_path / "tiny.py", "--data", painted_dataset, *places(tmp_path))
    done = run(*given, max_file_kilobytes=100)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("checkpoint.npz: cannot save the checkpoint: File too large")
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "runs" / "cache").glob("*.npz"))) == 15
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.tensorflow
def test_a_full_disk_while_exporting_keeps_the_training(trained: Path, painted_dataset: Path) -> None:
    given = ("train", "--config", trained / "tiny.py", "--data", painted_dataset, *places(trained), "--version", 7)
    done = run(*given, max_file_kilobytes=100)
    assert done.returncode == 2
    assert "tiny/7: cannot be exported: " in done.stderr.splitlines()[-1]
    assert "the training is saved: the same command exports it" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert [path.name for path in (trained / "models").iterdir()] == ["tiny"]
    assert [path.name for path in (trained / "models" / "tiny").iterdir()] == ["1"]


def test_ctrl_c_while_decoding_keeps_the_decoded_clips(tmp_path: Path) -> None:
    painted(tmp_path / "long.mp4", [frame % 256 for frame in range(800)])
    # So many that decoding is not finished when the signal is sent.
    rows = [f"long.mp4,{'xy'[start % 2]},{start / 10},{start / 10 + 20}" for start in range(700)]
    manifest = "\n".join(["path,label,start_seconds,end_seconds", *rows])
    (tmp_path / "manifest.csv").write_text(manifest + "\n")
    said = interrupted("decode: ", "validate-data", "--data", tmp_path, "--runs", tmp_path / "runs")
    assert said[-1] == "interrupted: finished work is saved; the same command continues from it"
    assert not any("Traceback" in line for line in said)
    kept = list((tmp_path / "runs" / "cache").iterdir())
    assert 70 <= len(kept) < 700
    for file in kept:
        with np.load(file) as stored:
            assert json.loads(str(stored["about"]))["facts"]["num_frames"] > 0


@pytest.mark.tensorflow
def test_ctrl_c_while_features_are_stored_keeps_complete_views(painted_dataset: Path, tmp_path: Path) -> None:
    frozen = 'backbone="frozen", num_feature_views=2000, batch_norm="frozen"'
    (tmp_path / "tiny.py").write_text(QUICK_CONFIG.replace('backbone="all", batch_norm="updated"', frozen))
    given = ("train", "--config", tmp_path / "tiny.py", "--data", painted_dataset, *places(tmp_path))
    said = interrupted("frozen backbone: ", *given)
    assert said[-1] == "interrupted: the finished feature views are kept; run the same command again to continue"
    assert not any("Traceback" in line for line in said)
    views = list(tmp_path.glob("runs/tiny-*/features-0/*"))
    assert 100 <= len(views) < 2000
    for file in views:
        with np.load(file) as stored:
            assert len(stored["inputs"]) == 5


@pytest.mark.tensorflow
def test_ctrl_c_while_exporting_keeps_the_training_and_leaves_no_partial_model(
    trained: Path, painted_dataset: Path
) -> None:
    given = ("train", "--config", trained / "tiny.py", "--data", painted_dataset, *places(trained), "--version", 8)
    said = interrupted("exporting", *given)
    assert said[-1] == "interrupted: finished work is saved; the same command continues from it"
    assert not any("Traceback" in line for line in said)
    assert [path.name for path in (trained / "models").iterdir()] == ["tiny"]
    assert [path.name for path in (trained / "models" / "tiny").iterdir()] == ["1"]
