"""Webhooks: signed, sent again when they fail, given up in the end, and never sent elsewhere."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from framewise.schemas.jobs import Job
from service.jobs.database import Database
from service.jobs.deliveries import Persistence, give_up_stale, take_due
from service.jobs.errors import CallbackNotAllowed
from service.jobs.leases import cancel
from service.jobs.webhooks import Webhooks, sign
from service.telemetry.metrics import Metrics
from service.video.sandbox.formats import Formats
from tests.jobs.test_store import (
    FAILED,
    KEPT_SECONDS,
    asked,
    claimed,
    finished,
    job,
    open_database,
    submitted,
    with_database,
)
from tests.support.webhook_receiver import running_receiver

SECRET = b"a secret of thirty-two characters"
# No time at all between deliveries.
AT_ONCE = Persistence(max_attempts=3, backoff_seconds=0, max_age_seconds=1000)


def test_the_signature_is_that_of_the_documentation() -> None:
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
    persistence: Persistence = AT_ONCE,
    is_private_allowed: bool = True,
) -> tuple[Job, bool]:
    """A failed job after `num_rounds` of deliveries, and whether more are due."""

    async def story() -> tuple[Job, bool]:
        async with open_database(f"sqlite:///{directory}/jobs.db", directory) as database:
            webhooks = Webhooks(
                database,
                Metrics(Formats()),
                persistence,
                allowed_hosts=allowed,
                is_private_allowed=is_private_allowed,
                secret=SECRET,
            )
            job_id, _ = await submitted(database, asked(callback_url=url))
            held = await claimed(database)
            assert held is not None
            assert await finished(database, held, FAILED)
            for _ in range(num_rounds):
                await webhooks.deliver_due()
                await webhooks.wait_until_idle()
            await webhooks.close()
            due = await database.write(lambda connection: take_due(connection, persistence))
            return await job(database, job_id), due is not None

    return asyncio.run(story())


@pytest.fixture
def reject(tmp_path: Path) -> Callable[..., Job]:
    """A job whose callback was not reached at all."""
    return lambda url, **options: deliver(tmp_path, url, num_rounds=1, **options)[0]


def test_a_job_that_has_ended_is_posted_signed_and_its_delivery_is_told(tmp_path: Path) -> None:
    with running_receiver(204) as receiver:
        told, is_more_due = deliver(tmp_path, receiver.url, allowed=(receiver.host,), num_rounds=2)
        headers, body = receiver.received.get_nowait()
        assert receiver.received.empty()
    assert not is_more_due
    sent_at, signature = headers["x-framewise-signature"].removeprefix("t=").split(",v1=")
    assert signature == hmac.new(SECRET, f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest()
    assert abs(time.time() - int(sent_at)) < 600
    assert headers["x-framewise-delivery"] == f"{told.id}-1"
    assert headers["content-type"] == "application/json"
    posted = Job.model_validate_json(body)
    assert posted.problem == told.problem
    assert posted.callback is not None
    assert posted.callback.state == "pending"
    assert told.callback is not None
    assert told.callback.state == "delivered"
    assert [(d.number, d.status, d.error) for d in told.callback.deliveries] == [(1, 204, None)]


def test_a_delivery_that_fails_is_made_again_and_a_redirect_is_a_failure(tmp_path: Path) -> None:
    with running_receiver(500, 307, 200) as receiver:
        told, is_more_due = deliver(tmp_path, receiver.url, allowed=(receiver.host,), num_rounds=3)
        assert receiver.received.qsize() == 3
    assert not is_more_due
    assert told.callback is not None
    assert told.callback.state == "delivered"
    assert [(d.number, d.status) for d in told.callback.deliveries] == [(1, 500), (2, 307), (3, 200)]


def test_deliveries_are_bounded_in_number_and_age(tmp_path: Path) -> None:
    with running_receiver(500) as receiver:
        for number, (persistence, num_sent) in enumerate([(AT_ONCE, 3), (Persistence(9, 0, -1), 0)]):
            directory = tmp_path / str(number)
            directory.mkdir()
            told, is_more_due = deliver(
                directory, receiver.url, allowed=(receiver.host,), num_rounds=5, persistence=persistence
            )
            assert not is_more_due
            assert told.callback is not None
            assert told.callback.state == "given_up"
            assert len(told.callback.deliveries) == num_sent
    assert receiver.received.qsize() == 3


def test_each_wait_is_twice_as_long(tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        await submitted(database, asked(callback_url="https://example.org/"))
        held = await claimed(database)
        assert held is not None
        await finished(database, held, FAILED)
        waits = Persistence(max_attempts=9, backoff_seconds=1000, max_age_seconds=1e6)
        assert await database.write(lambda connection: take_due(connection, waits)) is not None
        # Counted before it was made: a process that dies of a delivery does not make it again and again.
        assert await database.write(lambda connection: take_due(connection, waits)) is None
        assert await database.write(lambda connection: give_up_stale(connection, waits)) == 0

    with_database(f"sqlite:///{tmp_path}/jobs.db", tmp_path, story)


def test_a_callback_that_cannot_be_reached_is_told_by_the_errors_name(reject: Callable[..., Job]) -> None:
    with running_receiver(200) as receiver:
        gone = receiver
    told = reject(gone.url, allowed=(gone.host,))
    assert told.callback is not None
    assert [(d.status, d.error) for d in told.callback.deliveries] == [(None, "ConnectError")]


def test_a_host_with_an_address_that_is_not_public_is_not_called(reject: Callable[..., Job]) -> None:
    with running_receiver(200) as receiver:
        told = reject(f"https://localhost:{receiver.port}/hook", allowed=(receiver.host,), is_private_allowed=False)
        assert receiver.received.empty()
    assert told.callback is not None
    assert [(d.status, d.error) for d in told.callback.deliveries] == [(None, "UrlNotAllowed")]


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
        ("https://[", False),
        ("", False),
    ],
)
def test_only_allowed_hosts_may_be_called_back(url: str, is_allowed: object, tmp_path: Path) -> None:
    webhooks = Webhooks(
        Database(f"sqlite:///{tmp_path}/jobs.db", tmp_path),
        Metrics(Formats()),
        AT_ONCE,
        allowed_hosts=("example.org",),
        is_private_allowed=False,
        secret=SECRET,
    )
    if is_allowed:
        webhooks.require_allowed(url)
    else:
        with pytest.raises(CallbackNotAllowed):
            webhooks.require_allowed(url)


def test_a_cancelled_job_calls_nobody_back(tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        job_id, _ = await submitted(database, asked(callback_url="https://example.org/"))
        await database.write(lambda connection: cancel(connection, job_id, KEPT_SECONDS))
        assert await database.write(lambda connection: take_due(connection, AT_ONCE)) is None
        callback = (await job(database, job_id)).callback
        assert callback is not None
        assert callback.state == "given_up"

    with_database(f"sqlite:///{tmp_path}/jobs.db", tmp_path, story)
