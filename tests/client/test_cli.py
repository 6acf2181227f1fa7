"""The command `framewise`: output, written files, exit status."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import av
import pytest

from framewise.client import Client

pytestmark = pytest.mark.tensorflow


def framewise(*arguments: object, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command, with `--url` if `url` is given."""
    command = [sys.executable, "-m", "framewise", *map(str, arguments)]
    return subprocess.run([*command, *(["--url", url] if url else [])], capture_output=True, text=True, check=False)


def test_predict_prints_label_probability_and_a_chart(service_url: str, dark: Path) -> None:
    done = framewise("predict", dark, url=service_url)
    assert done.returncode == 0
    assert "dark  96.9%  grey/1" in done.stdout
    assert "attention per frame, most at" in done.stdout
    assert "█" in done.stdout


def test_predict_marks_a_label_below_the_threshold(service_url: str, ramp: Path) -> None:
    assert "below the threshold" in framewise("predict", ramp, url=service_url).stdout


def test_json_prints_one_prediction_per_line(service_url: str, dark: Path, ramp: Path) -> None:
    done = framewise("predict", dark, ramp, "--json", "--model", "grey", url=service_url)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["video"]["num_frames_sampled"] for answer in answers] == [8, 12]


def test_csv_prints_one_frame_per_row_and_one_header(service_url: str, dark: Path, ramp: Path) -> None:
    done = framewise("predict", dark, ramp, "--csv", url=service_url)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    with Client(service_url) as client:
        frames = [frame for path in (dark, ramp) for frame in client.predict(path).frames]
    assert [float(row["attention"]) for row in rows] == [frame.attention for frame in frames]
    assert [row["file"] for row in rows] == [str(dark)] * 8 + [str(ramp)] * 16
    assert {row["accepted"] for row in rows[:8]} == {"true"}


def test_a_refused_file_gives_status_1_and_the_next_file_is_classified(
    service_url: str, not_a_video: Path, dark: Path
) -> None:
    done = framewise("predict", not_a_video, dark, "--json", url=service_url)
    assert done.returncode == 1
    assert "not a video in a supported container" in done.stderr
    refused, classified = (json.loads(line) for line in done.stdout.splitlines())
    assert (refused["file"], refused["prediction"]) == (str(not_a_video), None)
    assert (refused["problem"]["status"], refused["problem"]["code"]) == (415, "unsupported_media")
    assert (classified["file"], classified["problem"]) == (str(dark), None)
    assert classified["prediction"]["label"] == "dark"


@pytest.mark.parametrize("arguments", [["predict"], ["predict", "--json", "--csv", __file__], ["dance"]])
def test_a_usage_error_gives_status_2(arguments: list[str]) -> None:
    done = framewise(*arguments)
    assert done.returncode == 2
    assert "Usage:" in done.stderr


@pytest.mark.parametrize("command", ["models", "health"])
def test_an_unreachable_service_gives_status_3(command: str) -> None:
    done = framewise(command, url="http://127.0.0.1:9")
    assert done.returncode == 3
    assert "No response from http://127.0.0.1:9" in done.stderr


def test_models_lists_each_with_its_labels(service_url: str) -> None:
    done = framewise("models", url=service_url)
    assert done.returncode == 0
    assert "* grey/1" in done.stdout
    assert "dark, bright" in done.stdout


def test_health_of_a_ready_service_gives_status_0(service_url: str) -> None:
    done = framewise("health", url=service_url)
    assert done.returncode == 0
    assert done.stdout.startswith("ready")


def test_annotate_keeps_every_frame_and_its_time_and_adds_a_strip(service_url: str, ramp: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = framewise("annotate", ramp, out, url=service_url)
    assert done.returncode == 0
    with av.open(str(ramp)) as before, av.open(str(out)) as after:
        times = [[frame.time for frame in video.decode(video=0)] for video in (before, after)]
        stream = after.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 320, 240 + 72)
    assert times[1] == pytest.approx(times[0], abs=1e-4)
    assert list(tmp_path.iterdir()) == [out]


def test_annotate_leaves_no_file_after_a_refusal(service_url: str, not_a_video: Path, tmp_path: Path) -> None:
    done = framewise("annotate", not_a_video, tmp_path / "out.mp4", url=service_url)
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_annotate_requires_an_mp4_target(dark: Path, tmp_path: Path) -> None:
    assert framewise("annotate", dark, tmp_path / "out.gif").returncode == 2
