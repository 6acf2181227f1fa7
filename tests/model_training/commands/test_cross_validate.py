"""Folds, what is said of videos outside of them, and the advice that follows."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_training.config import StageConfig
from model_training.cross_validation.record import (
    CrossValidationRecord,
    VideoOutcome,
    compute_advantage,
    read_cross_validation,
)
from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.decoding import decode_examples
from model_training.datasets.examples import Example
from model_training.errors import TrainingDataError, TrainingInterrupted
from model_training.evaluation.baselines import baselines_over_folds
from model_training.evaluation.results import CrossValidation, Interval
from model_training.progress import RunProgress
from tests.model_training.conftest import TINY_CONFIG
from tests.support.training.small_config import small_config
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow

FROZEN = StageConfig(name="head", num_epochs=12, learning_rate=3e-2, backbone="frozen", num_feature_views=1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[CachedClip]:
    """Sixteen clips that get brighter from frame to frame, in two folds of four groups."""
    file = tmp_path_factory.mktemp("clips") / "clips.npz"
    ramp = np.arange(0, 200, 50, dtype=np.uint8)[:, None, None, None]
    frames: dict[str, Any] = {f"frames.{i}": np.broadcast_to(ramp + i, (4, 16, 16, 3)) for i in range(16)}
    np.savez(file, **frames)
    examples = [Example(Path(f"{i}.mp4"), ("ab"[i % 2],), f"group-{i // 2}", i // 8) for i in range(16)]
    return [CachedClip(examples[i], file, i, np.ones(4, bool), np.arange(4) / 2) for i in range(16)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Eight videos, dark and bright, in two folds of two groups."""
    directory = tmp_path_factory.mktemp("videos")
    return [
        Example(
            painted(directory / f"{i}.mp4", [60 + 100 * (i % 2) + i + step for step in range(0, 40, 5)]),
            ("ab"[i % 2],),
            f"group-{i // 2}",
            i // 4,
        )
        for i in range(8)
    ]


def _data(clips: list[CachedClip], directory: Path, is_stopping: Any = lambda: False) -> Any:
    from model_training.cross_validation.folds import FoldData

    return FoldData([clip.example for clip in clips], ("a", "b"), clips, directory, RunProgress(), is_stopping)


def _features(clips: list[CachedClip]) -> Any:
    """Features that tell the label; of shuffled clips, those of the other label."""
    from model_training.cross_validation.folds import SharedFeatures
    from model_training.input_pipeline.batch import Batch

    targets = np.eye(2, dtype=np.float32)[[i % 2 for i in range(16)]]
    valid, nowhere = np.ones((16, 4), bool), np.zeros((16, 4), bool)
    told = np.repeat(np.repeat(targets[:, None], 4, axis=1), 80, axis=2)
    rest = (valid, targets, nowhere, np.zeros((16, 0), np.float32))
    still, shuffled = Batch(told, *rest), Batch(1 - told, *rest)
    assert len(clips) == len(targets)
    return SharedFeatures([still], still, shuffled)


def test_each_video_is_answered_by_networks_that_never_saw_its_fold(clips: list[CachedClip], tmp_path: Path) -> None:
    from model_training.cross_validation.folds import held_out_predictions, is_right

    config = small_config(architecture="cnn", stages=(FROZEN,))
    data = _data(clips, tmp_path)
    answers = held_out_predictions(config, data, _features(clips), folds=(0, 1), seeds=(1,))
    assert [answer.example for answer in answers] == [clip.example for clip in clips]
    assert all(is_right(one.probabilities, one.example.labels, data.labels, sums_to_one=True) for one in answers)
    assert not any(
        is_right(one.shuffled_probabilities, one.example.labels, data.labels, sums_to_one=True) for one in answers
    )
    # What is done is read back: a run that may not take a single step gives the same answers.
    again = held_out_predictions(
        config, _data(clips, tmp_path, lambda: True), _features(clips), folds=(0, 1), seeds=(1,)
    )
    for one, other in zip(again, answers, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz", ".npz"]


@pytest.mark.parametrize("changed", ["fold", "event_seconds"])
def test_answers_of_other_folds_or_events_are_not_read_back(
    clips: list[CachedClip], tmp_path: Path, changed: str
) -> None:
    from model_training.cross_validation.folds import held_out_predictions

    def told_otherwise(clip: CachedClip) -> CachedClip:
        swapped = {"group-0": 1, "group-4": 0}.get(clip.example.group, clip.example.fold)
        told = {"fold": swapped} if changed == "fold" else {"event_seconds": (0.0, 1.0)}
        return replace(clip, example=replace(clip.example, **told))

    config = small_config(architecture="cnn", stages=(FROZEN.model_copy(update={"num_epochs": 1}),))
    held_out_predictions(config, _data(clips, tmp_path), _features(clips), folds=(0, 1), seeds=(1,))
    others = [told_otherwise(clip) for clip in clips]
    # What is not read back has to be trained, and this run may not.
    with pytest.raises(TrainingInterrupted):
        held_out_predictions(config, _data(others, tmp_path, lambda: True), _features(others), folds=(0, 1), seeds=(1,))


def test_guesses_answer_each_fold_as_the_other_folds_taught_them(videos: list[Example], tmp_path: Path) -> None:
    decoded = decode_examples(videos, small_config().clip, tmp_path / "cache").videos
    both, one = (baselines_over_folds(decoded, folds, ("a", "b")) for folds in ((0, 1), (1,)))
    assert (both.num_videos, one.num_videos) == (8, 4)
    assert both.mean_frame.accuracy == 1
    assert both.majority.accuracy == 0.5
    # Labels that are the other way round in the other fold are guessed the other way round.
    turned = [
        replace(video, example=replace(video.example, labels=("ab"[video.example.labels == ("a",)],)))
        if video.example.fold == 0
        else video
        for video in decoded
    ]
    assert baselines_over_folds(turned, (1,), ("a", "b")).mean_frame.accuracy == 0


def test_exported_models_answer_each_video_of_the_fold_they_never_saw(videos: list[Example], tmp_path: Path) -> None:
    from model_training.cross_validation.folds import FoldData
    from model_training.cross_validation.out_of_fold import cross_validation_metrics, out_of_fold_predictions

    config = small_config(architecture="cnn", stages=(FROZEN.model_copy(update={"num_epochs": 2}),))
    decoded = decode_examples(videos, config.clip, tmp_path / "cache").videos
    clips = [clip for video in decoded for clip in video.clips]
    directory = tmp_path / "folds"
    directory.mkdir()

    def answered(is_stopping: Any) -> Any:
        data = FoldData(videos, ("a", "b"), clips, directory, RunProgress(), is_stopping)
        return out_of_fold_predictions(config, data, None, folds=(0, 1), seeds=(1, 2))

    runs = answered(lambda: False)
    assert [(one.seed, one.fold) for one in runs] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert all(example.fold == one.fold for one in runs for example in one.examples)
    # What is done is read back, every number of it: a run that may not take a single step gives the same answers.
    for one, other in zip(runs, answered(lambda: True), strict=True):
        for prediction, again in zip(one.predictions, other.predictions, strict=True):
            for name in ("probabilities", "clip_probabilities", "attention", "times_seconds", "valid"):
                np.testing.assert_array_equal(getattr(prediction, name), getattr(again, name))
    figures = cross_validation_metrics(config, ("a", "b"), runs, "command")
    right = [
        "ab"[int(prediction.probabilities.argmax())] == example.label
        for one in runs
        for prediction, example in zip(one.predictions, one.examples, strict=True)
    ]
    assert figures.accuracy == pytest.approx(np.mean(right), abs=1e-4)
    assert figures.num_videos == len(videos)
    assert figures.accuracy_deviation == pytest.approx(
        np.std([np.mean(right[: len(videos)]), np.mean(right[len(videos) :])], ddof=1), abs=1e-4
    )


def test_three_families_are_compared_on_the_same_videos(clips: list[CachedClip], tmp_path: Path) -> None:
    from model_training.cross_validation.architectures import compare_architectures

    stage = FROZEN.model_copy(update={"num_epochs": 1})
    comparison = compare_architectures(small_config(stages=(stage,)), _data(clips, tmp_path), folds=(1,), seeds=(1,))
    assert [one.architecture for one in comparison.architectures] == ["cnn", "cnn_bilstm", "cnn_bilstm_attention"]
    assert comparison.num_videos == 8
    assert comparison.num_groups == 4
    assert all(one.milliseconds_per_clip > 0 and one.accuracy_interval is not None for one in comparison.architectures)
    assert [(pair.architecture, pair.than) for pair in comparison.differences] == [
        ("cnn_bilstm", "cnn"),
        ("cnn_bilstm_attention", "cnn"),
        ("cnn_bilstm_attention", "cnn_bilstm"),
    ]
    assert comparison.advice.startswith("Use cnn")


def test_shuffling_keeps_what_is_seen_and_loses_when(clips: list[CachedClip]) -> None:
    from model_training.cross_validation.folds import ShuffledClip

    clip = clips[3]
    short = np.array([True, True, True, False])
    shuffled = ShuffledClip(clip.example, clip.cache_file, clip.index, short, clip.times_seconds).frames()
    levels = shuffled[:, 0, 0, 0].tolist()
    assert sorted(levels[:3]) == [3, 53, 103]
    assert levels[3] == 153
    orders = {
        tuple(ShuffledClip(c.example, c.cache_file, c.index, c.valid, c.times_seconds).frames()[:, 0, 0, 0] - c.index)
        for c in clips
    }
    assert len(orders) > 1


def _family(architecture: str, accuracy: float, shuffling_low: float) -> Any:
    from model_training.cross_validation.architectures import ArchitectureMetrics

    return ArchitectureMetrics(
        architecture=architecture,  # type: ignore[arg-type]
        accuracy=accuracy,
        accuracy_by_seed=(accuracy,),
        accuracy_deviation=0,
        shuffled_accuracy=accuracy - 0.1,
        shuffling_costs=0.1,
        shuffling_costs_interval=Interval(low=shuffling_low, high=0.3),
        milliseconds_per_clip=1,
        num_parameters=1,
    )


def _difference(architecture: str, than: str, low: float) -> Any:
    from model_training.cross_validation.architectures import Difference

    interval = Interval(low=low, high=low + 0.2)
    return Difference(architecture=architecture, than=than, accuracy_difference=low + 0.1, interval=interval)  # type: ignore[arg-type]


def test_a_costlier_family_is_advised_only_where_it_is_surely_better() -> None:
    from model_training.cross_validation.architectures import advise

    architectures = [
        _family("cnn", 0.7, -0.1),
        _family("cnn_bilstm", 0.75, 0.02),
        _family("cnn_bilstm_attention", 0.76, 0.1),
    ]
    unsure = [
        _difference("cnn_bilstm", "cnn", -0.05),
        _difference("cnn_bilstm_attention", "cnn", -0.04),
        _difference("cnn_bilstm_attention", "cnn_bilstm", -0.09),
    ]
    advice = advise(architectures, unsure)
    assert advice.startswith("Use cnn (")
    assert "no network that looks further over time is surely better" in advice
    assert "order cannot be told to matter" in advice
    sure = [_difference("cnn_bilstm", "cnn", 0.01), *unsure[1:]]
    advice = advise(architectures, sure)
    assert advice.startswith("Use cnn_bilstm (")
    assert "order matters to it: shuffling the frames costs 0.100" in advice


def test_answers_of_labels_that_stand_for_themselves_are_right_when_every_one_is() -> None:
    from model_training.cross_validation.folds import is_right

    for answer, expected in (([0.9, 0.1, 0.6], True), ([0.9, 0.6, 0.6], False), ([0.9, 0.1, 0.2], False)):
        assert is_right(np.array(answer), ("a", "c"), ("a", "b", "c"), sums_to_one=False) is expected


def test_the_figures_of_cross_validation_stand_on_the_card_of_what_is_trained_by_the_same_config(
    painted_dataset: Path, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from model_training.__main__ import main

    record, models = tmp_path / "folds.json", tmp_path / "models"
    given = ["--config", str(tiny_config), "--data", str(painted_dataset), "--runs", str(tmp_path / "runs")]
    flags = ["--epochs", "2", "--skip-unreadable"]
    assert main(["cross-validate", *given, "--folds", "0", "1", *flags, "--out", str(record)]) == 0
    figures = json.loads(record.read_text())["figures"]
    said = capsys.readouterr().out
    assert f"accuracy {figures['accuracy']:.3f} +- 0.000 over 1 seeds" in said
    guess = figures["baselines"]["mean_frame"]
    assert f"nearest mean picture in training: accuracy {guess['accuracy']:.3f}" in said
    assert figures["command"] == (
        f"python -m model_training cross-validate --config {tiny_config} --data DIR --folds 0 1 --seeds 1 --epochs 2"
        " --skip-unreadable --out FILE"
    )
    again = tmp_path / "again.json"
    # As a power cut leaves it: that fold is done once more, and comes out the same.
    (torn, *_) = (tmp_path / "runs" / "tiny-folds").glob("exported-*-fold-0-*.npz")
    torn.write_bytes(torn.read_bytes()[:1000])
    asked = ["cross-validate", *given, "--folds", "0", "1", *flags, "--out", str(again), "--against", str(record)]
    assert main(asked) == 0
    assert f"right +0.000 more often than folds.json on the {figures['num_videos']} videos" in capsys.readouterr().out
    assert json.loads(again.read_text())["advantage"]["accuracy_difference"] == 0
    mean = tmp_path / "mean.json"
    asked = ["cross-validate", *given, "--folds", "0", "1", *flags, "--architecture", "cnn", "--out", str(mean)]
    assert main([*asked, "--against", str(record)]) == 0
    of_mean = json.loads(mean.read_text())
    assert of_mean["config"]["architecture"] == "cnn"
    assert "--epochs 2 --architecture cnn --skip-unreadable" in of_mean["figures"]["command"]
    answers = [[one["probabilities"] for one in told["videos"]] for told in (of_mean, json.loads(record.read_text()))]
    assert answers[0] != answers[1]
    train = ["train", *given, "--out", str(models), "--cross-validation"]
    capsys.readouterr()
    assert main([*train, str(mean)]) == 2
    assert f"{mean}: was made by another config than the one to train" in capsys.readouterr().err
    train.append(str(record))
    assert main(train) == 0
    manifest = json.loads((models / "tiny" / "1" / "manifest.json").read_text())
    assert manifest["metrics"]["cross_validation"] == figures
    card = (models / "tiny" / "1" / "MODEL_CARD.md").read_text()
    assert f"### Cross-validation: {figures['num_videos']} videos of {figures['num_groups']} groups" in card
    assert f"Accuracy {figures['accuracy']:.3f} [" in card
    table = card.split("each fold taught on the others:")[1]
    assert f"| nearest mean picture in training | {guess['accuracy']:.3f} | {guess['macro_f1']:.3f} |" in table
    tiny_config.write_text(tiny_config.read_text().replace("num_epochs=2", "num_epochs=3"))
    capsys.readouterr()
    assert main([*train, "--version", "2"]) == 2
    assert f"{record}: was made by another config than the one to train" in capsys.readouterr().err
    record.write_text("{}")
    assert main([*train, "--version", "2"]) == 2
    assert f"{record}: not what cross-validate writes: " in capsys.readouterr().err


def test_a_config_is_measured_on_another_backbone_without_the_stages_that_train_it(
    painted_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from model_training.__main__ import main

    config, record = tmp_path / "staged.py", tmp_path / "other.json"
    frozen = 'StageConfig(name="head", num_epochs=1, learning_rate=1e-3, backbone="frozen", num_feature_views=1),'
    config.write_text(
        TINY_CONFIG.replace("stages=(", f"stages=({frozen}", 1).replace('backbone="tiny",', 'backbone="i3d",', 1)
    )
    given = ["--config", str(config), "--data", str(painted_dataset), "--runs", str(tmp_path / "runs")]
    asked = ["cross-validate", *given, "--folds", "0", "--frozen-only", "--out", str(record), "--backbone"]
    assert main([*asked, "mobilenet_v2"]) == 0
    told = json.loads(record.read_text())
    assert told["config"]["backbone"] == "mobilenet_v2"
    assert [stage["name"] for stage in told["config"]["stages"]] == ["head"]
    assert "--backbone mobilenet_v2 --frozen-only --out FILE" in told["figures"]["command"]
    config.write_text(TINY_CONFIG.replace('backbone="tiny",', 'backbone="tiny", input="differences",', 1))
    capsys.readouterr()
    assert main([*asked[:-4], *asked[-3:], "i3d"]) == 2
    assert f"{config}: TrainConfig: i3d models motion itself" in capsys.readouterr().err


def test_the_record_says_what_leaks_were_allowed_and_where_a_video_lies_outside_of_the_folder(
    painted_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from model_training.__main__ import main

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
    config.write_text(TINY_CONFIG.replace('backbone="tiny",', 'backbone="tiny", architecture="cnn",', 1))
    given = ["--config", str(config), "--data", str(data), "--runs", str(tmp_path / "runs"), "--out", str(record)]
    assert main(["cross-validate", *given, "--folds", "0", "--epochs", "1", "--allow-leakage"]) == 0
    said = capsys.readouterr().out
    assert "1 leak between a held-out fold and the rest was allowed (the same source, scene or copy" in said
    kept = CrossValidationRecord.model_validate_json(record.read_bytes())
    assert kept.figures.num_leaks == 1
    assert kept.figures.command.endswith("--epochs 1 --allow-leakage --out FILE")
    assert {video.path for video in kept.videos} == {row["path"] for row in rows if row["fold"] == "0"}


@pytest.mark.parametrize("command", ["compare", "cross-validate"])
def test_a_label_with_too_few_groups_and_a_config_for_several_machines_are_refused_before_anything_is_decoded(
    painted_dataset: Path, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    from model_training.__main__ import main

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
    assert 'distribution="multi_worker" is for train: a fold has one machine' in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def _record(path: Path, *videos: VideoOutcome) -> Path:
    """A record of a cross-validation of the small config: labels a and b, four videos in fold 0."""
    told = {
        **dict.fromkeys(("accuracy", "macro_f1", "expected_calibration_error", "model_milliseconds_per_clip"), 0.5),
        **dict.fromkeys(("accuracy_deviation", "accuracy_deviation_over_folds", "macro_f1_deviation"), 0.1),
        "expected_calibration_error_deviation": 0.1,
        "folds": [0],
        "seeds": [1],
        "num_videos": 4,
        "num_groups": 4,
        "command": "a test",
    }
    figures = CrossValidation.model_validate(told)
    record = CrossValidationRecord(config=small_config(), labels=("a", "b"), figures=figures, videos=videos)
    path.write_text(record.model_dump_json())
    return path


def _examples(labels: str, num_folds: int = 1) -> list[Example]:
    return [Example(Path(f"{i}.mp4"), (label,), str(i), i % num_folds) for i, label in enumerate(labels)]


def test_the_figures_of_another_dataset_are_refused(tmp_path: Path) -> None:
    record, config = _record(tmp_path / "folds.json"), small_config()
    # Which fold is held out may differ, and so may the videos of folds that were not asked for.
    held = config.model_copy(update={"held_out_fold": 1})
    assert read_cross_validation(held, _examples("aabbaabb", 2), record, skip_unreadable=False).num_videos == 4
    with pytest.raises(TrainingDataError, match="is of the labels a, b, not of a, b, c"):
        read_cross_validation(config, _examples("aabc"), record, skip_unreadable=False)
    with pytest.raises(TrainingDataError, match="is of 4 videos, and the data has 3 in the same folds"):
        read_cross_validation(config, _examples("aab"), record, skip_unreadable=True)
    with pytest.raises(TrainingDataError, match="is of 4 videos, and the data has 5 in the same folds"):
        read_cross_validation(config, _examples("aabba"), record, skip_unreadable=False)


def test_figures_may_be_of_fewer_videos_where_unreadable_ones_are_left_out(tmp_path: Path) -> None:
    record = _record(tmp_path / "folds.json")
    assert read_cross_validation(small_config(), _examples("aabba"), record, skip_unreadable=True).num_videos == 4


def _answered(number: int, seed: int, *, is_right: bool) -> VideoOutcome:
    """Video `number`, of label a and group `number`."""
    probabilities = (0.9, 0.1) if is_right else (0.1, 0.9)
    return VideoOutcome(
        path=f"{number}.mp4", labels=("a",), group=str(number), fold=0, seed=seed, probabilities=probabilities
    )


def test_an_advantage_is_that_on_the_videos_which_both_answered(tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    _record(one, *(_answered(number, seed, is_right=True) for number in range(8) for seed in (1, 2)))
    # One seed only, other videos beside the same ones, and wrong about half of these.
    _record(other, *(_answered(number, 1, is_right=number % 2 == 0) for number in range(4, 12)))
    better, worse = (CrossValidationRecord.model_validate_json(path.read_bytes()) for path in (one, other))
    advantage = compute_advantage(better, worse, other)
    assert (advantage.than, advantage.num_videos, advantage.accuracy_difference) == ("other.json", 4, 0.5)
    assert advantage.interval is not None
    assert 0 <= advantage.interval.low < 0.5 < advantage.interval.high <= 1
    back = compute_advantage(worse, better, one)
    assert back.accuracy_difference == -0.5


def test_an_advantage_needs_the_same_videos_and_labels(tmp_path: Path) -> None:
    path = _record(tmp_path / "one.json", _answered(1, 1, is_right=True))
    one = CrossValidationRecord.model_validate_json(path.read_bytes())
    elsewhere = one.model_copy(update={"videos": (_answered(2, 1, is_right=True),)})
    with pytest.raises(TrainingDataError, match=r"one\.json: answers none of the same videos"):
        compute_advantage(elsewhere, one, path)
    with pytest.raises(TrainingDataError, match=r"one\.json: is of the labels a, b, not of a, c"):
        compute_advantage(one.model_copy(update={"labels": ("a", "c")}), one, path)
