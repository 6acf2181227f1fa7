"""`POST /predict` of a running service."""

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
    """A video of six seconds and six clips."""
    return painted(tmp_path_factory.mktemp("videos") / "long.mp4", range(0, 192, 4))


def test_a_prediction_has_a_label_probabilities_and_one_attention_weight_per_frame(
    shared_service: RunningService, ramp: Path
) -> None:
    response = shared_service.post_video(ramp).raise_for_status().json()

    # The sampled times are 1/8, 3/8, ... s: frames 1, 3, ..., 15 at 8 frames per second.
    levels = np.arange(1, 16, 2) * 10
    assert [frame["index"] for frame in response["frames"]] == list(range(1, 16, 2))
    assert [frame["time_seconds"] for frame in response["frames"]] == [index / 8 for index in range(1, 16, 2)]
    attention = [frame["attention"] for frame in response["frames"]]
    assert attention == pytest.approx(levels / levels.sum(), abs=0.002)
    assert sum(attention) == pytest.approx(1, abs=1e-6)
    bright = levels.mean() / 255
    assert response["prediction"]["label"] == "dark"
    assert response["prediction"]["accepted"] is True
    assert [row["label"] for row in response["probabilities"]] == ["dark", "bright"]
    assert [row["probability"] for row in response["probabilities"]] == pytest.approx([1 - bright, bright], abs=0.004)
    assert response["model"]["name"] == "grey"
    assert response["model"]["digest"].startswith("sha256:")
    assert response["video"] == {
        "container": "mp4",
        "codec": "h264",
        "width": 64,
        "height": 48,
        "rotation_degrees": 0,
        "is_mirrored": False,
        "duration_seconds": 2.0,
        "frame_rate": 8.0,
        "is_variable_frame_rate": False,
        "num_frames_decoded": response["video"]["num_frames_decoded"],
        "num_frames_sampled": 8,
        "audio": "none",
    }
    assert set(response["timings_ms"]) == {"receive", "decode", "queue", "model", "total"}


def test_the_clips_cover_a_long_video_to_its_end(shared_service: RunningService, long_ramp: Path) -> None:
    response = shared_service.post_video(long_ramp).raise_for_status().json()

    starts = [clip["start_seconds"] for clip in response["clips"]]
    assert starts[0] == 0
    assert response["clips"][-1]["end_seconds"] == response["video"]["duration_seconds"] == 6.0
    assert max(np.diff(starts)) <= SPEC.stride_seconds
    for number in range(len(response["clips"])):
        weights = [frame["attention"] for frame in response["frames"] if frame["clip"] == number]
        assert sum(weights) == pytest.approx(1, abs=1e-6)
    bright = next(row["probability"] for row in response["probabilities"] if row["label"] == "bright")
    by_clip = [c["probability"] if c["label"] == "bright" else 1 - c["probability"] for c in response["clips"]]
    assert bright == pytest.approx(np.mean(by_clip), abs=1e-6)


def test_padding_frames_are_not_listed(shared_service: RunningService, tmp_path: Path) -> None:
    one_second = painted(tmp_path / "short.mp4", [100] * 8)
    response = shared_service.post_video(one_second).raise_for_status().json()
    assert len(response["frames"]) == 4
    assert [frame["attention"] for frame in response["frames"]] == pytest.approx([0.25] * 4)


def test_frames_top_lists_the_three_frames_of_each_clip_with_the_most_attention(
    shared_service: RunningService, ramp: Path
) -> None:
    response = shared_service.post_video(ramp, frames="top").raise_for_status().json()
    assert [frame["index"] for frame in response["frames"]] == [11, 13, 15]
    assert shared_service.post_video(ramp, frames="none").json()["frames"] == []


def test_top_k_limits_the_labels_and_threshold_decides_acceptance(shared_service: RunningService, ramp: Path) -> None:
    response = shared_service.post_video(ramp, top_k=1, threshold=0.99).raise_for_status().json()
    assert [row["label"] for row in response["probabilities"]] == ["dark"]
    assert response["prediction"]["accepted"] is False


def test_the_same_video_gets_the_same_bytes_under_any_load(
    shared_service: RunningService, ramp: Path, long_ramp: Path
) -> None:
    def comparable(response: httpx.Response) -> str:
        body = response.raise_for_status().json()
        del body["request_id"], body["timings_ms"]
        return json.dumps(body)

    alone = {path: comparable(shared_service.post_video(path)) for path in (ramp, long_ramp)}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        paths = [ramp, long_ramp] * 10
        together = list(pool.map(lambda path: comparable(shared_service.post_video(path)), paths))
    assert together == [alone[path] for path in paths]


def test_the_request_id_is_echoed_or_generated(shared_service: RunningService, ramp: Path) -> None:
    with ramp.open("rb") as file:
        named = shared_service.client.post("/predict", files={"video": file}, headers={"X-Request-Id": "abc-1"})
    assert named.headers["x-request-id"] == named.json()["request_id"] == "abc-1"
    bad = shared_service.client.get("/health", headers={"X-Request-Id": "no spaces allowed"})
    assert bad.headers["x-request-id"] != "no spaces allowed"
    assert len(bad.headers["x-request-id"]) == 32


def test_any_file_name_and_content_type_of_the_part_is_accepted(shared_service: RunningService, ramp: Path) -> None:
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
def test_a_picture_outside_the_range_of_training_gets_a_warning(
    shared_service: RunningService, tmp_path: Path, levels: list[int], expected: list[str]
) -> None:
    video = painted(tmp_path / "v.mp4", levels).read_bytes()
    for path in ("/predict", "/validate"):
        response = shared_service.client.post(path, files={"video": video}).raise_for_status().json()
        assert [warning["code"] for warning in response["warnings"]] == expected
