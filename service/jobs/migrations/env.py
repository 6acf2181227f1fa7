"""How Alembic runs the steps: in the transaction it is given."""

from alembic import context

from service.jobs.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
