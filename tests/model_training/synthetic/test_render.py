"""Rendered videos match their manifest."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from model_training.__main__ import main
from model_training.datasets.examples import read_examples
from model_training.synthetic.render import render_video, synthesise_dataset
from model_training.synthetic.scenes import EVENT_LABELS, EventLabel, paint_scene
from service.video.clip import DecodeLimits
from service.video.decode import open_video


def _digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def test_same_seed_renders_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        synthesise_dataset(tmp_path / name, num_videos=4, seed=seed)
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")
    assert _digests(tmp_path / "a") != _digests(tmp_path / "c")


def test_every_video_opens_and_contains_its_event(painted_dataset: Path) -> None:
    examples = read_examples(painted_dataset)
    assert {example.label for example in examples} == set(EVENT_LABELS)
    for example in examples:
        assert example.event_seconds is not None
        with open_video(example.path, DecodeLimits()) as video:
            assert 0 < example.event_seconds[0] < example.event_seconds[1] < video.facts.duration_seconds


@pytest.mark.parametrize("label", EVENT_LABELS)
def test_actor_only_drifts_outside_its_event(label: EventLabel) -> None:
    scene = paint_scene(label, 160, 120, 4.0, seed=11)
    start, end = scene.event_start_seconds, scene.event_end_seconds
    middle = (start + end) / 2
    assert scene.actor_pose_at(start - 0.01) == scene.actor.pose_at(start - 0.01)
    assert scene.actor_pose_at(middle) != scene.actor.pose_at(middle)
    if label == "vanish":
        assert scene.actor_pose_at(end).opacity == 0
    else:
        after, resting = scene.actor_pose_at(end + 0.01), scene.actor.pose_at(end + 0.01)
        assert after.radius == pytest.approx(resting.radius)
        assert after.y == pytest.approx(resting.y)
        assert (after.angle_degrees - resting.angle_degrees) % 360 == pytest.approx(0, abs=1e-6)


def test_dropped_frames_make_the_frame_rate_variable(tmp_path: Path) -> None:
    render_video(tmp_path / "v.mp4", "jump", seed=1, dropped_fraction=0.3)
    with open_video(tmp_path / "v.mp4", DecodeLimits()) as video:
        assert video.facts.is_variable_frame_rate


@pytest.mark.parametrize(
    ("name", "codec"), [("v.avi", "h264"), ("v.m4v", "h264"), ("v.MOV", "h264"), ("v.ts", "h264"), ("v.webm", "vp9")]
)
def test_suffix_selects_the_encoding_of_a_sample(tmp_path: Path, name: str, codec: str) -> None:
    assert main(["synthesise", "--sample", str(tmp_path / name)]) == 0
    with open_video(tmp_path / name, DecodeLimits()) as video:
        assert video.facts.codec == codec
        assert video.facts.num_frames == 98


@pytest.mark.parametrize("name", ["v.foo", "v", "v.ogv"])
def test_unknown_suffix_is_an_error_that_lists_the_known_ones(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    assert main(["synthesise", "--sample", str(path)]) == 2
    known = ".avi, .m4v, .mkv, .mov, .mp4, .ts, .webm"
    assert capsys.readouterr().err == f"error: {path}: cannot be written: the suffix must be one of {known}\n"
    assert not path.exists()


def test_nothing_is_rendered_over_existing_files_without_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.mp4"
    mine.write_bytes(b"mine")
    assert main(["synthesise", "--sample", str(mine)]) == 2
    assert "it exists. Choose another name, or replace it with --force" in capsys.readouterr().err
    assert main(["synthesise", "--out", str(tmp_path), "--num-videos", "1"]) == 2
    assert "it is not empty" in capsys.readouterr().err
    assert mine.read_bytes() == b"mine"
    assert main(["synthesise", "--sample", str(mine), "--force"]) == 0
    assert mine.read_bytes()[4:8] == b"ftyp"


def test_a_report_is_never_written_over_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesise", "--out", str(tmp_path / "data"), "--num-videos", "2"]) == 0
    video = next((tmp_path / "data").glob("*.mp4"))
    manifest = tmp_path / "data" / "manifest.csv"
    link = tmp_path / "report.json"
    link.hardlink_to(video)
    before = (video.read_bytes(), manifest.read_bytes())
    for source, report in ((manifest, manifest), (tmp_path / "data", link)):
        runs = str(tmp_path / "runs")
        assert main(["validate-data", "--data", str(source), "--runs", runs, "--json", str(report)]) == 2
        assert "it is an input of this command" in capsys.readouterr().err
    assert (video.read_bytes(), manifest.read_bytes()) == before


def test_sensor_noise_makes_frames_differ() -> None:
    scene = paint_scene("spin", 64, 48, 3.0, seed=2)
    first, second = scene.frames_at(np.array([0.0, 0.04]))
    assert first.shape == (48, 64, 3)
    assert not np.array_equal(first, second)
