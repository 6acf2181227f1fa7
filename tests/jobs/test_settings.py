"""Settings of jobs: invalid combinations, and a service without jobs."""

import asyncio

import httpx
import pytest
from pydantic import ValidationError

from service.app import create_app
from service.settings import Settings


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JOBS_DIR": "jobs", "JOB_WORKERS": "2", "DECODE_CHILDREN": "2"}, "less than SERVICE_DECODE_CHILDREN"),
        ({"DATABASE_URL": "sqlite:///jobs.db"}, "SERVICE_DATABASE_URL needs SERVICE_JOBS_DIR"),
        ({"WEBHOOK_ALLOWED_HOSTS": '["example.org"]'}, "needs SERVICE_WEBHOOK_SECRET"),
    ],
)
def test_a_setting_without_the_setting_it_needs_is_an_error(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"SERVICE_{name}", value)
    with pytest.raises(ValidationError, match=message):
        Settings()


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_JOBS_DIR", "")
    assert Settings().jobs_dir is None


def test_without_a_jobs_directory_jobs_are_disabled() -> None:
    async def responses() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(Settings(jobs_dir=None)))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return [await client.get("/jobs"), await client.post("/jobs"), await client.delete("/jobs/1")]

    for response in asyncio.run(responses()):
        assert (response.status_code, response.json()["code"]) == (404, "jobs_disabled")
