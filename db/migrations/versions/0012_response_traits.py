"""Responses keep what can be counted in their words.

Those that are here already are counted when the next training begins: a migration does not read people's texts.
"""

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """One column."""
    # A rebuilt table of SQLite lacks what it does not tell of itself; PostgreSQL needs no new table for a column.
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("responses", recreate=recreate, table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.add_column(sa.Column("traits", sa.LargeBinary(), nullable=True))
