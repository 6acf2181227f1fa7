"""`POST /validate` of a running service."""

from pathlib import Path

import httpx
import pytest

from tests.support.running_service import RunningService
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def long_ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of six seconds, so of several clips."""
    return painted(tmp_path_factory.mktemp("videos") / "long.mp4", range(0, 192, 4))


def validate(service: RunningService, video: bytes, **query: object) -> httpx.Response:
    """POST `video` to /validate."""
    return service.client.post("/validate", files={"video": video}, params=query)  # type: ignore[arg-type]


def test_a_validation_equals_a_prediction_without_the_outputs_of_the_model(
    shared_service: RunningService, long_ramp: Path
) -> None:
    prediction = shared_service.post_video(long_ramp).raise_for_status().json()
    validation = validate(shared_service, long_ramp.read_bytes()).raise_for_status().json()

    assert validation["video"] == prediction["video"]
    assert validation["warnings"] == prediction["warnings"]
    assert validation["model"] == prediction["model"]
    windows = [(clip["start_seconds"], clip["end_seconds"]) for clip in prediction["clips"]]
    assert [(clip["start_seconds"], clip["end_seconds"]) for clip in validation["clips"]] == windows
    seen = [(frame["clip"], frame["index"], frame["time_seconds"]) for frame in prediction["frames"]]
    assert [(frame["clip"], frame["index"], frame["time_seconds"]) for frame in validation["frames"]] == seen
    assert set(validation["timings_ms"]) == {"receive", "decode", "total"}


def test_the_cost_is_the_number_of_clips_times_the_recent_model_time_of_a_clip(
    shared_service: RunningService, long_ramp: Path
) -> None:
    cost = validate(shared_service, long_ramp.read_bytes()).raise_for_status().json()["cost"]
    assert cost["num_clips"] == 5
    # The golden clips at the start were measured.
    assert cost["model_seconds_per_clip"] > 0
    assert cost["model_seconds"] == pytest.approx(5 * cost["model_seconds_per_clip"], abs=1e-5)


def test_a_validation_refuses_the_same_requests_as_a_prediction(
    shared_service: RunningService, long_ramp: Path
) -> None:
    video = long_ramp.read_bytes()
    for body, query, status, code in (
        (b"no video", {}, 415, "unsupported_media"),
        (video[: len(video) // 2], {}, 422, "unreadable_video"),
        (video, {"model": "nope"}, 404, "unknown_model"),
        (video, {"top_k": 1}, 422, "invalid_parameter"),
        (video, {"deadline_seconds": 0.0001}, 504, "deadline_exceeded"),
    ):
        refused = validate(shared_service, body, **query)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert shared_service.uploads_left() == []
