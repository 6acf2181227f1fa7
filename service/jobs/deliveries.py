"""Which jobs are to be posted to their callbacks, and what came of it: kept, so that a crash forgets none."""

from dataclasses import dataclass

from sqlalchemy import Connection, and_, insert, select, update

from service.jobs.database import current_time
from service.jobs.queries import job_json
from service.jobs.tables import DELIVERIES, JOBS

DELIVERY_SECONDS = 10.0
"""How long a callback may take to answer."""


@dataclass(frozen=True, slots=True)
class DueCallback:
    """One delivery to be made; `number` fences what is written of it."""

    job_id: str
    request_id: str
    traceparent: str | None
    number: int
    url: str
    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Received:
    """What came of a delivery: a status, or the name of an error."""

    status: int | None
    error: str | None
    milliseconds: float

    @property
    def is_delivered(self) -> bool:
        """Whether the callback took it."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - HTTP's success


@dataclass(frozen=True, slots=True)
class Persistence:
    """How often, how soon and how long a webhook is tried."""

    max_attempts: int
    backoff_seconds: float
    max_age_seconds: float


def take_due(connection: Connection, persistence: Persistence) -> DueCallback | None:
    """The next delivery, counted before it is made; if this process dies of it, it is due again later."""
    now = current_time(connection)
    is_due = and_(JOBS.c.callback_due_at <= now, JOBS.c.callback_state == "pending")
    row = connection.execute(
        select(JOBS).where(is_due).order_by(JOBS.c.callback_due_at).limit(1).with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    number = row.num_callbacks + 1
    due_at = _due_after(number, now + DELIVERY_SECONDS, persistence)
    connection.execute(update(JOBS).where(JOBS.c.id == row.id).values(num_callbacks=number, callback_due_at=due_at))
    body = job_json(connection, row).encode()
    return DueCallback(row.id, row.request_id, row.traceparent, number, row.callback_url, body, now)


def record_delivery(connection: Connection, due: DueCallback, received: Received, persistence: Persistence) -> str:
    """Write down what came of a delivery; returns `delivered`, `pending` or `given_up`."""
    now = current_time(connection)
    job = connection.execute(select(JOBS).where(JOBS.c.id == due.job_id)).one_or_none()
    if job is None:
        # Removed meanwhile, with all that could have been written down.
        return "delivered" if received.is_delivered else "given_up"
    connection.execute(
        insert(DELIVERIES).values(
            job_id=due.job_id,
            number=due.number,
            at=due.at,
            status=received.status,
            error=received.error,
            milliseconds=received.milliseconds,
        )
    )
    due_at = _due_after(due.number, now, persistence)
    is_last = due.number >= persistence.max_attempts or due_at > job.finished_at + persistence.max_age_seconds
    state = "delivered" if received.is_delivered else "given_up" if is_last else "pending"
    is_current = and_(JOBS.c.id == due.job_id, JOBS.c.num_callbacks == due.number)
    connection.execute(
        update(JOBS)
        .where(is_current)
        .values(callback_state=state, callback_due_at=due_at if state == "pending" else None)
    )
    return state


def give_up_stale(connection: Connection, persistence: Persistence) -> int:
    """Give up the callbacks that were tried often or long enough without an end, and say how many."""
    now = current_time(connection)
    is_stale = and_(
        JOBS.c.callback_state == "pending",
        JOBS.c.callback_due_at <= now,
        (JOBS.c.num_callbacks >= persistence.max_attempts) | (JOBS.c.finished_at < now - persistence.max_age_seconds),
    )
    stale = update(JOBS).where(is_stale).values(callback_state="given_up", callback_due_at=None)
    return connection.execute(stale).rowcount


def _due_after(number: int, now: float, persistence: Persistence) -> float:
    # At most some 10^9 times the first wait: the exponent is bounded as well as the number.
    return now + persistence.backoff_seconds * 2.0 ** min(number - 1, 30)
