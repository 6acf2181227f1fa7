"""A multi-label model behind the service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.grey_model import write_grey_model
from tests.support.running_service import RunningService, running_service
from tests.support.videos import encode, grey

pytestmark = pytest.mark.tensorflow

# For 40 % grey, the probability of `dark` is 1 - 0.4 / 2 and that of `bright` is 0.4.
DARK, BRIGHT = 0.8, 0.4


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service whose model accepts `dark` from 0.9 and `bright` from 0.3."""
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
    """Four seconds of video: two of black, then two of white."""
    return encode(tmp_path_factory.mktemp("videos") / "dawn.mp4", [grey(0)] * 16 + [grey(255)] * 16)


def test_each_label_has_its_own_threshold(service: RunningService, dim: Path) -> None:
    response = service.post_video(dim).raise_for_status().json()
    rows = [(row["label"], row["accepted"]) for row in response["probabilities"]]
    assert rows == [("dark", False), ("bright", True)]
    assert [row["probability"] for row in response["probabilities"]] == pytest.approx([DARK, BRIGHT], abs=0.01)
    assert response["prediction"]["label"] == "dark"
    assert response["prediction"]["accepted"] is False


def test_the_threshold_of_the_query_applies_to_every_label(service: RunningService, dim: Path) -> None:
    for threshold, accepted in ((0.0, [True, True]), (0.5, [True, False]), (0.85, [False, False])):
        response = service.post_video(dim, threshold=threshold).raise_for_status().json()
        assert [row["accepted"] for row in response["probabilities"]] == accepted
        assert response["prediction"]["accepted"] == accepted[0]


def test_labels_of_different_parts_of_a_video_are_all_accepted(service: RunningService, dawn: Path) -> None:
    response = service.post_video(dawn).raise_for_status().json()
    # Black gives `dark` and white gives `bright`; one label does not lower the other.
    assert [row["probability"] for row in response["probabilities"]] == pytest.approx([1, 1], abs=0.01)
    assert [row["accepted"] for row in response["probabilities"]] == [True, True]


def test_probabilities_of_the_open_inference_protocol_need_not_sum_to_one(service: RunningService) -> None:
    clip = {"name": "frames", "datatype": "UINT8", "shape": [1, 8, 32, 32, 3], "data": [102] * 8 * 32 * 32 * 3}
    response = service.client.post("/v2/models/grey/infer", json={"inputs": [clip]}).raise_for_status().json()
    outputs = {output["name"]: output["data"] for output in response["outputs"]}
    assert outputs["probabilities"] == pytest.approx([DARK, BRIGHT], abs=0.001)
    assert outputs["attention"] == pytest.approx([1 / 8] * 8)


def test_the_manifest_names_the_head_and_the_thresholds(service: RunningService) -> None:
    manifest = service.client.get("/models/grey").raise_for_status().json()["manifest"]
    assert manifest["head"] == "multi_label"
    assert manifest["label_thresholds"] == [0.9, 0.3]
