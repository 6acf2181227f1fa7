"""API keys, validations and jobs through the client, over a connection that drops."""

import asyncio
import json
from pathlib import Path

import pytest

from framewise.client import AsyncClient, Client, ProblemError
from framewise.client.job_events import EventParser, ServerSentEvent
from framewise.client.options import JobOptions, PredictOptions, ValidateOptions
from framewise.schemas.jobs import Job, JobEvent, JobQuery
from framewise.schemas.prediction import PredictQuery, ValidateQuery
from tests.client.test_cli import framewise
from tests.conftest import KeyedService
from tests.support.relay import breaking_line

STREAM = (
    b'id: 1-0\nevent: running\ndata: {"a":\ndata:  1}\n\n: heartbeat\n\n'
    b"id: 1-1\r\nevent: progress\r\ndata: 2\r\n\r\nid: 9"
)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_do_not_depend_on_the_chunk_size(size: int) -> None:
    parser = EventParser()
    events = [event for at in range(0, len(STREAM), size) for event in parser.feed(STREAM[at : at + size])]
    assert events == [ServerSentEvent("1-0", "running", '{"a":\n 1}'), ServerSentEvent("1-1", "progress", "2")]


@pytest.mark.parametrize(
    ("options", "query"), [(ValidateOptions, ValidateQuery), (PredictOptions, PredictQuery), (JobOptions, JobQuery)]
)
def test_the_options_of_the_client_are_the_query_parameters(options: type, query: type[PredictQuery]) -> None:
    names = {name for kind in options.__mro__ for name in getattr(kind, "__annotations__", {})}
    assert names == set(query.model_fields)


@pytest.mark.tensorflow
def test_a_service_with_keys_requires_the_key(keyed_service: KeyedService, dark: Path) -> None:
    with Client(keyed_service.url) as client, pytest.raises(ProblemError, match="unauthorized"):
        client.predict(dark)
    with Client(keyed_service.url, api_key=keyed_service.key) as client:
        assert client.predict(dark).prediction.label == "dark"
        validation = client.validate(dark)
    assert validation.cost.num_clips == 1
    assert validation.video.num_frames_sampled == 8


@pytest.mark.tensorflow
def test_a_job_is_followed_to_its_end_over_dropped_connections(keyed_service: KeyedService, ramp: Path) -> None:
    events: list[JobEvent] = []
    with breaking_line(keyed_service.url) as line, Client(line.url, api_key=keyed_service.key) as client:
        submitted = client.submit_job(ramp, top_k=1)
        job = client.wait_for_job(submitted.id, events.append)
    assert (job.id, job.state) == (submitted.id, "done")
    assert job.result is not None
    assert len(job.result.probabilities) == 1
    assert len(line.event_requests) == 2
    assert b"last-event-id: " not in line.event_requests[0]
    assert b"last-event-id: " in line.event_requests[1]
    assert [event.state for event in events].count("queued") <= 1


@pytest.mark.tensorflow
def test_an_idempotency_key_gives_one_job_that_can_be_listed_and_removed(
    keyed_service: KeyedService, dark: Path, ramp: Path
) -> None:
    async def scenario() -> None:
        async with AsyncClient(keyed_service.url, api_key=keyed_service.key) as client:
            jobs = await asyncio.gather(*(client.submit_job(dark, idempotency_key="once") for _ in range(2)))
            assert len({job.id for job in jobs}) == 1
            with pytest.raises(ProblemError, match="idempotency_conflict"):
                await client.submit_job(ramp, idempotency_key="once")
            ended = await client.wait_for_job(jobs[0].id)
            assert (await client.job(ended.id)).result == ended.result
            assert ended.id in [job.id for job in (await client.jobs(state="done")).jobs]
            assert await client.cancel_job(ended.id) is None
            with pytest.raises(ProblemError, match="unknown_job"):
                await client.job(ended.id)

    asyncio.run(scenario())


@pytest.mark.tensorflow
def test_the_command_submits_watches_shows_lists_and_removes_jobs(
    keyed_service: KeyedService, dark: Path, not_a_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAMEWISE_API_KEY", keyed_service.key)
    monkeypatch.setenv("FRAMEWISE_URL", keyed_service.url)
    submitted = framewise("jobs", "submit", dark, not_a_video)
    assert submitted.returncode == 0
    good, bad = submitted.stdout.split()
    watched = framewise("jobs", "watch", good, "--json")
    assert watched.returncode == 0
    assert Job.model_validate_json(watched.stdout).state == "done"
    failed = framewise("jobs", "watch", bad)
    assert failed.returncode == 1
    assert "unsupported_media" in failed.stderr
    assert "dark  96.9%" in framewise("jobs", "show", good).stdout
    listed = framewise("jobs", "list", "--state", "done").stdout
    assert good in listed
    # Piped, no name and no number is cut.
    assert f" {dark.stat().st_size:,}  {dark.name}" in listed
    assert framewise("jobs", "cancel", good).stdout == "removed\n"


@pytest.mark.tensorflow
def test_predict_submits_jobs_and_validate_prints_the_sampled_frames(
    keyed_service: KeyedService, dark: Path, not_a_video: Path
) -> None:
    key = ("--api-key", keyed_service.key)
    predicted = framewise("predict", "--jobs", "--json", not_a_video, dark, *key, url=keyed_service.url)
    assert predicted.returncode == 1
    assert "unsupported_media" in predicted.stderr
    rows = [json.loads(line) for line in predicted.stdout.splitlines()]
    assert [(row["file"], row["prediction"] and row["prediction"]["label"]) for row in rows] == [
        (str(not_a_video), None),
        (str(dark), "dark"),
    ]
    validated = framewise("validate", dark, *key, url=keyed_service.url)
    assert validated.returncode == 0
    assert "8 sampled frames in 1 clips" in validated.stdout
