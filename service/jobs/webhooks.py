"""Posts jobs that have ended to their callbacks: signed, a bounded number of times, following no redirect."""

import asyncio
import hashlib
import hmac
import logging
import time

import httpx

from service.egress.client import async_client, check_url
from service.egress.errors import UrlNotAllowed
from service.jobs.database import Database
from service.jobs.deliveries import (
    DELIVERY_SECONDS,
    DueCallback,
    Persistence,
    Received,
    give_up_stale,
    record_delivery,
    take_due,
)
from service.jobs.errors import CallbackNotAllowed, DatabaseUnavailable
from service.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

_MAX_DELIVERIES_AT_ONCE = 4


class Webhooks:
    """Delivers what the database says is due; close it in the end."""

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        persistence: Persistence,
        *,
        allowed_hosts: tuple[str, ...],
        is_private_allowed: bool,
        secret: bytes,
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._persistence = persistence
        self._allowed_hosts = allowed_hosts
        self._is_private_allowed = is_private_allowed
        self._secret = secret
        self._client = async_client(allowed_hosts, is_private_allowed=is_private_allowed)
        self._deliveries: set[asyncio.Task[None]] = set()

    def require_allowed(self, url: str) -> None:
        """Pass where `url` may be called, as far as can be said before its host is resolved.

        Raises:
            CallbackNotAllowed: it may not.
        """
        try:
            check_url(httpx.URL(url), self._allowed_hosts, is_private_allowed=self._is_private_allowed)
        except (UrlNotAllowed, httpx.InvalidURL) as error:
            raise CallbackNotAllowed(f"The callback cannot be called: {error}") from error

    async def deliver_due(self) -> None:
        """Begin the deliveries that are due, as many as may be made at once; raises DatabaseUnavailable."""
        await self._database.write(lambda connection: give_up_stale(connection, self._persistence))
        while len(self._deliveries) < _MAX_DELIVERIES_AT_ONCE:
            due = await self._database.write(lambda connection: take_due(connection, self._persistence))
            if due is None:
                return
            delivery = asyncio.create_task(self._deliver(due))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)

    async def wait_until_idle(self) -> None:
        """Wait until no delivery is being made."""
        await asyncio.gather(*self._deliveries)

    async def close(self) -> None:
        """Break off: what was being delivered is due again."""
        for delivery in self._deliveries:
            delivery.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        await self._client.aclose()

    async def _deliver(self, due: DueCallback) -> None:
        received = await self._post(due)
        try:
            state = await self._database.write(
                lambda connection: record_delivery(connection, due, received, self._persistence)
            )
        except DatabaseUnavailable:
            # It is due again, and may come twice: that is promised.
            return
        self._metrics.count_delivery("delivered" if state == "delivered" else "failed")
        if state == "given_up":
            self._metrics.count_delivery("given_up")
        _log.info(
            "webhook",
            extra={
                "job_id": due.job_id,
                "request_id": due.request_id,
                "number": due.number,
                "status": received.status,
                "error": received.error,
                "state": state,
            },
        )

    async def _post(self, due: DueCallback) -> Received:
        headers = {
            "Content-Type": "application/json",
            "X-Framewise-Signature": sign(self._secret, int(time.time()), due.body),
            "X-Framewise-Delivery": f"{due.job_id}-{due.number}",
        }
        if due.traceparent is not None:
            headers["traceparent"] = due.traceparent
        started_at = time.perf_counter()
        status, error = None, None
        try:
            async with (
                asyncio.timeout(DELIVERY_SECONDS),
                # What the callback answers beyond its status is never read.
                self._client.stream("POST", due.url, content=due.body, headers=headers) as response,
            ):
                status = response.status_code
        except (httpx.HTTPError, UrlNotAllowed, TimeoutError) as failure:
            error = type(failure).__name__
        return Received(status, error, round((time.perf_counter() - started_at) * 1000, 3))


def sign(secret: bytes, unix_seconds: int, body: bytes) -> str:
    """The signature of a body sent at that time, as its header has it."""
    digest = hmac.new(secret, f"{unix_seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={unix_seconds},v1={digest}"
