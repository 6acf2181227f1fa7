"""The tables of jobs. `migrations` makes them in a database; a test holds the two against each other."""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()

JOBS = Table(
    "jobs",
    METADATA,
    # Begins with the time, so that ids are in the order in which jobs came.
    Column("id", String(32), primary_key=True),
    # The id of the API key, "" where there are none.
    Column("owner", String(64), nullable=False),
    Column("idempotency_key", String(128)),
    Column("fingerprint", String(64), nullable=False),
    Column("request_id", String(128), nullable=False),
    # Of the request, as W3C has it; null where it was part of no trace.
    Column("traceparent", String(55)),
    Column("query", Text, nullable=False),
    Column("upload_sha256", String(64), nullable=False),
    Column("num_upload_bytes", BigInteger, nullable=False),
    Column("num_stored_bytes", BigInteger, nullable=False),
    Column("state", String(9), nullable=False),
    # Counts the claims. Whoever writes for a job says the number of its claim, and is heeded if it is the latest.
    Column("fence", Integer, nullable=False),
    # The claims that ended, or may end, by the death of a process.
    Column("num_attempts", Integer, nullable=False),
    # Jobs run in the order of their turns, those of one turn in that of their ids.
    Column("turn", BigInteger, nullable=False, server_default="0"),
    Column("run_after", Double, nullable=False),
    Column("lease_ends_at", Double),
    Column("num_clips", Integer),
    Column("num_clips_done", Integer, nullable=False),
    # Every time is Unix time by the database's clock: processes on several machines share no other.
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("expires_at", Double),
    Column("result", Text),
    Column("problem", Text),
    Column("callback_url", Text),
    Column("callback_state", String(9)),
    Column("num_callbacks", Integer, nullable=False),
    Column("callback_due_at", Double),
    UniqueConstraint("owner", "idempotency_key", name="jobs_idempotency"),
    Index("jobs_by_state", "state", "num_attempts", "turn", "id"),
    Index("jobs_by_owner", "owner", "id"),
    Index("jobs_by_expiry", "expires_at"),
    Index("jobs_by_callback", "callback_due_at"),
)

DELIVERIES = Table(
    "job_deliveries",
    METADATA,
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("status", Integer),
    Column("error", String(64)),
    Column("milliseconds", Double, nullable=False),
)
