"""Add the host of a job's callback, by which deliveries take turns."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column and its index; the callbacks of existing jobs take turns as those of one host."""
    op.add_column("jobs", sa.Column("callback_host", sa.String(300), nullable=False, server_default=""))
    op.create_index("jobs_by_recipient", "jobs", ["owner", "callback_host", "callback_due_at"])


def downgrade() -> None:
    """Drop the index and the column."""
    op.drop_index("jobs_by_recipient", "jobs")
    op.drop_column("jobs", "callback_host")
