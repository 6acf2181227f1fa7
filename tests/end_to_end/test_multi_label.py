"""A model whose labels stand for themselves, served."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.grey_model import write_grey_model
from tests.support.running_service import RunningService, running_service
from tests.support.videos import encode, grey

pytestmark = pytest.mark.tensorflow

# Of 40 % grey, `dark` is 1 - 0.4 / 2 likely, and `bright` 0.4.
DARK, BRIGHT = 0.8, 0.4


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service whose one model accepts `dark` from 0.9 on and `bright` from 0.3 on."""
    models = tmp_path_factory.mktemp("models")
    write_grey_model(models, label_thresholds=(0.9, 0.3))
    with running_service(models, tmp_path_factory.mktemp("uploads")) as service:
        yield service


@pytest.fixture(scope="module")
def dim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 40 % grey."""
    return encode(tmp_path_factory.mktemp("videos") / "dim.mp4", [grey(102)] * 16)


@pytest.fixture(scope="module")
def dawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds: two of black, then two of white."""
    return encode(tmp_path_factory.mktemp("videos") / "dawn.mp4", [grey(0)] * 16 + [grey(255)] * 16)


def test_each_label_is_accepted_by_a_threshold_of_its_own(service: RunningService, dim: Path) -> None:
    answer = service.post_video(dim).raise_for_status().json()
    rows = [(row["label"], row["accepted"]) for row in answer["probabilities"]]
    assert rows == [("dark", False), ("bright", True)]
    assert [row["probability"] for row in answer["probabilities"]] == pytest.approx([DARK, BRIGHT], abs=0.01)
    assert answer["prediction"]["label"] == "dark"
    assert answer["prediction"]["accepted"] is False


def test_a_threshold_in_the_query_is_that_of_every_label(service: RunningService, dim: Path) -> None:
    for threshold, accepted in ((0.0, [True, True]), (0.5, [True, False]), (0.85, [False, False])):
        answer = service.post_video(dim, threshold=threshold).raise_for_status().json()
        assert [row["accepted"] for row in answer["probabilities"]] == accepted
        assert answer["prediction"]["accepted"] == accepted[0]


def test_what_a_long_video_shows_at_different_times_is_all_there(service: RunningService, dawn: Path) -> None:
    answer = service.post_video(dawn).raise_for_status().json()
    # Black is surely dark and white surely bright: neither takes from the other.
    assert [row["probability"] for row in answer["probabilities"]] == pytest.approx([1, 1], abs=0.01)
    assert [row["accepted"] for row in answer["probabilities"]] == [True, True]


def test_the_open_inference_protocol_gives_probabilities_that_need_not_sum_to_one(service: RunningService) -> None:
    clip = {"name": "frames", "datatype": "UINT8", "shape": [1, 8, 32, 32, 3], "data": [102] * 8 * 32 * 32 * 3}
    answer = service.client.post("/v2/models/grey/infer", json={"inputs": [clip]}).raise_for_status().json()
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    assert outputs["probabilities"] == pytest.approx([DARK, BRIGHT], abs=0.001)
    assert outputs["attention"] == pytest.approx([1 / 8] * 8)


def test_the_manifest_says_what_the_probabilities_mean(service: RunningService) -> None:
    manifest = service.client.get("/models/grey").raise_for_status().json()["manifest"]
    assert manifest["head"] == "multi_label"
    assert manifest["label_thresholds"] == [0.9, 0.3]
