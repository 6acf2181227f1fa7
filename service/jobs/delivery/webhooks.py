"""Posts ended jobs to their callbacks: signed, with a bounded number of retries, without following redirects."""

import asyncio
import hashlib
import hmac
import logging
import time

import httpx

from service.egress.client import async_client, check_url
from service.egress.errors import InvalidUrl, UrlNotAllowed
from service.egress.urls import parse_url
from service.jobs.delivery.deliveries import (
    DELIVERY_SECONDS,
    DeliveryResult,
    DueDelivery,
    RetryPolicy,
    due_recipients,
    give_up_stale_callbacks,
    record_delivery,
    take_due_delivery,
)
from service.jobs.delivery.slots import DeliverySlots, Recipient
from service.jobs.errors import CallbackNotAllowed, DatabaseUnavailable
from service.jobs.persistence.database import Database
from service.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)


class Webhooks:
    """Makes the deliveries that are due in the database. Must be closed."""

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        retry_policy: RetryPolicy,
        *,
        allowed_hosts: tuple[str, ...],
        is_private_allowed: bool,
        secret: bytes,
        max_concurrent: int = 32,
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._retry_policy = retry_policy
        self._allowed_hosts = allowed_hosts
        self._is_private_allowed = is_private_allowed
        self._secret = secret
        self._client = async_client(allowed_hosts, is_private_allowed=is_private_allowed)
        self._slots = DeliverySlots(max_concurrent)
        self._tasks: set[asyncio.Task[None]] = set()

    def require_allowed(self, url: str) -> None:
        """Check that `url` is allowed, as far as possible before its host is resolved.

        Raises:
            CallbackNotAllowed: the scheme, host or port is not allowed.
        """
        try:
            check_url(url, self._allowed_hosts, is_private_allowed=self._is_private_allowed)
        except (UrlNotAllowed, InvalidUrl) as error:
            raise CallbackNotAllowed(f"The callback URL is not allowed: {error}") from error

    async def deliver_due(self) -> None:
        """Start the due deliveries for which a slot is free, in turn by key and host. Raises DatabaseUnavailable."""
        await self._database.write(lambda connection: give_up_stale_callbacks(connection, self._retry_policy))
        due_since = await self._database.read(due_recipients)
        while (recipient := self._slots.next_recipient(due_since)) is not None:
            delivery = await self._database.write(
                lambda connection: take_due_delivery(connection, self._retry_policy, recipient)
            )
            if delivery is None:
                del due_since[recipient]
            else:
                self._start(delivery, recipient)

    async def wait_until_idle(self) -> None:
        """Wait for the deliveries in progress."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Cancel the deliveries in progress; they become due again later."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def _start(self, delivery: DueDelivery, recipient: Recipient) -> None:
        self._slots.take(recipient)
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._slots.release(recipient)
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                # The delivery becomes due again.
                _log.error("webhook delivery failed", exc_info=error, extra={"job_id": delivery.job_id})

        task.add_done_callback(end)

    async def _deliver(self, delivery: DueDelivery) -> None:
        result = await self._post(delivery)
        try:
            state = await self._database.write(
                lambda connection: record_delivery(connection, delivery, result, self._retry_policy)
            )
        except DatabaseUnavailable:
            # The delivery becomes due again: callbacks receive a job at least once.
            return
        self._metrics.count_delivery("delivered" if state == "delivered" else "failed")
        if state == "given_up":
            self._metrics.count_delivery("given_up")
        _log.info(
            "webhook delivery",
            extra={
                "job_id": delivery.job_id,
                "request_id": delivery.request_id,
                "number": delivery.number,
                "status": result.status,
                "error": result.error,
                "state": state,
            },
        )

    async def _post(self, delivery: DueDelivery) -> DeliveryResult:
        headers = {
            "Content-Type": "application/json",
            "X-Framewise-Signature": sign(self._secret, int(time.time()), delivery.body),
            "X-Framewise-Delivery": f"{delivery.job_id}-{delivery.number}",
        }
        if delivery.traceparent is not None:
            headers["traceparent"] = delivery.traceparent
        started_at = time.perf_counter()
        status, error = None, None
        try:
            async with (
                asyncio.timeout(DELIVERY_SECONDS),
                # The body of the response is not read.
                self._client.stream(
                    "POST", parse_url(delivery.url), content=delivery.body, headers=headers
                ) as response,
            ):
                status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL, InvalidUrl, UrlNotAllowed, TimeoutError) as failure:
            error = type(failure).__name__
        return DeliveryResult(status, error, round((time.perf_counter() - started_at) * 1000, 3))


def sign(secret: bytes, unix_seconds: int, body: bytes) -> str:
    """The value of the header `X-Framewise-Signature` for a body sent at `unix_seconds`."""
    digest = hmac.new(secret, f"{unix_seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={unix_seconds},v1={digest}"
