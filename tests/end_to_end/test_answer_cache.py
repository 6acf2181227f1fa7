"""The answer cache over a real uvicorn: the same answer, without the work."""

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
    """A service as it comes: with an answer cache."""
    with running_service(grey_models_dir, tmp_path_factory.mktemp("uploads")) as service:
        yield service


def metric(service: RunningService, name: str) -> float:
    """A sample of /metrics."""
    lines = service.client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def essence(response: httpx.Response) -> str:
    """The answer but for what tells one request from another."""
    answer = response.raise_for_status().json()
    del answer["request_id"], answer["timings_ms"]
    return json.dumps(answer)


def test_the_same_bytes_get_the_same_answer_without_decoder_and_model(service: RunningService, tmp_path: Path) -> None:
    video = painted(tmp_path / "ramp.mp4", range(0, 192, 4))
    first = service.post_video(video)
    num_decodes = metric(service, "framewise_decodes_total")
    num_calls = metric(service, "framewise_model_seconds_count")
    again = service.post_video(video)

    assert essence(again) == essence(first)
    assert again.json()["request_id"] != first.json()["request_id"]
    timings = again.json()["timings_ms"]
    assert timings["decode"] == timings["queue"] == timings["model"] == 0
    assert timings["total"] > 0
    assert metric(service, "framewise_decodes_total") == num_decodes
    assert metric(service, "framewise_model_seconds_count") == num_calls
    assert metric(service, 'framewise_answer_cache_lookups_total{result="hit"}') == 1
    assert metric(service, 'framewise_answer_cache_lookups_total{result="miss"}') == 1
    assert metric(service, "framewise_answer_cache_bytes") > 0


def test_a_kept_answer_is_ranked_and_cut_as_this_query_asks(
    service: RunningService, shared_service: RunningService, tmp_path: Path
) -> None:
    video = painted(tmp_path / "other.mp4", range(20, 180, 10))
    service.post_video(video).raise_for_status()
    for query in ({"top_k": 1}, {"frames": "top"}, {"frames": "none"}, {"threshold": 1.0}):
        kept = service.post_video(video, **query)
        assert kept.json()["timings_ms"]["model"] == 0
        assert essence(kept) == essence(shared_service.post_video(video, **query))


def test_a_refusal_is_not_kept(service: RunningService, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    before = metric(service, "framewise_decodes_total")
    assert [service.post_video(text).status_code for _ in range(2)] == [415, 415]
    assert metric(service, "framewise_decodes_total") == before + 2
