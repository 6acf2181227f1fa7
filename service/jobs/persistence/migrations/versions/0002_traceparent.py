"""Add the trace of a job."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; existing jobs have no trace."""
    op.add_column("jobs", sa.Column("traceparent", sa.String(55)))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("jobs", "traceparent")
