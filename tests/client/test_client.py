"""The client against a real service: typed responses, errors, streamed uploads."""

import asyncio
import tracemalloc
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from framewise.client import AsyncClient, Client, ProblemError, ServiceUnreachable
from framewise.client.multipart import CHUNK_BYTES

pytestmark = pytest.mark.tensorflow


def test_predict_returns_the_response_of_the_service_typed(service_url: str, ramp: Path) -> None:
    with Client(service_url) as client:
        prediction = client.predict(ramp)
    with ramp.open("rb") as file:
        response = httpx.post(f"{service_url}/predict", files={"video": file}).json()
    typed = prediction.model_dump()
    # These two fields differ between any two requests.
    for fields in (typed, response):
        del fields["request_id"], fields["timings_ms"]
    assert typed == response


def test_options_reach_the_service(service_url: str, ramp: Path) -> None:
    with Client(service_url + "/") as client:
        prediction = client.predict(ramp, model="grey", version="1", top_k=1, threshold=0.5, frames="none")
    assert prediction.prediction.accepted
    assert len(prediction.probabilities) == 1
    assert prediction.frames == []


def test_models_and_health_are_typed(service_url: str) -> None:
    with Client(service_url) as client:
        assert [(model.name, model.is_default) for model in client.models().models] == [("grey", True)]
        assert client.health().state == "ready"


def test_a_problem_error_has_status_code_detail_and_request_id(service_url: str, not_a_video: Path) -> None:
    with Client(service_url) as client, pytest.raises(ProblemError) as caught:
        client.predict(not_a_video)
    error = caught.value
    assert (error.status, error.code) == (415, "unsupported_media")
    assert error.detail.startswith("This is not a video in a supported container. It is a text file.")
    assert error.request_id != ""
    assert str(error) == f"{error.detail} (415 unsupported_media)"


@pytest.mark.parametrize(
    ("options", "code"), [({"model": "nobody"}, "unknown_model"), ({"top_k": 0}, "invalid_parameter")]
)
def test_the_service_validates_the_options(service_url: str, ramp: Path, options: dict[str, str], code: str) -> None:
    with Client(service_url) as client, pytest.raises(ProblemError) as caught:
        client.predict(ramp, **options)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_refused_connection_raises_service_unreachable(ramp: Path) -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServiceUnreachable, match=r"http://127\.0\.0\.1:9"):
        client.predict(ramp)


def test_a_missing_file_raises_an_os_error(service_url: str, tmp_path: Path) -> None:
    with Client(service_url) as client, pytest.raises(FileNotFoundError):
        client.predict(tmp_path / "missing.mp4")


def test_progress_runs_from_zero_to_the_file_size_in_small_steps(service_url: str, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"no video" * 100_000)
    calls: list[tuple[int, int]] = []
    with Client(service_url) as client, pytest.raises(ProblemError):
        client.predict(path, on_progress=lambda sent, total: calls.append((sent, total)))
    sent = [num_sent for num_sent, _ in calls]
    assert {total for _, total in calls} == {800_000}
    assert (sent[0], sent[-1]) == (0, 800_000)
    assert all(0 < after - before <= CHUNK_BYTES for before, after in pairwise(sent))


def test_a_large_file_is_never_held_in_memory(service_url: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    with Client(service_url) as client:
        tracemalloc.start()
        with pytest.raises(ProblemError, match="unsupported_media"):
            client.predict(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak_bytes < 4 << 20


def test_concurrent_requests_get_their_own_responses(service_url: str, ramp: Path, dark: Path) -> None:
    async def predict_all() -> list[str]:
        async with AsyncClient(service_url) as client:
            predictions = await asyncio.gather(*(client.predict(path) for path in [ramp, dark] * 4))
            assert (await client.health()).state == "ready"
            assert len((await client.models()).models) == 1
        return [f"{prediction.prediction.probability:.2f}" for prediction in predictions]

    assert asyncio.run(predict_all()) == ["0.53", "0.97"] * 4


def test_the_async_client_reports_progress_and_problems(service_url: str, not_a_video: Path) -> None:
    calls: list[int] = []

    async def predict() -> None:
        async with AsyncClient(service_url) as client:
            await client.predict(not_a_video, on_progress=lambda sent, _: calls.append(sent))

    with pytest.raises(ProblemError, match="unsupported_media"):
        asyncio.run(predict())
    assert calls == [0, not_a_video.stat().st_size]
