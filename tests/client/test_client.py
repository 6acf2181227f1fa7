"""The client against a real service: typed answers, told problems, a streamed upload."""

import asyncio
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from framewise.client import AsyncClient, Client, ProblemError, ServiceUnreachable
from framewise.client.multipart import CHUNK_BYTES, VideoForm

pytestmark = pytest.mark.tensorflow


def test_an_answer_is_the_service_s_own_typed(service_url: str, ramp: Path) -> None:
    with Client(service_url) as client:
        prediction = client.predict(ramp)
    with ramp.open("rb") as file:
        answer = httpx.post(f"{service_url}/predict", files={"video": file}).json()
    told = prediction.model_dump()
    # These two differ between any two requests.
    for one in (told, answer):
        del one["request_id"], one["timings_ms"]
    assert told == answer


def test_what_is_asked_for_is_passed_on(service_url: str, ramp: Path) -> None:
    with Client(service_url + "/") as client:
        prediction = client.predict(ramp, model="grey", version="1", top_k=1, threshold=0.5, frames="none")
    assert prediction.prediction.accepted
    assert len(prediction.probabilities) == 1
    assert prediction.frames == []


def test_models_and_health_are_typed(service_url: str) -> None:
    with Client(service_url) as client:
        assert [(model.name, model.is_default) for model in client.models().models] == [("grey", True)]
        assert client.health().state == "ready"


def test_a_refusal_carries_status_code_detail_and_request_id(service_url: str, not_a_video: Path) -> None:
    with Client(service_url) as client, pytest.raises(ProblemError) as caught:
        client.predict(not_a_video)
    error = caught.value
    assert (error.status, error.code) == (415, "unsupported_media")
    assert error.detail.startswith("This is not a video in a supported container. It is a text file.")
    assert error.request_id != ""
    assert str(error) == f"{error.detail} (415 unsupported_media)"


@pytest.mark.parametrize(
    ("asked", "code"), [({"model": "nobody"}, "unknown_model"), ({"top_k": 0}, "invalid_parameter")]
)
def test_a_wrong_question_is_the_service_s_to_refuse(
    service_url: str, ramp: Path, asked: dict[str, str], code: str
) -> None:
    with Client(service_url) as client, pytest.raises(ProblemError) as caught:
        client.predict(ramp, **asked)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_where_nobody_listens_the_service_is_unreachable(ramp: Path) -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServiceUnreachable, match=r"http://127\.0\.0\.1:9"):
        client.predict(ramp)


def test_a_file_that_is_not_there_is_an_os_error(service_url: str, tmp_path: Path) -> None:
    with Client(service_url) as client, pytest.raises(FileNotFoundError):
        client.predict(tmp_path / "missing.mp4")


def test_progress_runs_from_nothing_to_all_of_the_file_in_small_steps(service_url: str, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"no video" * 100_000)
    told: list[tuple[int, int]] = []
    with Client(service_url) as client, pytest.raises(ProblemError):
        client.predict(path, on_progress=lambda sent, total: told.append((sent, total)))
    sent = [one for one, _ in told]
    assert {total for _, total in told} == {800_000}
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


def test_a_form_is_exactly_as_long_as_it_says(ramp: Path) -> None:
    form = VideoForm(ramp)
    body = b"".join(form.chunks())
    assert len(body) == int(form.headers["Content-Length"])
    assert body.count(b'name="video"; filename="a %22ramp%22') == 1


def test_many_questions_at_once_each_get_their_own_answer(service_url: str, ramp: Path, dark: Path) -> None:
    async def ask_all() -> list[str]:
        async with AsyncClient(service_url) as client:
            predictions = await asyncio.gather(*(client.predict(path) for path in [ramp, dark] * 4))
            assert (await client.health()).state == "ready"
            assert len((await client.models()).models) == 1
        return [f"{prediction.prediction.probability:.2f}" for prediction in predictions]

    assert asyncio.run(ask_all()) == ["0.53", "0.97"] * 4


def test_async_progress_and_problems_are_the_same(service_url: str, not_a_video: Path) -> None:
    told: list[int] = []

    async def ask() -> None:
        async with AsyncClient(service_url) as client:
            await client.predict(not_a_video, on_progress=lambda sent, _: told.append(sent))

    with pytest.raises(ProblemError, match="unsupported_media"):
        asyncio.run(ask())
    assert told == [0, not_a_video.stat().st_size]


@pytest.mark.parametrize("module", ["service.client", "framewise.cli.app"])
def test_asking_needs_neither_the_web_framework_nor_tensorflow_nor_a_decoder(module: str) -> None:
    heavy = {"fastapi", "starlette", "uvicorn", "tensorflow", "av", "cv2", "numpy"}
    script = f"import sys, {module}; print(*({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
