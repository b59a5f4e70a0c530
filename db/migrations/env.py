"""What Alembic runs: always within `db.schema.upgrade`, in its transaction. There is no offline mode."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
