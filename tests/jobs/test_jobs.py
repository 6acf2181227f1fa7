"""Jobs over a real uvicorn: the same answers as `/predict`, told, kept, cancelled and taken care of."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from framewise.schemas.jobs import Job
from service.app import create_app
from service.keys.key_file import Scope, edit_keys, new_key
from service.settings import Settings
from tests.support.job_client import JobClient, decoders_standing_still, log_lines
from tests.support.running_service import RunningService, running_service
from tests.support.videos import painted
from tests.support.webhook_receiver import Receiver, running_receiver

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the decode children under /proc"),
]

MAX_QUEUED = 3


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service keeps what it keeps."""
    directory = tmp_path_factory.mktemp("jobs")
    (directory / "incoming").mkdir()
    return directory


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A callback that takes what it is sent."""
    with running_receiver(204) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def settings(directory: Path, receiver: Receiver) -> dict[str, object]:
    """What every service that shares these jobs is started with."""
    return {
        "jobs_dir": directory / "jobs",
        "api_keys_file": directory / "keys.json",
        "decode_children": 2,
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
    """A service that takes jobs from those who have a key."""
    with running_service(grey_models_dir, directory / "incoming", **settings) as service:
        yield service


def caller(service: RunningService, directory: Path, *scopes: Scope) -> JobClient:
    """Somebody with a key of their own."""
    token, key = new_key("somebody", scopes or ("predict",), None)
    with edit_keys(directory / "keys.json") as keys:
        keys.append(key)
    return JobClient(service, token)


@pytest.fixture
def client(service: RunningService, directory: Path) -> JobClient:
    """A caller that no other test knows."""
    return caller(service, directory)


@pytest.fixture(scope="module")
def admin(service: RunningService, directory: Path) -> JobClient:
    """Somebody who may see everything."""
    return caller(service, directory, "predict", "admin")


@pytest.fixture(scope="module")
def ramp(directory: Path) -> Path:
    """Six seconds: six clips."""
    return painted(directory / "ramp.mp4", range(0, 192, 4))


@pytest.fixture(scope="module")
def text(directory: Path) -> Path:
    """No video."""
    path = directory / "text.mp4"
    path.write_text("no video " * 50)
    return path


def predicted(client: JobClient, path: Path, **query: Any) -> httpx.Response:
    """What /predict answers."""
    with path.open("rb") as file:
        return client.service.client.post("/predict", files={"video": file}, params=query, headers=client.headers)


def essence(answer: dict[str, Any]) -> dict[str, Any]:
    """All that must not depend on when and how it was asked."""
    return {name: value for name, value in answer.items() if name not in ("request_id", "timings_ms")}


def test_a_jobs_result_is_what_predict_answers_bit_for_bit(client: JobClient, ramp: Path, directory: Path) -> None:
    answer = client.post(ramp, {"X-Request-Id": "mine"}, top_k=1, threshold=0.9, frames="top")
    job = answer.json()
    assert answer.status_code == 202
    assert Job.model_validate(job).state == "queued"
    assert (job["request_id"], job["attempt"], job["progress"], job["result"]) == ("mine", 0, None, None)
    done = client.wait(job["id"])
    assert (done["state"], done["problem"], done["attempt"]) == ("done", None, 1)
    assert done["progress"] == {"num_clips_done": 5, "num_clips": 5}
    assert done["result"]["request_id"] == "mine"
    expected = predicted(client, ramp, top_k=1, threshold=0.9, frames="top").json()
    assert essence(done["result"]) == essence(expected)
    assert set(done["result"]["timings_ms"]) == set(expected["timings_ms"])
    # What is kept of it now is the result.
    assert list((directory / "jobs" / "uploads").iterdir()) == []


def test_a_jobs_problem_is_the_one_that_predict_answers(client: JobClient, text: Path, ramp: Path) -> None:
    failed = client.wait(client.submit(text))
    assert (failed["state"], failed["result"]) == ("failed", None)
    expected = predicted(client, text).json()
    assert expected["code"] == "unsupported_media"
    assert failed["problem"] == expected | {"request_id": failed["request_id"]}
    # What is known at once is said at once.
    for query, status, code in (
        ({"model": "none"}, 404, "unknown_model"),
        ({"top_k": 0}, 422, "invalid_parameter"),
        ({"unknown": 1}, 422, "invalid_parameter"),
    ):
        refused = client.post(ramp, **query)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
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


def test_every_clip_is_told_once_also_to_a_listener_that_comes_back(client: JobClient, ramp: Path) -> None:
    job_id = client.submit(ramp)
    with client.events(job_id) as events:
        told = [event for event in events if not event.comment and event.name != "queued"]
    assert [event.name for event in told] == ["running"] + ["progress"] * 5 + ["done"]
    assert [event.id for event in told] == ["1-0", "1-1", "1-2", "1-3", "1-4", "1-5", "1-end"]
    assert json.loads(told[2].data) == {
        "state": "running",
        "attempt": 1,
        "progress": {"num_clips_done": 2, "num_clips": 5},
    }
    assert told[-1].data == client.get(f"/{job_id}").text
    for place, event in enumerate(told[:-1]):
        with client.events(job_id, event.id) as events:
            assert list(events) == told[place + 1 :]
    headers = client.headers | {"Last-Event-ID": "1-end"}
    assert client.service.client.get(f"/jobs/{job_id}/events", headers=headers).status_code == 204
    for wrong in ("x", "1", "1-", "-1", "99999999999-1"):
        headers["Last-Event-ID"] = wrong
        assert client.service.client.get(f"/jobs/{job_id}/events", headers=headers).status_code == 422


def test_a_running_job_is_cancelled_at_once_and_all_it_held_is_free(
    client: JobClient, admin: JobClient, ramp: Path
) -> None:
    with decoders_standing_still(admin):
        job_id = client.submit(ramp)
        waiting = client.submit(ramp)
        with client.events(job_id) as events:
            assert next(event.name for event in events if event.name not in ("queued", "")) == "running"
            # Nothing happens: that is told as well.
            assert next(event.comment for event in events) == "heartbeat"
            with client.events(waiting) as others:
                assert next(others).name == "queued"
                refused = client.service.client.get(f"/jobs/{job_id}/events", headers=client.headers)
                assert (refused.status_code, refused.json()["code"]) == (429, "busy")
                assert client.delete(waiting).json()["state"] == "cancelled"
                assert [event.name for event in others if not event.comment][-1] == "cancelled"
            cancelled = client.delete(job_id)
            assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
            (last,) = [event for event in events if not event.comment]
            assert (last.name, json.loads(last.data)["id"]) == ("cancelled", job_id)
    assert client.delete(job_id).status_code == 204
    for gone in (client.delete(job_id), client.get(f"/{job_id}"), client.get(f"/{job_id}/events")):
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown_job")
    done = client.submit(ramp)
    assert client.wait(done)["state"] == "done"
    assert client.delete(done).status_code == 204
    assert client.get(f"/{done}").status_code == 404


def test_no_more_jobs_wait_than_may_and_what_is_too_much_is_not_received(
    client: JobClient, admin: JobClient, ramp: Path, directory: Path
) -> None:
    with decoders_standing_still(admin):
        running = client.submit(ramp)
        client.wait_until_running(running)
        waiting = [client.submit(ramp) for _ in range(MAX_QUEUED)]
        refused = client.post(ramp)
        assert (refused.status_code, refused.json()["code"]) == (429, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        for job_id in (*waiting, running):
            client.delete(job_id)
    large = directory / "large.mp4"
    large.write_bytes(b"\0" * 4_000_001)
    refused = client.post(large)
    assert (refused.status_code, refused.json()["code"]) == (507, "insufficient_storage")
    assert list((directory / "jobs" / "uploads").iterdir()) == []


def test_asked_twice_with_the_same_key_there_is_one_job(client: JobClient, ramp: Path, text: Path) -> None:
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


def test_a_key_sees_its_own_jobs_and_an_administrators_all(
    client: JobClient, admin: JobClient, service: RunningService, directory: Path, ramp: Path
) -> None:
    other = caller(service, directory)
    job_id = client.submit(ramp, {"Idempotency-Key": "k"})
    others = other.submit(ramp, {"Idempotency-Key": "k"})
    assert others != job_id
    for refused in (other.get(f"/{job_id}"), other.get(f"/{job_id}/events"), other.delete(job_id)):
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_job")
    assert [job["id"] for job in other.get("").json()["jobs"]] == [others]
    assert {job_id, others} <= {job["id"] for job in admin.get("", limit=200).json()["jobs"]}
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


def test_a_job_that_has_ended_is_posted_to_its_callback(client: JobClient, receiver: Receiver, ramp: Path) -> None:
    job_id = client.submit(ramp, callback_url=receiver.url)
    headers, body = receiver.received.get(timeout=60)
    posted = json.loads(body)
    assert headers["x-framewise-delivery"] == f"{job_id}-1"
    assert posted["result"] == client.wait(job_id)["result"]
    assert posted["callback"]["url"] == receiver.url
    refused = client.post(ramp, callback_url="https://elsewhere.example/hook")
    assert (refused.status_code, refused.json()["code"]) == (403, "callback_not_allowed")


def test_another_process_shares_the_work_and_tells_and_cancels_what_runs_elsewhere(
    *,
    client: JobClient,
    admin: JobClient,
    grey_models_dir: Path,
    directory: Path,
    settings: dict[str, Any],
    ramp: Path,
) -> None:
    with running_service(grey_models_dir, directory / "incoming", **settings) as second_service:
        there, second_admin = JobClient(second_service, client.token), JobClient(second_service, admin.token)
        ids = [one.submit(ramp) for one in (client, there)]
        assert [client.wait(job_id)["attempt"] for job_id in ids] == [1, 1]
        with decoders_standing_still(admin), decoders_standing_still(second_admin):
            running = [client.submit(ramp) for _ in range(2)]
            for job_id in running:
                client.wait_until_running(job_id)
            # One runs here and one there, and neither is told where it is cancelled.
            for job_id in running:
                with there.events(job_id) as events:
                    assert next(event for event in events if not event.comment).name == "running"
                    assert client.delete(job_id).json()["state"] == "cancelled"
                    assert [event.name for event in events if not event.comment] == ["cancelled"]
        # Its worker is free again.
        assert there.wait(there.submit(ramp))["state"] == "done"
        # A shutdown gives back what runs; somebody else runs it, and that was the first attempt.
        with decoders_standing_still(admin), decoders_standing_still(second_admin):
            running = [client.submit(ramp) for _ in range(2)]
            for job_id in running:
                client.wait_until_running(job_id)
            assert second_service.stop() == 0
        done = [client.wait(job_id) for job_id in running]
        assert [(job["state"], job["attempt"]) for job in done] == [("done", 1), ("done", 1)]
        log = second_service.log_path.read_text()
        assert '"outcome": "given_back"' in log


def test_jobs_are_counted_and_logged_with_their_request(
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
    found = [line for line in lines if line.get("request_id") == "to-be-found" and line.get("job_id") == job_id]
    assert {line["message"] for line in found} == {"request", "job attempt ended"}


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ({"JOBS_DIR": "jobs", "JOB_WORKERS": "2", "DECODE_CHILDREN": "2"}, "less than SERVICE_DECODE_CHILDREN"),
        ({"DATABASE_URL": "sqlite:///jobs.db"}, "SERVICE_DATABASE_URL needs SERVICE_JOBS_DIR"),
        ({"WEBHOOK_ALLOWED_HOSTS": '["example.org"]'}, "needs SERVICE_WEBHOOK_SECRET"),
    ],
)
def test_settings_that_leave_a_promise_without_its_means_are_refused(
    environment: dict[str, str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"SERVICE_{name}", value)
    with pytest.raises(ValidationError, match=what):
        Settings()


def test_a_variable_that_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_JOBS_DIR", "")
    assert Settings().jobs_dir is None


def test_without_a_directory_there_are_no_jobs() -> None:
    async def answers() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(Settings(jobs_dir=None)))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return [await client.get("/jobs"), await client.post("/jobs"), await client.delete("/jobs/1")]

    for answer in asyncio.run(answers()):
        assert (answer.status_code, answer.json()["code"]) == (404, "jobs_disabled")
