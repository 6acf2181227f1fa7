"""Jobs over HTTP: results, events, cancellation, limits, keys, callbacks, metrics, several processes."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from framewise.schemas.jobs import Job
from service.keys.key_file import Scope, edit_keys, new_key
from tests.support.job_client import JobClient, SentEvent, decoders_standing_still, log_lines
from tests.support.running_service import RunningService, running_service
from tests.support.videos import painted
from tests.support.webhook_receiver import Receiver, running_receiver

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the decode workers under /proc"),
]

MAX_QUEUED = 3


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the service's data."""
    directory = tmp_path_factory.mktemp("jobs")
    (directory / "incoming").mkdir()
    return directory


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A callback that accepts every delivery."""
    with running_receiver(204) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def settings(directory: Path, receiver: Receiver) -> dict[str, Any]:
    """The settings of every service that shares these jobs."""
    return {
        "jobs_dir": directory / "jobs",
        "api_keys_file": directory / "keys.json",
        "decode_children": 2,
        # Decode workers that stand still are not replaced before the test continues.
        "decode_stall_seconds": 600,
        "job_workers": 1,
        "job_beat_seconds": 0.1,
        "job_heartbeat_seconds": 0.1,
        "max_job_listeners": 2,
        "max_queued_jobs": MAX_QUEUED,
        "job_share_per_key": 1.0,
        "max_job_bytes": 4_000_000,
        "max_duration_seconds": 20,
        "job_max_duration_seconds": 40,
        "answer_cache_bytes": 0,
        "webhook_allowed_hosts": json.dumps([receiver.host]),
        "webhook_secret": "a secret of thirty-two characters",
        "webhook_private_addresses": True,
    }


@pytest.fixture(scope="module")
def service(grey_models_dir: Path, directory: Path, settings: dict[str, Any]) -> Iterator[RunningService]:
    """A service with jobs and API keys."""
    with running_service(grey_models_dir, directory / "incoming", **settings) as service:
        yield service


def caller(service: RunningService, directory: Path, *scopes: Scope) -> JobClient:
    """A client with a new API key."""
    token, key = new_key("tests", scopes or ("predict",), None)
    with edit_keys(directory / "keys.json") as keys:
        keys.append(key)
    return JobClient(service, token)


@pytest.fixture
def client(service: RunningService, directory: Path) -> JobClient:
    """A client with a key of its own for each test."""
    return caller(service, directory)


@pytest.fixture(scope="module")
def admin(service: RunningService, directory: Path) -> JobClient:
    """A client with the scope `admin`."""
    return caller(service, directory, "predict", "admin")


@pytest.fixture(scope="module")
def ramp(directory: Path) -> Path:
    """A video of five clips."""
    return painted(directory / "ramp.mp4", range(0, 192, 4))


@pytest.fixture(scope="module")
def text(directory: Path) -> Path:
    """A file that is not a video."""
    path = directory / "text.mp4"
    path.write_text("no video " * 50)
    return path


def predicted(client: JobClient, path: Path, **query: Any) -> httpx.Response:
    """The response of `POST /predict`."""
    with path.open("rb") as file:
        return client.service.client.post("/predict", files={"video": file}, params=query, headers=client.headers)


def without_timings(prediction: dict[str, Any]) -> dict[str, Any]:
    """The prediction without its request id and timings."""
    return {name: value for name, value in prediction.items() if name not in ("request_id", "timings_ms")}


def test_the_result_of_a_job_is_the_prediction_of_predict_bit_for_bit(
    client: JobClient, ramp: Path, directory: Path
) -> None:
    response = client.post(ramp, {"X-Request-Id": "mine"}, top_k=1, threshold=0.9, frames="top")
    job = response.json()
    assert response.status_code == 202
    assert Job.model_validate(job).state == "queued"
    assert (job["request_id"], job["attempt"], job["progress"], job["result"]) == ("mine", 0, None, None)
    done = client.wait(job["id"])
    assert (done["state"], done["problem"], done["attempt"]) == ("done", None, 1)
    assert done["progress"] == {"num_clips_done": 5, "num_clips": 5}
    assert done["result"]["request_id"] == "mine"
    expected = predicted(client, ramp, top_k=1, threshold=0.9, frames="top").json()
    assert without_timings(done["result"]) == without_timings(expected)
    assert set(done["result"]["timings_ms"]) == set(expected["timings_ms"])
    # The upload is removed when the job ends.
    assert list((directory / "jobs" / "uploads").iterdir()) == []


def test_the_problem_of_a_job_is_the_problem_of_predict(client: JobClient, text: Path) -> None:
    failed = client.wait(client.submit(text))
    assert (failed["state"], failed["result"]) == ("failed", None)
    expected = predicted(client, text).json()
    assert expected["code"] == "unsupported_media"
    assert failed["problem"] == expected | {"request_id": failed["request_id"]}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"model": "none"}, 404, "unknown_model"),
        ({"top_k": 0}, 422, "invalid_parameter"),
        ({"unknown": 1}, 422, "invalid_parameter"),
    ],
)
def test_a_submission_with_an_invalid_query_is_refused(
    client: JobClient, ramp: Path, query: dict[str, Any], status: int, code: str
) -> None:
    refused = client.post(ramp, **query)
    assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_a_job_that_exceeds_its_deadline_fails(client: JobClient, ramp: Path) -> None:
    late = client.wait(client.submit(ramp, deadline_seconds=0.001))
    assert (late["problem"]["status"], late["problem"]["code"]) == (504, "deadline_exceeded")


def test_a_job_may_be_longer_than_a_request(client: JobClient, directory: Path) -> None:
    longer, too_long = (
        painted(directory / f"{seconds}.mp4", [100] * seconds, rate=1, options={"g": "1"}) for seconds in (30, 50)
    )
    assert predicted(client, longer).json()["code"] == "video_too_large"
    done = client.wait(client.submit(longer, frames="none"))
    assert done["state"] == "done"
    assert done["result"]["video"]["duration_seconds"] == 30
    assert client.wait(client.submit(too_long))["problem"]["code"] == "video_too_large"


def ended_events(client: JobClient, job_id: str) -> list[SentEvent]:
    """All events of a job but `queued`, which depends on the time of the first read."""
    with client.events(job_id) as events:
        return [event for event in events if not event.comment and event.name != "queued"]


def response_of_events(client: JobClient, job_id: str, last_event_id: str) -> httpx.Response:
    """The response to a request for the events after `last_event_id`."""
    headers = client.headers | {"Last-Event-ID": last_event_id}
    return client.service.client.get(f"/jobs/{job_id}/events", headers=headers)


def test_each_clip_has_one_event(client: JobClient, ramp: Path) -> None:
    job_id = client.submit(ramp)
    sent = ended_events(client, job_id)
    assert [event.name for event in sent] == ["running"] + ["progress"] * 5 + ["done"]
    assert [event.id for event in sent] == ["1-0", "1-1", "1-2", "1-3", "1-4", "1-5", "1-end"]
    assert json.loads(sent[2].data) == {
        "state": "running",
        "attempt": 1,
        "progress": {"num_clips_done": 2, "num_clips": 5},
    }
    assert sent[-1].data == client.get(f"/{job_id}").text


def test_a_listener_that_reconnects_gets_the_events_after_its_last_one(client: JobClient, ramp: Path) -> None:
    job_id = client.submit(ramp)
    sent = ended_events(client, job_id)
    for index, event in enumerate(sent[:-1]):
        with client.events(job_id, event.id) as events:
            assert list(events) == sent[index + 1 :]
    assert response_of_events(client, job_id, "1-end").status_code == 204


def test_an_invalid_event_id_is_refused(client: JobClient, text: Path) -> None:
    job_id = client.submit(text)
    for invalid in ("x", "1", "1-", "-1", "99999999999-1"):
        assert response_of_events(client, job_id, invalid).status_code == 422


def test_a_running_job_is_cancelled_immediately_and_frees_its_worker(
    client: JobClient, admin: JobClient, ramp: Path
) -> None:
    with decoders_standing_still(admin):
        job_id = client.submit(ramp)
        with client.events(job_id) as events:
            assert next(event.name for event in events if event.name not in ("queued", "")) == "running"
            # While nothing happens, heartbeats are sent.
            assert next(event.comment for event in events) == "heartbeat"
            cancelled = client.delete(job_id)
            assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
            (last,) = [event for event in events if not event.comment]
            assert (last.name, json.loads(last.data)["id"]) == ("cancelled", job_id)
    assert client.wait(client.submit(ramp))["state"] == "done"


def test_a_queued_job_is_cancelled_and_further_listeners_are_refused(
    client: JobClient, admin: JobClient, ramp: Path
) -> None:
    with decoders_standing_still(admin):
        running, queued = client.submit(ramp), client.submit(ramp)
        with client.events(running) as running_events, client.events(queued) as events:
            assert any(event.name == "running" for event in running_events)
            assert next(events).name == "queued"
            refused = client.service.client.get(f"/jobs/{running}/events", headers=client.headers)
            assert (refused.status_code, refused.json()["code"]) == (429, "busy")
            assert client.delete(queued).json()["state"] == "cancelled"
            assert [event.name for event in events if not event.comment][-1] == "cancelled"
        client.delete(running)


def test_an_ended_job_is_removed(client: JobClient, admin: JobClient, ramp: Path) -> None:
    with decoders_standing_still(admin):
        cancelled = client.submit(ramp)
        assert client.delete(cancelled).status_code == 200
    done = client.submit(ramp)
    assert client.wait(done)["state"] == "done"
    for job_id in (done, cancelled):
        assert client.delete(job_id).status_code == 204
        for gone in (client.delete(job_id), client.get(f"/{job_id}"), client.get(f"/{job_id}/events")):
            assert (gone.status_code, gone.json()["code"]) == (404, "unknown_job")


def test_a_job_beyond_the_queue_is_refused(client: JobClient, admin: JobClient, ramp: Path) -> None:
    with decoders_standing_still(admin):
        running = client.submit(ramp)
        client.wait_until_running(running)
        queued = [client.submit(ramp) for _ in range(MAX_QUEUED)]
        refused = client.post(ramp)
        assert (refused.status_code, refused.json()["code"]) == (429, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        for job_id in (*queued, running):
            client.delete(job_id)


def test_a_job_beyond_the_storage_is_refused_before_its_upload(client: JobClient, directory: Path) -> None:
    large = directory / "large.mp4"
    large.write_bytes(b"\0" * 4_000_001)
    refused = client.post(large)
    assert (refused.status_code, refused.json()["code"]) == (507, "insufficient_storage")
    assert list((directory / "jobs" / "uploads").iterdir()) == []


def test_a_repeated_submission_with_the_same_idempotency_key_makes_one_job(
    client: JobClient, ramp: Path, text: Path
) -> None:
    key = {"Idempotency-Key": "order 66"}
    first = client.post(ramp, key, top_k=1)
    again = client.post(ramp, key, top_k=1)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    for other in (client.post(text, key, top_k=1), client.post(ramp, key)):
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert client.post(ramp, {"Idempotency-Key": "x" * 129}).status_code == 422
    assert len(client.get("").json()["jobs"]) == 1
    client.wait(first.json()["id"])


def test_a_key_sees_its_own_jobs_and_an_admin_key_sees_all_jobs(
    client: JobClient, admin: JobClient, service: RunningService, directory: Path, ramp: Path
) -> None:
    other = caller(service, directory)
    job_id = client.submit(ramp, {"Idempotency-Key": "k"})
    other_id = other.submit(ramp, {"Idempotency-Key": "k"})
    assert other_id != job_id
    for refused in (other.get(f"/{job_id}"), other.get(f"/{job_id}/events"), other.delete(job_id)):
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_job")
    assert [job["id"] for job in other.get("").json()["jobs"]] == [other_id]
    assert {job_id, other_id} <= {job["id"] for job in admin.get("", limit=200).json()["jobs"]}
    assert admin.wait(job_id)["state"] == "done"
    assert JobClient(service).get("").status_code == 401
    assert caller(service, directory, "admin").get("").status_code == 403


def test_jobs_are_listed_by_state_and_page_without_their_results(client: JobClient, ramp: Path, text: Path) -> None:
    ids = [client.submit(path) for path in (ramp, text, ramp)]
    for job_id in ids:
        client.wait(job_id)
    page = client.get("", limit=2).json()
    assert [job["id"] for job in page["jobs"]] == [ids[2], ids[1]]
    assert "result" not in page["jobs"][0]
    rest = client.get("", limit=2, after=page["next"]).json()
    assert ([job["id"] for job in rest["jobs"]], rest["next"]) == ([ids[0]], None)
    assert [job["id"] for job in client.get("", state="failed").json()["jobs"]] == [ids[1]]
    assert client.get("", state="lost").status_code == 422
    assert client.get("", limit=201).status_code == 422


def test_an_ended_job_is_posted_to_its_callback(client: JobClient, receiver: Receiver, ramp: Path) -> None:
    job_id = client.submit(ramp, callback_url=receiver.url)
    headers, body = receiver.received.get(timeout=60)
    posted = json.loads(body)
    assert headers["x-framewise-delivery"] == f"{job_id}-1"
    assert posted["result"] == client.wait(job_id)["result"]
    assert posted["callback"]["url"] == receiver.url
    refused = client.post(ramp, callback_url="https://elsewhere.example/hook")
    assert (refused.status_code, refused.json()["code"]) == (403, "callback_not_allowed")


def test_jobs_have_metrics_and_log_lines_with_their_request_id(
    client: JobClient, admin: JobClient, service: RunningService, ramp: Path
) -> None:
    job_id = client.submit(ramp, {"X-Request-Id": "to-be-found"})
    client.wait(job_id)
    metrics = admin.metrics()
    for name in (
        'framewise_jobs{state="done"}',
        "framewise_job_queue_age_seconds",
        "framewise_job_stored_bytes",
        "framewise_job_listeners",
        'framewise_job_attempts_total{outcome="done"}',
        'framewise_requests_total{route="/jobs/{job_id}",status="200"}',
    ):
        assert f"\n{name}" in metrics, name
    assert job_id not in metrics
    lines = log_lines(service)
    logged = [line for line in lines if line.get("request_id") == "to-be-found" and line.get("job_id") == job_id]
    assert {line["message"] for line in logged} == {"request", "job attempt ended"}


# The tests below use a second service on the same jobs; the last test stops it.


@pytest.fixture(scope="module")
def second_service(
    grey_models_dir: Path, directory: Path, settings: dict[str, Any], service: RunningService
) -> Iterator[RunningService]:
    """A second process that shares the jobs of `service`."""
    assert service.process.poll() is None
    with running_service(grey_models_dir, directory / "incoming", **settings) as second_service:
        yield second_service


@pytest.fixture
def second_client(client: JobClient, second_service: RunningService) -> JobClient:
    """The caller of `client` at the second service."""
    return JobClient(second_service, client.token)


@pytest.fixture
def all_decoders_paused(admin: JobClient, second_service: RunningService) -> Callable[[], AbstractContextManager[None]]:
    """A context in which no decode worker of either service proceeds."""

    @contextmanager
    def paused() -> Iterator[None]:
        with ExitStack() as stack:
            for one_admin in (admin, JobClient(second_service, admin.token)):
                stack.enter_context(decoders_standing_still(one_admin))
            yield

    return paused


def submit_two_running(client: JobClient, path: Path) -> list[str]:
    """Submit two jobs and wait until both run: one in each process, because each has one job worker."""
    job_ids = [client.submit(path) for _ in range(2)]
    for job_id in job_ids:
        client.wait_until_running(job_id)
    return job_ids


def test_jobs_submitted_to_either_process_run_once(client: JobClient, second_client: JobClient, ramp: Path) -> None:
    job_ids = [one_client.submit(ramp) for one_client in (client, second_client)]
    assert [client.wait(job_id)["attempt"] for job_id in job_ids] == [1, 1]


def test_each_process_streams_and_cancels_a_job_of_the_other(
    client: JobClient,
    second_client: JobClient,
    all_decoders_paused: Callable[[], AbstractContextManager[None]],
    ramp: Path,
) -> None:
    with all_decoders_paused():
        for job_id in submit_two_running(client, ramp):
            with second_client.events(job_id) as events:
                assert next(event for event in events if not event.comment).name == "running"
                assert client.delete(job_id).json()["state"] == "cancelled"
                assert [event.name for event in events if not event.comment] == ["cancelled"]
    # The worker of the cancelled job is free again.
    assert second_client.wait(second_client.submit(ramp))["state"] == "done"


def test_a_job_that_a_shutdown_interrupts_runs_in_the_other_process_as_its_first_attempt(
    client: JobClient,
    second_service: RunningService,
    all_decoders_paused: Callable[[], AbstractContextManager[None]],
    ramp: Path,
) -> None:
    with all_decoders_paused():
        job_ids = submit_two_running(client, ramp)
        assert second_service.stop() == 0
    done = [client.wait(job_id) for job_id in job_ids]
    assert [(job["state"], job["attempt"]) for job in done] == [("done", 1), ("done", 1)]
    assert '"outcome": "given_back"' in second_service.log_path.read_text()
