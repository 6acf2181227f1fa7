"""Create the tables of jobs and of their webhook deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(128)),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("upload_sha256", sa.String(64), nullable=False),
        sa.Column("num_upload_bytes", sa.BigInteger, nullable=False),
        sa.Column("num_stored_bytes", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("num_attempts", sa.Integer, nullable=False),
        sa.Column("run_after", sa.Double, nullable=False),
        sa.Column("lease_ends_at", sa.Double),
        sa.Column("num_clips", sa.Integer),
        sa.Column("num_clips_done", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("expires_at", sa.Double),
        sa.Column("result", sa.Text),
        sa.Column("problem", sa.Text),
        sa.Column("callback_url", sa.Text),
        sa.Column("callback_state", sa.String(9)),
        sa.Column("num_callbacks", sa.Integer, nullable=False),
        sa.Column("callback_due_at", sa.Double),
        sa.UniqueConstraint("owner", "idempotency_key", name="jobs_idempotency"),
    )
    op.create_index("jobs_by_state", "jobs", ["state", "num_attempts", "id"])
    op.create_index("jobs_by_owner", "jobs", ["owner", "id"])
    op.create_index("jobs_by_expiry", "jobs", ["expires_at"])
    op.create_index("jobs_by_callback", "jobs", ["callback_due_at"])
    op.create_table(
        "job_deliveries",
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.String(64)),
        sa.Column("milliseconds", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables with all jobs."""
    op.drop_table("job_deliveries")
    op.drop_table("jobs")
