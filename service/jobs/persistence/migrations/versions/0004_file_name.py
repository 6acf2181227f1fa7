"""Add the file name of a job's upload."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; existing jobs have no file name."""
    op.add_column("jobs", sa.Column("upload_file_name", sa.String(255)))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("jobs", "upload_file_name")
