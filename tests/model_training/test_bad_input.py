"""Full disks and Ctrl-C, through the command line: one sentence each, and nothing lost."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.model_training.commands import interrupted, places, run
from tests.model_training.conftest import TINY_CONFIG
from tests.videos import painted

QUICK_CONFIG = TINY_CONFIG.replace('backbone="tiny",', 'backbone="tiny", family="cnn",', 1)


def test_a_disk_that_is_full_of_clips_keeps_those_that_are_there(painted_dataset: Path, tmp_path: Path) -> None:
    done = run("validate-data", "--data", painted_dataset, "--runs", tmp_path, max_file_kilobytes=64)
    assert done.returncode == 2
    assert "cannot keep decoded clips: File too large; what is there is kept" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.tensorflow
def test_a_disk_without_place_for_a_checkpoint_is_one_sentence(painted_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(QUICK_CONFIG)
    given = ("train", "--config", tmp_path / "tiny.py", "--data", painted_dataset, *places(tmp_path))
    done = run(*given, max_file_kilobytes=100)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("checkpoint.npz: cannot save the checkpoint: File too large")
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "runs" / "cache").glob("*.npz"))) == 15
    assert not list(tmp_path.rglob("*.partial"))


def test_ctrl_c_while_decoding_keeps_what_is_decoded(tmp_path: Path) -> None:
    painted(tmp_path / "long.mp4", [frame % 256 for frame in range(800)])
    # So many that they are far from done when the signal is sent, however late that is.
    rows = [f"long.mp4,{'xy'[start % 2]},{start / 10},{start / 10 + 20}" for start in range(700)]
    manifest = "\n".join(["path,label,start_seconds,end_seconds", *rows])
    (tmp_path / "manifest.csv").write_text(manifest + "\n")
    said = interrupted("decode: ", "validate-data", "--data", tmp_path, "--runs", tmp_path / "runs")
    assert said[-1] == "interrupted: what was done so far is kept; the same command goes on from it"
    assert not any("Traceback" in line for line in said)
    kept = list((tmp_path / "runs" / "cache").iterdir())
    assert 70 <= len(kept) < 700
    for file in kept:
        with np.load(file) as stored:
            assert json.loads(str(stored["about"]))["facts"]["num_frames"] > 0


@pytest.mark.tensorflow
def test_ctrl_c_while_features_are_stored_keeps_those_of_whole_views(painted_dataset: Path, tmp_path: Path) -> None:
    frozen = 'backbone="frozen", num_feature_views=2000, batch_norm="frozen"'
    (tmp_path / "tiny.py").write_text(QUICK_CONFIG.replace('backbone="all", batch_norm="updated"', frozen))
    given = ("train", "--config", tmp_path / "tiny.py", "--data", painted_dataset, *places(tmp_path))
    said = interrupted("frozen backbone: ", *given)
    assert said[-1] == "interrupted: whole views of features are kept; the same command goes on from them"
    assert not any("Traceback" in line for line in said)
    views = list(tmp_path.glob("runs/tiny-*/features-0/*"))
    assert 100 <= len(views) < 2000
    for file in views:
        with np.load(file) as stored:
            assert len(stored["inputs"]) == 5
