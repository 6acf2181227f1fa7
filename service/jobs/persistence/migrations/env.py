"""Alembic environment: runs the migrations in the given transaction."""

from alembic import context

from service.jobs.persistence.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
