"""A router version can carry a note and be put away."""

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Two columns of router_versions."""
    # A rebuilt table of SQLite lacks what it does not tell of itself; PostgreSQL needs no new table for a column.
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    kept = {"sqlite_autoincrement": True}
    with op.batch_alter_table("router_versions", recreate=recreate, table_kwargs=kept) as table:
        table.add_column(sa.Column("note", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
