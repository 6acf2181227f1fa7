"""Webhooks: signatures, retries, the end of retries, allowed addresses."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from framewise.schemas.jobs import Job
from service.jobs.delivery.deliveries import (
    DELIVERY_SECONDS,
    RetryPolicy,
    due_recipients,
    give_up_stale_callbacks,
    take_due_delivery,
)
from service.jobs.delivery.slots import Recipient
from service.jobs.delivery.webhooks import Webhooks, sign
from service.jobs.errors import CallbackNotAllowed
from service.jobs.leases import cancel_job
from service.jobs.persistence.database import Database
from service.telemetry.metrics import Metrics
from service.video.sandbox.formats import Formats
from tests.jobs.stored_jobs import (
    RETENTION_SECONDS,
    claimed_job,
    finished,
    job_request,
    open_database,
    stored_job,
    submitted,
    with_database,
)
from tests.support.webhook_receiver import running_receiver

pytestmark = pytest.mark.slow

SECRET = b"a secret of thirty-two characters"
# Without a wait between deliveries.
IMMEDIATELY = RetryPolicy(max_attempts=3, backoff_seconds=0, max_age_seconds=1000)


def test_the_signature_is_an_hmac_of_time_and_body() -> None:
    body = b'{"id": "1"}'
    fields = dict(part.split("=", 1) for part in sign(SECRET, 1700000000, body).split(","))
    assert fields["t"] == "1700000000"
    assert fields["v1"] == hmac.new(SECRET, b"1700000000." + body, hashlib.sha256).hexdigest()
    assert sign(SECRET, 1700000001, body).split(",v1=")[1] != fields["v1"]


def deliver(
    directory: Path,
    url: str,
    *,
    allowed: tuple[str, ...],
    num_rounds: int,
    retry_policy: RetryPolicy = IMMEDIATELY,
    is_private_allowed: bool = True,
) -> tuple[Job, bool]:
    """A failed job after `num_rounds` of deliveries, and whether another delivery is due."""

    async def scenario() -> tuple[Job, bool]:
        async with open_database(f"sqlite:///{directory}/jobs.db", directory) as database:
            webhooks = Webhooks(
                database,
                Metrics(Formats()),
                retry_policy,
                allowed_hosts=allowed,
                is_private_allowed=is_private_allowed,
                secret=SECRET,
            )
            job_id, _ = await submitted(database, job_request(callback_url=url))
            assert await finished(database, await claimed_job(database))
            for _ in range(num_rounds):
                await webhooks.deliver_due()
                await webhooks.wait_until_idle()
            await webhooks.close()
            due = await database.write(lambda connection: take_due_delivery(connection, retry_policy))
            return await stored_job(database, job_id), due is not None

    return asyncio.run(scenario())


@pytest.fixture
def undelivered(tmp_path: Path) -> Callable[..., Job]:
    """A function that makes one delivery to an unreachable callback and returns the job."""
    return lambda url, **options: deliver(tmp_path, url, num_rounds=1, **options)[0]


def test_an_ended_job_is_posted_with_a_signature_and_its_delivery_is_recorded(tmp_path: Path) -> None:
    with running_receiver(204) as receiver:
        job, is_more_due = deliver(tmp_path, receiver.url, allowed=(receiver.host,), num_rounds=2)
        headers, body = receiver.received.get_nowait()
        assert receiver.received.empty()
    assert not is_more_due
    sent_at, signature = headers["x-framewise-signature"].removeprefix("t=").split(",v1=")
    assert signature == hmac.new(SECRET, f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest()
    assert abs(time.time() - int(sent_at)) < 600
    assert headers["x-framewise-delivery"] == f"{job.id}-1"
    assert headers["content-type"] == "application/json"
    posted = Job.model_validate_json(body)
    assert posted.problem == job.problem
    assert posted.callback is not None
    assert posted.callback.state == "pending"
    assert job.callback is not None
    assert job.callback.state == "delivered"
    assert [(d.number, d.status, d.error) for d in job.callback.deliveries] == [(1, 204, None)]


def test_a_failed_or_redirected_delivery_is_retried(tmp_path: Path) -> None:
    with running_receiver(500, 307, 200) as receiver:
        job, is_more_due = deliver(tmp_path, receiver.url, allowed=(receiver.host,), num_rounds=3)
        assert receiver.received.qsize() == 3
    assert not is_more_due
    assert job.callback is not None
    assert job.callback.state == "delivered"
    assert [(d.number, d.status) for d in job.callback.deliveries] == [(1, 500), (2, 307), (3, 200)]


def test_a_response_with_an_invalid_location_is_recorded_like_any_other(tmp_path: Path) -> None:
    with running_receiver(307, location="https://xn--/") as receiver:
        job, is_more_due = deliver(tmp_path, receiver.url, allowed=(receiver.host,), num_rounds=1)
    assert is_more_due
    assert job.callback is not None
    assert [(d.status, d.error) for d in job.callback.deliveries] == [(307, None)]


def test_deliveries_are_limited_in_number_and_age(tmp_path: Path) -> None:
    with running_receiver(500) as receiver:
        for number, (retry_policy, num_sent) in enumerate([(IMMEDIATELY, 3), (RetryPolicy(9, 0, -1), 0)]):
            directory = tmp_path / str(number)
            directory.mkdir()
            job, is_more_due = deliver(
                directory, receiver.url, allowed=(receiver.host,), num_rounds=5, retry_policy=retry_policy
            )
            assert not is_more_due
            assert job.callback is not None
            assert job.callback.state == "given_up"
            assert len(job.callback.deliveries) == num_sent
    assert receiver.received.qsize() == 3


def test_a_delivery_in_progress_is_not_due(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        await submitted(database, job_request(callback_url="https://example.org/"))
        await finished(database, await claimed_job(database))
        waits = RetryPolicy(max_attempts=9, backoff_seconds=1000, max_age_seconds=1e6)
        assert await database.write(lambda connection: take_due_delivery(connection, waits)) is not None
        # The delivery is counted before it is made, so a delivery that kills its process is not repeated endlessly.
        assert await database.write(lambda connection: take_due_delivery(connection, waits)) is None
        assert await database.write(lambda connection: give_up_stale_callbacks(connection, waits)) == 0

    with_database(f"sqlite:///{tmp_path}/jobs.db", tmp_path, scenario)


def test_due_deliveries_are_taken_by_key_and_host(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        job_ids = {}
        for owner, url in [
            ("mine", "https://EXAMPLE.org:443/a?b"),
            ("mine", "https://example.org:8443/"),
            ("yours", "https://example.org/"),
            ("mine", "https://example.org/b"),
        ]:
            job_ids[url], _ = await submitted(database, job_request(owner=owner, callback_url=url))
            assert await finished(database, await claimed_job(database))
        waits = RetryPolicy(max_attempts=9, backoff_seconds=1000, max_age_seconds=1e6)
        due = await database.read(due_recipients)
        mine = Recipient("mine", "example.org")
        assert set(due) == {mine, Recipient("mine", "example.org:8443"), Recipient("yours", "example.org")}
        for url in ("https://EXAMPLE.org:443/a?b", "https://example.org/b"):
            delivery = await database.write(lambda connection: take_due_delivery(connection, waits, mine))
            assert delivery is not None
            assert (delivery.job_id, delivery.url) == (job_ids[url], url)
        assert await database.write(lambda connection: take_due_delivery(connection, waits, mine)) is None
        assert len(await database.read(due_recipients)) == 2

    with_database(database_url, tmp_path, scenario)


def test_an_unreachable_callback_is_recorded_with_the_name_of_the_error(undelivered: Callable[..., Job]) -> None:
    with running_receiver(200) as receiver:
        stopped = receiver
    job = undelivered(stopped.url, allowed=(stopped.host,))
    assert job.callback is not None
    assert [(d.status, d.error) for d in job.callback.deliveries] == [(None, "ConnectError")]


def test_a_host_with_a_private_address_is_not_called(undelivered: Callable[..., Job]) -> None:
    with running_receiver(200) as receiver:
        job = undelivered(f"https://localhost:{receiver.port}/hook", allowed=(receiver.host,), is_private_allowed=False)
        assert receiver.received.empty()
    assert job.callback is not None
    assert [(d.status, d.error) for d in job.callback.deliveries] == [(None, "UrlNotAllowed")]


@asynccontextmanager
async def server_of_paths() -> AsyncIterator[str]:
    """Host and port of a server that responds to `/hook` and never to `/silent`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST /hook "):
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("owner", ["silent", ""])
def test_callbacks_that_never_respond_do_not_delay_the_callback_of_another_key_or_host(
    tmp_path: Path, owner: str
) -> None:
    """Regression: the first 4 of 60 took all slots for 10 s, then the next."""

    async def scenario(database: Database) -> None:
        async with server_of_paths() as silent_host, server_of_paths() as other_host:
            webhooks = Webhooks(
                database,
                Metrics(Formats()),
                RetryPolicy(max_attempts=9, backoff_seconds=1000, max_age_seconds=1e6),
                allowed_hosts=(silent_host, other_host),
                is_private_allowed=True,
                secret=SECRET,
            )
            for _ in range(60):
                await submitted(database, job_request(owner=owner, callback_url=f"http://{silent_host}/silent"))
                assert await finished(database, await claimed_job(database))
            await webhooks.deliver_due()
            # Of a key, the host may be the same one; without keys, only hosts tell callbacks apart.
            host = silent_host if owner else other_host
            job_id, _ = await submitted(
                database, job_request(owner="other" if owner else "", callback_url=f"http://{host}/hook")
            )
            assert await finished(database, await claimed_job(database))
            await webhooks.deliver_due()
            # The silent callbacks hold their slots for longer.
            async with asyncio.timeout(DELIVERY_SECONDS - 1):
                while (callback := (await stored_job(database, job_id)).callback) and callback.state == "pending":  # noqa: ASYNC110 - a row has no event
                    await asyncio.sleep(0)
            assert callback is not None
            assert callback.state == "delivered"
            await webhooks.close()

    with_database(f"sqlite:///{tmp_path}/jobs.db", tmp_path, scenario)


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://example.org/hook", True),
        ("https://EXAMPLE.org/hook?a=b", True),
        ("http://example.org/hook", False),
        ("https://example.org:8443/hook", False),
        ("https://evil.example/hook", False),
        ("https://example.org.evil.example/hook", False),
        ("https://user:password@example.org/hook", False),
        ("ftp://example.org/hook", False),
        ("no url at all", False),
        ("https://xn--/", False),
        ("https://xn--ls8h.la/", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_only_allowed_hosts_are_callbacks(url: str, is_allowed: object, tmp_path: Path) -> None:
    webhooks = Webhooks(
        Database(f"sqlite:///{tmp_path}/jobs.db", tmp_path),
        Metrics(Formats()),
        IMMEDIATELY,
        allowed_hosts=("example.org",),
        is_private_allowed=False,
        secret=SECRET,
    )
    if is_allowed:
        webhooks.require_allowed(url)
    else:
        with pytest.raises(CallbackNotAllowed):
            webhooks.require_allowed(url)


def test_a_cancelled_job_has_no_delivery(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        job_id, _ = await submitted(database, job_request(callback_url="https://example.org/"))
        await database.write(lambda connection: cancel_job(connection, job_id, RETENTION_SECONDS))
        assert await database.write(lambda connection: take_due_delivery(connection, IMMEDIATELY)) is None
        callback = (await stored_job(database, job_id)).callback
        assert callback is not None
        assert callback.state == "given_up"

    with_database(f"sqlite:///{tmp_path}/jobs.db", tmp_path, scenario)
