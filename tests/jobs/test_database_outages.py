"""A job database in trouble: predictions go on, /health names the reason, and jobs recover without a restart."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from service.jobs.errors import DatabaseFault
from tests.support.job_client import JobClient
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.running_service import ANSWER_TIMEOUT_SECONDS, RunningService, running_service
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow

TIMEOUT_SECONDS = 2
SETTINGS: dict[str, Any] = {
    "decode_children": 2,
    "job_beat_seconds": 0.1,
    "answer_cache_bytes": 0,
    "database_timeout_seconds": TIMEOUT_SECONDS,
}
ROLE, DATABASE = "fw", "fw"


@dataclass
class Outage:
    """A service without its database: what it answered meanwhile."""

    service: RunningService
    health: httpx.Response
    prediction: httpx.Response
    submission: httpx.Response


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of one clip."""
    return painted(tmp_path_factory.mktemp("videos") / "ramp.mp4", range(0, 160, 10))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server with a database and a user of the service."""
    with postgres_server() as server:
        server.execute(f"CREATE ROLE {ROLE} LOGIN", f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
        yield server


@pytest.fixture(scope="module")
def started_before_its_database(
    server: PostgresServer, ramp: Path, grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outage]:
    """A service that was started while PostgreSQL was down; PostgreSQL runs since."""
    place = tmp_path_factory.mktemp("postgresql")
    (place / "incoming").mkdir()
    url = f"postgresql+psycopg://{ROLE}@/{DATABASE}?host={server.directory}"
    server.stop()
    settings = {**SETTINGS, "jobs_dir": place / "jobs", "database_url": url}
    with running_service(grey_models_dir, place / "incoming", **settings) as service:
        outage = observed(service, ramp)
        server.start()
        wait_for_health(service, "ready")
        yield outage


@pytest.fixture
def service(started_before_its_database: Outage) -> RunningService:
    """The service, whose database works."""
    wait_for_health(started_before_its_database.service, "ready")
    return started_before_its_database.service


def observed(service: RunningService, video: Path) -> Outage:
    """The service's responses at this moment."""
    return Outage(service, service.client.get("/health"), service.post_video(video), JobClient(service).post(video))


def wait_for_health(service: RunningService, state: str, reason: str | None = None) -> httpx.Response:
    """The response of /health, once it has that state and reason."""
    deadline = time.monotonic() + ANSWER_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        health = service.client.get("/health")
        reasons = [part["reason"] for part in health.json().get("degraded", [])]
        if health.json()["state"] == state and (reason is None or reasons == [reason]):
            return health
    raise TimeoutError(f"{health.text}\n{service.log_path.read_text()[-4000:]}")


def test_a_service_started_before_its_database_serves_predictions_and_then_jobs(
    started_before_its_database: Outage, ramp: Path
) -> None:
    before = started_before_its_database
    assert (before.health.status_code, before.health.json()["state"]) == (200, "degraded")
    assert before.health.json()["degraded"] == [
        {"part": "jobs", "reason": "unreachable", "detail": DatabaseFault.UNREACHABLE.remedy}
    ]
    assert before.prediction.status_code == 200
    assert (before.submission.status_code, before.submission.json()["code"]) == (503, "database_unavailable")
    client = JobClient(before.service)
    assert client.wait(client.submit(ramp))["state"] == "done"


DISCONNECT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fw'"
IN_DATABASE = {
    "other_tables": ("ALTER TABLE jobs RENAME TO away", "ALTER TABLE away RENAME TO jobs"),
    "forbidden": (f"REVOKE UPDATE ON jobs FROM {ROLE}", f"GRANT UPDATE ON jobs TO {ROLE}"),
    "later_version": (
        "UPDATE alembic_version SET version_num = '9999'",
        "UPDATE alembic_version SET version_num = '{version}'",
    ),
}
OF_SERVER = {
    "read_only": (
        f"ALTER ROLE {ROLE} SET default_transaction_read_only = on",
        f"ALTER ROLE {ROLE} RESET default_transaction_read_only",
    ),
    "refused": (f"ALTER ROLE {ROLE} NOLOGIN", f"ALTER ROLE {ROLE} LOGIN"),
    "unreachable": None,
}


@contextmanager
def trouble(server: PostgresServer, reason: str) -> Iterator[None]:
    """Make the database unavailable for that reason for the length of the context."""
    url = server.url.replace("/postgres?", f"/{DATABASE}?")
    with ExitStack() as stack:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        stack.callback(engine.dispose)
        if reason == "unreachable":
            server.stop()
            stack.callback(server.start)
        elif reason == "too_slow":
            stack.enter_context(server.frozen())
        elif reason == "locked":
            holder = create_engine(url)
            stack.callback(holder.dispose)
            stack.enter_context(holder.connect()).execute(text("LOCK TABLE jobs"))
        elif reason in IN_DATABASE:
            with engine.connect() as connection:
                version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
            begin, end = IN_DATABASE[reason]
            execute(engine, begin)
            stack.callback(execute, engine, end.format(version=version))
            # The version of the tables is checked at each new connection.
            server.execute(DISCONNECT)
        else:
            begin, end = OF_SERVER[reason] or ("", "")
            server.execute(begin, DISCONNECT)
            stack.callback(server.execute, end, DISCONNECT)
        yield


def execute(engine: Any, statement: str) -> None:
    """Execute a statement in a transaction of its own."""
    with engine.connect() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("reason", [*IN_DATABASE, *OF_SERVER, "locked", "too_slow"])
def test_jobs_recover_and_predictions_go_on(
    service: RunningService, server: PostgresServer, ramp: Path, reason: str
) -> None:
    client = JobClient(service)
    before = client.submit(ramp)
    client.wait(before)
    with trouble(server, reason):
        health = wait_for_health(service, "degraded", reason)
        assert health.status_code == 200
        assert service.client.get("/health/ready").status_code == 200
        assert service.post_video(ramp).status_code == 200
        started_at = time.monotonic()
        refused = client.post(ramp)
        assert time.monotonic() - started_at < 3 * TIMEOUT_SECONDS
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        assert 'framewise_degraded{part="jobs"} 1.0' in client.metrics()
        for secret in (str(server.directory), ROLE + "@", "psycopg"):
            assert secret not in health.text + refused.text
    wait_for_health(service, "ready")
    assert client.get(f"/{before}").json()["state"] == "done"
    assert client.wait(client.submit(ramp))["state"] == "done"
    assert "no job is run any more" not in service.log_path.read_text()


@pytest.fixture(scope="module")
def sqlite_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jobs directory of `started_with_garbage`."""
    return tmp_path_factory.mktemp("sqlite") / "jobs"


@pytest.fixture(scope="module")
def started_with_garbage(
    sqlite_dir: Path, ramp: Path, grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outage]:
    """A service that was started with a database file that is none; it is removed since."""
    sqlite_dir.mkdir()
    (sqlite_dir / "jobs.db").write_bytes(b"This is no database. " * 1000)
    settings = {**SETTINGS, "jobs_dir": sqlite_dir}
    with running_service(grey_models_dir, tmp_path_factory.mktemp("incoming"), **settings) as service:
        outage = observed(service, ramp)
        (sqlite_dir / "jobs.db").unlink()
        wait_for_health(service, "ready")
        yield outage


def test_garbage_in_the_database_file_is_named_and_a_new_file_is_used(started_with_garbage: Outage, ramp: Path) -> None:
    outage = started_with_garbage
    assert (outage.health.status_code, outage.health.json()["state"]) == (200, "degraded")
    assert outage.health.json()["degraded"][0]["reason"] == "not_a_database"
    assert outage.prediction.status_code == 200
    assert (outage.submission.status_code, outage.submission.json()["code"]) == (503, "database_unavailable")
    client = JobClient(outage.service)
    assert client.wait(client.submit(ramp))["state"] == "done"


def test_a_locked_database_can_be_read_and_refuses_jobs_in_time(
    started_with_garbage: Outage, sqlite_dir: Path, ramp: Path
) -> None:
    service = started_with_garbage.service
    client = JobClient(service)
    job_id = client.submit(ramp)
    client.wait(job_id)
    with closing(sqlite3.connect(sqlite_dir / "jobs.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        wait_for_health(service, "degraded", "locked")
        started_at = time.monotonic()
        assert client.get("").status_code == 200
        assert client.get(f"/{job_id}").json()["state"] == "done"
        assert time.monotonic() - started_at < TIMEOUT_SECONDS
        started_at = time.monotonic()
        refused = client.post(ramp)
        assert time.monotonic() - started_at < 2 * TIMEOUT_SECONDS
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        assert "lock" in refused.json()["detail"]
        assert service.post_video(ramp).status_code == 200
    wait_for_health(service, "ready")
    assert client.wait(client.submit(ramp))["state"] == "done"


@pytest.mark.parametrize("content", [b"", b"This is no database. " * 1000], ids=["emptied", "overwritten"])
def test_a_replaced_database_file_is_noticed(
    started_with_garbage: Outage, sqlite_dir: Path, ramp: Path, content: bytes
) -> None:
    service = started_with_garbage.service
    client = JobClient(service)
    file, backup = sqlite_dir / "jobs.db", sqlite_dir / "backup.db"
    job_id = client.submit(ramp)
    client.wait(job_id)
    with closing(sqlite3.connect(file)) as database, closing(sqlite3.connect(backup)) as copy:
        database.backup(copy)
    other = sqlite_dir / "other.db"
    other.write_bytes(content)
    other.rename(file)
    if content:
        wait_for_health(service, "degraded", "not_a_database")
    else:
        # An empty file is a new database.
        while client.get(f"/{job_id}").status_code != 404:
            pass
    assert service.post_video(ramp).status_code == 200
    for leftover in sqlite_dir.glob("jobs.db-*"):
        leftover.unlink()
    backup.rename(file)
    wait_for_health(service, "ready")
    while (response := client.get(f"/{job_id}")).status_code != 200:
        assert response.status_code in (404, 503)
    assert client.wait(client.submit(ramp))["state"] == "done"


def test_a_service_whose_database_is_locked_stops_in_time(grey_models_dir: Path, tmp_path: Path, ramp: Path) -> None:
    (tmp_path / "incoming").mkdir()
    settings = {**SETTINGS, "jobs_dir": tmp_path / "jobs"}
    with running_service(grey_models_dir, tmp_path / "incoming", **settings) as service:
        JobClient(service).submit(ramp)
        with closing(sqlite3.connect(tmp_path / "jobs" / "jobs.db", isolation_level=None, timeout=60)) as other:
            other.execute("BEGIN IMMEDIATE")
            wait_for_health(service, "degraded", "locked")
            started_at = time.monotonic()
            assert service.stop(signal.SIGTERM) == 0
            assert time.monotonic() - started_at < 2 * (TIMEOUT_SECONDS + 1) + 5


BAD_IDS = ("%00", "0" * 31, "0" * 33, "g" * 32, "%F0%9F%8E%A5", "'; DROP TABLE jobs; --", "0" * 31 + "%0A")


@pytest.mark.parametrize("bad_id", BAD_IDS)
def test_what_is_no_id_is_an_unknown_job_in_every_route(service: RunningService, bad_id: str) -> None:
    client = service.client
    for response in (
        client.get(f"/jobs/{bad_id}"),
        client.get(f"/jobs/{bad_id}/events"),
        client.delete(f"/jobs/{bad_id}"),
        client.get(f"/jobs?after={bad_id}"),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "unknown_job")
    assert client.get("/health").json()["state"] == "ready"
