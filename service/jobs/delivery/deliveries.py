"""Schedule and results of webhook deliveries, stored in the database so that a crash loses none."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, update

from service.jobs.delivery.slots import Recipient
from service.jobs.persistence.database import current_time
from service.jobs.persistence.tables import DELIVERIES, JOBS
from service.jobs.queries import job_json

DELIVERY_SECONDS = 10.0
"""Time limit of one delivery."""


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery to make; its `number` rejects the result of an older delivery."""

    job_id: str
    request_id: str
    traceparent: str | None
    number: int
    url: str
    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The HTTP status of a delivery, or the name of the error that prevented a response."""

    status: int | None
    error: str | None
    milliseconds: float

    @property
    def is_delivered(self) -> bool:
        """Whether the callback responded with a status 2xx."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - HTTP success


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of the deliveries of one webhook. The wait doubles after each delivery."""

    max_attempts: int
    backoff_seconds: float
    max_age_seconds: float


def due_recipients(connection: Connection) -> dict[Recipient, float]:
    """The recipients with a due delivery, and the time since when their first one is due."""
    statement = (
        select(JOBS.c.owner, JOBS.c.callback_host, func.min(JOBS.c.callback_due_at))
        .where(_is_due(connection))
        .group_by(JOBS.c.owner, JOBS.c.callback_host)
    )
    return {Recipient(owner, host): due_at for owner, host, due_at in connection.execute(statement)}


def take_due_delivery(
    connection: Connection, retry_policy: RetryPolicy, recipient: Recipient | None = None
) -> DueDelivery | None:
    """The next due delivery, to `recipient` if that is given.

    It is counted before it is made, and due again later if this process dies.
    """
    now = current_time(connection)
    statement = select(JOBS).where(_is_due(connection))
    if recipient is not None:
        statement = statement.where(JOBS.c.owner == recipient.owner, JOBS.c.callback_host == recipient.host)
    row = connection.execute(
        statement.order_by(JOBS.c.callback_due_at).limit(1).with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    number = row.num_callbacks + 1
    due_at = _due_after(number, now + DELIVERY_SECONDS, retry_policy)
    connection.execute(update(JOBS).where(JOBS.c.id == row.id).values(num_callbacks=number, callback_due_at=due_at))
    body = job_json(connection, row).encode()
    return DueDelivery(row.id, row.request_id, row.traceparent, number, row.callback_url, body, now)


def record_delivery(
    connection: Connection, delivery: DueDelivery, result: DeliveryResult, retry_policy: RetryPolicy
) -> str:
    """Store the result of a delivery, and return the callback's new state: `delivered`, `pending` or `given_up`."""
    now = current_time(connection)
    job = connection.execute(select(JOBS).where(JOBS.c.id == delivery.job_id)).one_or_none()
    if job is None:
        # The job was removed during the delivery.
        return "delivered" if result.is_delivered else "given_up"
    connection.execute(
        insert(DELIVERIES).values(
            job_id=delivery.job_id,
            number=delivery.number,
            at=delivery.at,
            status=result.status,
            error=result.error,
            milliseconds=result.milliseconds,
        )
    )
    due_at = _due_after(delivery.number, now, retry_policy)
    is_last = delivery.number >= retry_policy.max_attempts or due_at > job.finished_at + retry_policy.max_age_seconds
    state = "delivered" if result.is_delivered else "given_up" if is_last else "pending"
    is_current = and_(JOBS.c.id == delivery.job_id, JOBS.c.num_callbacks == delivery.number)
    connection.execute(
        update(JOBS)
        .where(is_current)
        .values(callback_state=state, callback_due_at=due_at if state == "pending" else None)
    )
    return state


def give_up_stale_callbacks(connection: Connection, retry_policy: RetryPolicy) -> int:
    """Give up the callbacks that exceeded the number or the age of deliveries, and return their count."""
    now = current_time(connection)
    is_stale = and_(
        JOBS.c.callback_state == "pending",
        JOBS.c.callback_due_at <= now,
        (JOBS.c.num_callbacks >= retry_policy.max_attempts) | (JOBS.c.finished_at < now - retry_policy.max_age_seconds),
    )
    stale = update(JOBS).where(is_stale).values(callback_state="given_up", callback_due_at=None)
    return connection.execute(stale).rowcount


def _is_due(connection: Connection) -> ColumnElement[bool]:
    return and_(JOBS.c.callback_due_at <= current_time(connection), JOBS.c.callback_state == "pending")


def _due_after(number: int, now: float, retry_policy: RetryPolicy) -> float:
    # The exponent is bounded, so that the wait stays finite.
    return now + retry_policy.backoff_seconds * 2.0 ** min(number - 1, 30)
