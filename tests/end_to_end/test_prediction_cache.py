"""The prediction cache of a running service."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.running_service import RunningService, running_service
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with default settings, so with a prediction cache."""
    with running_service(grey_models_dir, tmp_path_factory.mktemp("uploads"), engine="tensorflow") as service:
        yield service


def metric(service: RunningService, name: str) -> float:
    """Sum of the samples of /metrics whose names begin with `name`."""
    lines = service.client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def comparable(response: httpx.Response) -> str:
    """The response without its id and timings."""
    body = response.raise_for_status().json()
    del body["request_id"], body["timings_ms"]
    return json.dumps(body)


def test_the_same_video_gets_the_same_prediction_without_decoder_and_model(
    service: RunningService, tmp_path: Path
) -> None:
    video = painted(tmp_path / "ramp.mp4", range(0, 192, 4))
    first = service.post_video(video)
    num_decodes = metric(service, "framewise_decodes_total")
    num_calls = metric(service, "framewise_model_seconds_count")
    again = service.post_video(video)

    assert comparable(again) == comparable(first)
    assert again.json()["request_id"] != first.json()["request_id"]
    timings = again.json()["timings_ms"]
    assert timings["decode"] == timings["queue"] == timings["model"] == 0
    assert timings["total"] > 0
    assert metric(service, "framewise_decodes_total") == num_decodes
    assert metric(service, "framewise_model_seconds_count") == num_calls
    assert metric(service, 'framewise_answer_cache_lookups_total{result="hit"}') == 1
    assert metric(service, 'framewise_answer_cache_lookups_total{result="miss"}') == 1
    assert metric(service, "framewise_answer_cache_bytes") > 0


def test_a_cached_prediction_follows_the_query_of_each_request(
    service: RunningService, shared_service: RunningService, tmp_path: Path
) -> None:
    video = painted(tmp_path / "other.mp4", range(20, 180, 10))
    service.post_video(video).raise_for_status()
    for query in ({"top_k": 1}, {"frames": "top"}, {"frames": "none"}, {"threshold": 1.0}):
        cached = service.post_video(video, **query)
        assert cached.json()["timings_ms"]["model"] == 0
        assert comparable(cached) == comparable(shared_service.post_video(video, **query))


def test_an_error_is_not_cached(service: RunningService, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    before = metric(service, "framewise_decodes_total")
    assert [service.post_video(text).status_code for _ in range(2)] == [415, 415]
    assert metric(service, "framewise_decodes_total") == before + 2
