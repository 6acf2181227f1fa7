"""Add the clock of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table; its row follows when the clock is first read."""
    op.create_table(
        "job_clock",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("correction", sa.Double, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("seen", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("job_clock")
