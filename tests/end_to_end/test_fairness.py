"""A caller that floods the service with long videos does not keep another caller from being served."""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.harness.workload import repeat_video
from tests.support.running_service import ANSWER_TIMEOUT_SECONDS, RunningService, running_service
from tests.support.videos import encode, moving

pytestmark = pytest.mark.tensorflow

NUM_CLIENTS = 4
NUM_TRIES = 5
# The service aims at 3. Other work on the machine can delay one of the two medians, but not by this much.
MAX_RATIO = 8


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A minute that takes seconds to decode."""
    path = tmp_path_factory.mktemp("videos") / "two-seconds.mp4"
    encode(path, moving(50, 1280, 720), rate=25, options={"qp": "40"})
    return repeat_video(path, 30, path.parent).read_bytes()


def send(service: RunningService, caller: str, video: bytes, route: str = "/predict") -> httpx.Response:
    """Send a video as the client at the address `caller`, as a proxy on this machine states it."""
    url, headers = f"{service.url}{route}", {"X-Forwarded-For": caller}
    return httpx.post(url, files={"video": video}, headers=headers, timeout=ANSWER_TIMEOUT_SECONDS)


def seconds_of_each(service: RunningService, caller: str, video: bytes) -> list[float]:
    """Send a video several times, one after the other; returns the time of each response, which must be a success."""
    seconds = []
    for _ in range(NUM_TRIES):
        started_at = time.perf_counter()
        response = send(service, caller, video)
        seconds.append(time.perf_counter() - started_at)
        assert response.status_code == 200, response.text
    return seconds


@contextmanager
def flood(service: RunningService, caller: str, video: bytes, route: str) -> Iterator[list[httpx.Response]]:
    """Clients that send a video again and again while the context lasts; the list gets their responses."""
    responses: list[httpx.Response] = []
    is_over = threading.Event()

    def send_again_and_again() -> None:
        while not is_over.is_set():
            responses.append(send(service, caller, video, route))
            is_over.wait(0.1)

    threads = [threading.Thread(target=send_again_and_again) for _ in range(NUM_CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield responses
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def sample(service: RunningService, name: str) -> float:
    """The value of a metric without labels."""
    text = service.client.get("/metrics").raise_for_status().text
    return next(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    )


@pytest.fixture(scope="module")
def service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service of two cores with jobs."""
    slots: dict[str, Any] = {"max_working_requests": 2, "max_waiting_requests": 2, "decode_children": 2}
    folder = tmp_path_factory.mktemp("service")
    with running_service(
        grey_models_dir, folder, answer_cache_bytes=0, decode_threads=2, jobs_dir=folder / "jobs", **slots
    ) as service:
        yield service


@pytest.mark.parametrize("route", ["/predict", "/validate"])
def test_a_flood_of_long_videos_delays_another_caller_little_and_keeps_its_own_results(
    service: RunningService, dark: Path, long_video: bytes, route: str
) -> None:
    expected = send(service, "203.0.113.3", long_video, route).raise_for_status().json()
    responses = delay_of_another_caller(service, dark.read_bytes(), long_video, route)
    assert {response.status_code for response in responses} <= {200, 429}
    served = [response.json() for response in responses if response.is_success]
    assert served
    for result in served:
        assert without_times(result) == without_times(expected)


def test_jobs_delay_a_caller_little(service: RunningService, dark: Path, long_video: bytes) -> None:
    responses = delay_of_another_caller(service, dark.read_bytes(), long_video, "/jobs")
    assert {response.status_code for response in responses} == {202}


def delay_of_another_caller(
    service: RunningService, short_video: bytes, long_video: bytes, route: str
) -> list[httpx.Response]:
    """Check that a caller waits little for its short videos during a flood, and return the responses to the flood."""
    unloaded = seconds_of_each(service, "203.0.113.1", short_video)
    with flood(service, "203.0.113.2", long_video, route) as responses:
        wait_for_a_pause(service, short_video)
        loaded = seconds_of_each(service, "203.0.113.1", short_video)
    assert statistics.median(loaded) < MAX_RATIO * statistics.median(unloaded), (unloaded, loaded)
    return responses


def wait_for_a_pause(service: RunningService, short_video: bytes) -> None:
    """Send a short video until a long one has paused for it: until the flood has used more than a turn."""
    num_pauses = sample(service, "framewise_pauses_total")
    for _ in range(1000):
        send(service, "203.0.113.1", short_video)
        if sample(service, "framewise_pauses_total") > num_pauses:
            return
    raise TimeoutError


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    """A response without what differs between equal requests."""
    return {key: value for key, value in answer.items() if key not in ("request_id", "timings_ms", "cost")}
