"""The tables of jobs. `migrations` creates them; a test compares the migrations with this module."""

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

from service.uploads.file_name import MAX_FILE_NAME_CHARACTERS

METADATA = MetaData()

JOBS = Table(
    "jobs",
    METADATA,
    # Starts with the time, so that ids sort by creation.
    Column("id", String(32), primary_key=True),
    # Id of the API key; empty without keys.
    Column("owner", String(64), nullable=False),
    Column("idempotency_key", String(128)),
    Column("fingerprint", String(64), nullable=False),
    Column("request_id", String(128), nullable=False),
    # W3C traceparent of the request; null without a trace.
    Column("traceparent", String(55)),
    Column("query", Text, nullable=False),
    Column("upload_sha256", String(64), nullable=False),
    # As the client named it; null if the upload had no name.
    Column("upload_file_name", String(MAX_FILE_NAME_CHARACTERS)),
    Column("num_upload_bytes", BigInteger, nullable=False),
    Column("num_stored_bytes", BigInteger, nullable=False),
    Column("state", String(9), nullable=False),
    # Fencing token: the number of claims. A write with an older token is rejected.
    Column("fence", Integer, nullable=False),
    # Number of claims, without those that were requeued.
    Column("num_attempts", Integer, nullable=False),
    # Fair-queue turn: jobs run in the order of (turn, id).
    Column("turn", BigInteger, nullable=False, server_default="0"),
    Column("run_after", Double, nullable=False),
    Column("lease_ends_at", Double),
    Column("num_clips", Integer),
    Column("num_clips_done", Integer, nullable=False),
    # All times are job time: see `JobClock`.
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("expires_at", Double),
    Column("result", Text),
    Column("problem", Text),
    Column("callback_url", Text),
    # Host and port of the callback, by which deliveries take turns; empty without a callback.
    Column("callback_host", String(300), nullable=False, server_default=""),
    Column("callback_state", String(9)),
    Column("num_callbacks", Integer, nullable=False),
    Column("callback_due_at", Double),
    UniqueConstraint("owner", "idempotency_key", name="jobs_idempotency"),
    Index("jobs_by_state", "state", "num_attempts", "turn", "id"),
    Index("jobs_by_owner", "owner", "id"),
    Index("jobs_by_expiry", "expires_at"),
    Index("jobs_by_callback", "callback_due_at"),
    Index("jobs_by_recipient", "owner", "callback_host", "callback_due_at"),
)

# One row: see `JobClock`.
JOB_CLOCK = Table(
    "job_clock",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # Seconds to add to the database's clock.
    Column("correction", Double, nullable=False),
    # Number of corrections.
    Column("version", Integer, nullable=False),
    # Latest job time that was stored.
    Column("seen", Double, nullable=False),
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
