"""`POST /predict` over a real uvicorn."""

import concurrent.futures
import json
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.support.grey_model import SPEC
from tests.support.running_service import RunningService
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def long_ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds: six clips."""
    return painted(tmp_path_factory.mktemp("videos") / "long.mp4", range(0, 192, 4))


def test_it_answers_label_probabilities_and_one_attention_weight_per_frame(
    shared_service: RunningService, ramp: Path
) -> None:
    answer = shared_service.post_video(ramp).raise_for_status().json()

    # Moments are 1/8, 3/8, ... s; of 8 frames a second those show frames 1, 3, ..., 15.
    levels = np.arange(1, 16, 2) * 10
    assert [frame["index"] for frame in answer["frames"]] == list(range(1, 16, 2))
    assert [frame["time_seconds"] for frame in answer["frames"]] == [index / 8 for index in range(1, 16, 2)]
    attention = [frame["attention"] for frame in answer["frames"]]
    assert attention == pytest.approx(levels / levels.sum(), abs=0.002)
    assert sum(attention) == pytest.approx(1, abs=1e-6)
    bright = levels.mean() / 255
    assert answer["prediction"]["label"] == "dark"
    assert answer["prediction"]["accepted"] is True
    assert [row["label"] for row in answer["probabilities"]] == ["dark", "bright"]
    assert [row["probability"] for row in answer["probabilities"]] == pytest.approx([1 - bright, bright], abs=0.004)
    assert answer["model"]["name"] == "grey"
    assert answer["model"]["digest"].startswith("sha256:")
    assert answer["video"] == {
        "container": "mp4",
        "codec": "h264",
        "width": 64,
        "height": 48,
        "rotation_degrees": 0,
        "is_mirrored": False,
        "duration_seconds": 2.0,
        "frame_rate": 8.0,
        "is_variable_frame_rate": False,
        "num_frames_decoded": answer["video"]["num_frames_decoded"],
        "num_frames_sampled": 8,
        "audio": "none",
    }
    assert set(answer["timings_ms"]) == {"receive", "decode", "queue", "model", "total"}


def test_a_long_video_is_covered_by_clips_that_reach_its_end(shared_service: RunningService, long_ramp: Path) -> None:
    answer = shared_service.post_video(long_ramp).raise_for_status().json()

    starts = [clip["start_seconds"] for clip in answer["clips"]]
    assert starts[0] == 0
    assert answer["clips"][-1]["end_seconds"] == answer["video"]["duration_seconds"] == 6.0
    assert max(np.diff(starts)) <= SPEC.stride_seconds
    for number in range(len(answer["clips"])):
        weights = [frame["attention"] for frame in answer["frames"] if frame["clip"] == number]
        assert sum(weights) == pytest.approx(1, abs=1e-6)
    bright = next(row["probability"] for row in answer["probabilities"] if row["label"] == "bright")
    by_clip = [c["probability"] if c["label"] == "bright" else 1 - c["probability"] for c in answer["clips"]]
    assert bright == pytest.approx(np.mean(by_clip), abs=1e-6)


def test_frames_that_do_not_exist_are_not_listed(shared_service: RunningService, tmp_path: Path) -> None:
    one_second = painted(tmp_path / "short.mp4", [100] * 8)
    answer = shared_service.post_video(one_second).raise_for_status().json()
    assert len(answer["frames"]) == 4
    assert [frame["attention"] for frame in answer["frames"]] == pytest.approx([0.25] * 4)


def test_top_lists_the_three_frames_of_each_clip_with_most_attention(
    shared_service: RunningService, ramp: Path
) -> None:
    answer = shared_service.post_video(ramp, frames="top").raise_for_status().json()
    assert [frame["index"] for frame in answer["frames"]] == [11, 13, 15]
    assert shared_service.post_video(ramp, frames="none").json()["frames"] == []


def test_top_k_limits_the_labels_and_threshold_decides_what_is_accepted(
    shared_service: RunningService, ramp: Path
) -> None:
    answer = shared_service.post_video(ramp, top_k=1, threshold=0.99).raise_for_status().json()
    assert [row["label"] for row in answer["probabilities"]] == ["dark"]
    assert answer["prediction"]["accepted"] is False


def test_the_same_video_gets_the_same_bytes_whatever_the_load(
    shared_service: RunningService, ramp: Path, long_ramp: Path
) -> None:
    def essence(response: httpx.Response) -> str:
        answer = response.raise_for_status().json()
        del answer["request_id"], answer["timings_ms"]
        return json.dumps(answer)

    alone = {path: essence(shared_service.post_video(path)) for path in (ramp, long_ramp)}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        paths = [ramp, long_ramp] * 10
        together = list(pool.map(lambda path: essence(shared_service.post_video(path)), paths))
    assert together == [alone[path] for path in paths]


def test_the_request_id_is_echoed_or_made(shared_service: RunningService, ramp: Path) -> None:
    with ramp.open("rb") as file:
        named = shared_service.client.post("/predict", files={"video": file}, headers={"X-Request-Id": "abc-1"})
    assert named.headers["x-request-id"] == named.json()["request_id"] == "abc-1"
    bad = shared_service.client.get("/health", headers={"X-Request-Id": "no spaces allowed"})
    assert bad.headers["x-request-id"] != "no spaces allowed"
    assert len(bad.headers["x-request-id"]) == 32


def test_any_file_name_and_part_type_will_do(shared_service: RunningService, ramp: Path) -> None:
    part = ("../../etc/päss\twd", ramp.read_bytes(), "application/x-anything")
    assert shared_service.client.post("/predict", files={"video": part}).status_code == 200


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([0] * 8 + [3] * 8, ["black_video", "darker_than_training"]),
        ([251] * 8 + [254] * 8, ["brighter_than_training"]),
        (range(0, 160, 10), []),
    ],
    ids=["dark", "bright", "as in training"],
)
def test_pictures_unlike_those_of_training_are_told_by_prediction_and_validation(
    shared_service: RunningService, tmp_path: Path, levels: list[int], expected: list[str]
) -> None:
    video = painted(tmp_path / "v.mp4", levels).read_bytes()
    for path in ("/predict", "/validate"):
        answer = shared_service.client.post(path, files={"video": video}).raise_for_status().json()
        assert [warning["code"] for warning in answer["warnings"]] == expected
