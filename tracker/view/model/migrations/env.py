"""Run by Alembic, in the transaction of `tracker.view.model.database`."""

from alembic import context

from tracker.view.model import access, feeds, freshness, jobs, views  # noqa: F401  # their tables
from tracker.view.model.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
