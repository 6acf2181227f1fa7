"""The command `validate-data`, leaks and baselines, on generated footage."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model_training.__main__ import main
from model_training.datasets.duplicates import DuplicatePair
from model_training.datasets.examples import Example
from model_training.datasets.leakage import find_leaks, group_duplicates, refuse_leaks
from model_training.errors import TrainingDataError
from model_training.evaluation.baselines import Baselines, BaselineScore
from tests.model_training.conftest import QUICK_CONFIG
from tests.support.shared_data import shared_data
from tests.support.videos import encode

_NUM_FRAMES = 32


def _footage(place: int, mover: int) -> list[NDArray[np.uint8]]:
    """Frames 128x96 of one place, 8 a second, with a moving square; places and paths by number."""
    blocks = np.random.default_rng(place).integers(40, 216, (8, 10, 3), dtype=np.uint8)
    scene = cv2.resize(blocks, (128, 96), interpolation=cv2.INTER_CUBIC)
    steps = np.random.default_rng(1000 + mover).normal(0, 9, (_NUM_FRAMES, 2)).cumsum(axis=0)
    pictures = []
    for down, right in steps:
        picture = scene.copy()
        top, left = int(40 + down) % 72, int(50 + right) % 104
        picture[top : top + 24, left : left + 24] = 255
        pictures.append(np.asarray(picture, np.uint8))
    return pictures


def _resized(pictures: Sequence[NDArray[np.uint8]], width: int, height: int) -> list[NDArray[np.uint8]]:
    return [np.asarray(cv2.resize(picture, (width, height)), np.uint8) for picture in pictures]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve places, and of the first: a copy, a smaller and shorter re-encoding, and other footage of the place."""
    directory = tmp_path_factory.mktemp("footage")
    rows = []
    for place in range(12):
        encode(directory / f"{place}.mp4", _footage(place, place))
        rows.append(f"{place}.mp4,{'xy'[place % 2]},{place // 2 % 3}")
    (directory / "copy.mp4").write_bytes((directory / "0.mp4").read_bytes())
    smaller = _resized(_footage(0, 0)[8:], 96, 72)
    encode(directory / "again.avi", smaller, codec="mpeg4", options={"b": "400k"})
    encode(directory / "visit.mp4", _footage(0, 77))
    rows += ["copy.mp4,x,0", "again.avi,x,1", "visit.mp4,y,2"]
    (directory / "manifest.csv").write_text("\n".join(["path,label,fold", *rows]) + "\n")
    return directory


@pytest.fixture(scope="module")
def report(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of `validate-data --json` on it."""
    work = tmp_path_factory.mktemp("report")
    code = main(["validate-data", "--data", str(dataset), "--runs", str(work / "runs"), "--json", str(work / "r.json")])
    assert code == 2
    found: dict[str, Any] = json.loads((work / "r.json").read_text())
    return found


def _pairs(report: dict[str, Any], key: str) -> set[tuple[str, str, str]]:
    return {(Path(pair["first"]).name, Path(pair["second"]).name, pair["shared"]) for pair in report[key]}


def test_duplicates_are_found_despite_another_codec_size_and_cut(report: dict[str, Any]) -> None:
    assert _pairs(report, "duplicates") == {
        ("0.mp4", "copy.mp4", "same bytes"),
        ("0.mp4", "again.avi", "near duplicate"),
        ("copy.mp4", "again.avi", "near duplicate"),
        ("0.mp4", "visit.mp4", "same scene"),
        ("copy.mp4", "visit.mp4", "same scene"),
        ("again.avi", "visit.mp4", "same scene"),
    }


def test_duplicates_are_leaks_only_between_folds(report: dict[str, Any]) -> None:
    assert _pairs(report, "leaks") == _pairs(report, "duplicates") - {("0.mp4", "copy.mp4", "same bytes")}
    assert "5 leaks between folds" in report["problems"][0]


def test_duplicates_count_as_one_group(report: dict[str, Any]) -> None:
    assert report["num_videos"] == 15
    assert report["num_groups"] == 12
    assert report["labels"]["x"] == {"num_videos": 8, "num_groups": 6}
    assert report["baselines"]["num_videos"] == 15


@pytest.mark.tensorflow
@pytest.mark.parametrize("command", ["train", "compare", "cross-validate"])
def test_training_on_a_leaking_fold_is_an_error(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "tiny.py").write_text(QUICK_CONFIG)
    out = {"train": ["--out", str(tmp_path / "models")], "cross-validate": ["--out", str(tmp_path / "a.json")]}
    places = ["--data", str(dataset), "--runs", str(tmp_path / "runs"), *out.get(command, [])]
    assert main([command, "--config", str(tmp_path / "tiny.py"), *places]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "the held-out fold leaks" in said
    assert "again.avi (fold 1)" in said
    assert "--allow-leakage" in said


@pytest.mark.tensorflow
def test_a_card_states_the_command_and_the_leaks_of_its_held_out_fold(dataset: Path, tmp_path: Path) -> None:
    config = QUICK_CONFIG.replace("num_epochs=2", "num_epochs=1")
    (tmp_path / "tiny.py").write_text(config)
    places = ["--data", str(dataset), "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "models")]
    assert main(["train", "--config", str(tmp_path / "tiny.py"), *places, "--allow-leakage"]) == 0
    card = (tmp_path / "models" / "tiny" / "1" / "MODEL_CARD.md").read_text()
    assert "3 leaks between a held-out fold and the rest were allowed (the same source, scene or copy" in card
    assert f"python -m model_training train --config {tmp_path / 'tiny.py'} --data DIR --allow-leakage\n" in card


@pytest.mark.tensorflow
def test_allowed_leaks_are_counted_and_duplicates_are_one_group(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.py").write_text(QUICK_CONFIG)
    record = tmp_path / "record.json"
    places = ["--data", str(dataset), "--runs", str(tmp_path / "runs"), "--out", str(record)]
    protocol = ["--config", str(tmp_path / "tiny.py"), "--folds", "1", "--epochs", "1"]
    assert main(["cross-validate", *protocol, *places, "--allow-leakage"]) == 0
    # Only footage that fold 1 shares counts: the place that folds 0 and 2 share does not.
    assert "3 leaks between a held-out fold and the rest were allowed" in capsys.readouterr().err
    groups = {video["path"]: video["group"] for video in json.loads(record.read_text())["videos"]}
    assert len(groups) == 5
    assert groups["again.avi"] == "0.mp4"


def _example(name: str, group: str, fold: int) -> Example:
    return Example(Path(name), ("x",), group, fold)


def test_a_group_in_two_folds_is_a_leak_and_duplicates_across_groups_join_them() -> None:
    examples = [_example("a", "g", 0), _example("b", "g", 1), _example("c", "h", 0), _example("d", "i", 1)]
    duplicates = [DuplicatePair(0, 2, "same scene"), DuplicatePair(2, 3, "near duplicate")]
    leaks = find_leaks(examples, duplicates, lambda example: example.fold)
    assert [(leak.first.path.name, leak.second.path.name, leak.shared) for leak in leaks] == [
        ("a", "b", "group 'g'"),
        ("c", "d", "near duplicate"),
    ]
    with pytest.raises(TrainingDataError, match=r"a \(fold 0\) and b \(fold 1\): group 'g' and 1 more"):
        refuse_leaks(leaks)
    assert {example.group for example in group_duplicates(examples, duplicates)} == {"g"}
    assert find_leaks(examples, duplicates, lambda _: None) == []
    refuse_leaks([])


def _baselines(metadata: float, mean_frame: float, chance: float) -> Baselines:
    majority, by_files, by_place = (BaselineScore(accuracy=a, macro_f1=a) for a in (chance, metadata, mean_frame))
    return Baselines(majority=majority, metadata=by_files, mean_frame=by_place, num_videos=100)


def test_a_baseline_far_above_chance_or_near_the_model_gives_a_verdict() -> None:
    assert _baselines(0.6, 0.6, 0.5).verdict() is None
    assert "metadata alone" in str(_baselines(0.8, 0.6, 0.5).verdict())
    assert "nearest mean picture" in str(_baselines(0.6, 0.8, 0.5).verdict())
    assert "the model 0.640" in str(_baselines(0.6, 0.5, 0.5).verdict(0.64))
    assert _baselines(0.6, 0.5, 0.5).verdict(0.7) is None


def test_metadata_that_reveals_the_label_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in range(16):
        label = "xy"[place % 2]
        (tmp_path / label).mkdir(exist_ok=True)
        size = (128, 96) if label == "x" else (96, 128)
        encode(tmp_path / label / f"{place}.mp4", _resized(_footage(place, place), *size)[:12])
    assert main(["validate-data", "--data", str(tmp_path), "--runs", str(tmp_path / "runs")]) == 0
    assert "The data reveals the label: the files' metadata alone" in " ".join(capsys.readouterr().out.split())


def test_all_unreadable_videos_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in range(4):
        encode(tmp_path / f"{place}.mp4", _footage(place, place)[:8])
    for name in ("bad.mp4", "worse.mp4"):
        (tmp_path / name).write_bytes(b"not a video")
    rows = [f"{place}.mp4,{'xy'[place % 2]}" for place in range(4)]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label", *rows, "bad.mp4,x", "worse.mp4,y"]) + "\n")
    assert main(["validate-data", "--data", str(tmp_path), "--runs", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr()
    assert f"unreadable: {tmp_path}/bad.mp4" in said.out
    assert f"unreadable: {tmp_path}/worse.mp4" in said.out
    assert "2 videos cannot be read" in said.err.splitlines()[-1]
    nowhere = tmp_path / "nowhere" / "report.json"
    assert main(["validate-data", "--data", str(tmp_path), "--json", str(nowhere)]) == 2
    assert (
        capsys.readouterr().err == f"error: {nowhere}: cannot be written: the folder {nowhere.parent} does not exist\n"
    )


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ("path,label\n0.mp4,x\ngone.mp4,y\n", "manifest.csv, line 3: no such file: gone.mp4"),
        ("path,lable\n0.mp4,x\n", "manifest.csv, line 1: unknown column 'lable' (did you mean 'label'?)"),
        ("path,label\n0.mp4,x\n2.mp4,x\n1.mp4,y\n", "manifest.csv, line 4: {data}/1.mp4: label 'y' has too few groups"),
        ("path,label,fold\n0.mp4,x,0\n1.mp4,y,0\n", "no video is in fold 1, which the config holds out"),
    ],
)
def test_unusable_training_data_is_one_error_line(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], manifest: str, sentence: str
) -> None:
    for place in range(3):
        (tmp_path / f"{place}.mp4").write_bytes((dataset / f"{place}.mp4").read_bytes())
    (tmp_path / "manifest.csv").write_text(manifest)
    held_out = "1" if "fold" in manifest else "None"
    (tmp_path / "tiny.py").write_text(QUICK_CONFIG.replace("held_out_fold=1", f"held_out_fold={held_out}"))
    places = ["--out", str(tmp_path / "models"), "--runs", str(tmp_path / "runs")]
    assert main(["train", "--config", str(tmp_path / "tiny.py"), "--data", str(tmp_path), *places]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ")
    assert sentence.format(data=tmp_path) in said


def test_an_empty_folder_of_a_label_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").mkdir()
    assert main(["validate-data", "--data", str(tmp_path), "--runs", str(tmp_path / "runs")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {tmp_path}/x: no video here")


def test_videos_of_one_room_in_two_folds_of_the_fights_data_are_leaks(tmp_path: Path) -> None:
    data = shared_data("fights")
    lines = (data / "manifest.csv").read_text().splitlines()
    names = ("fi044", "fi045", "nofi022", "fi001", "nofi001")
    chosen = [line for line in lines[1:] if line.split(",")[0].split("/")[1].removesuffix(".mp4") in names]
    rows = [f"{data / line}" for line in chosen]
    (tmp_path / "manifest.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    report = tmp_path / "report.json"
    arguments = ["validate-data", "--data", str(tmp_path), "--runs", str(tmp_path / "runs"), "--json", str(report)]
    assert main(arguments) == 2
    assert _pairs(json.loads(report.read_text()), "leaks") == {
        ("fi044.mp4", "nofi022.mp4", "same scene"),
        ("fi045.mp4", "nofi022.mp4", "same scene"),
    }
