"""A router version can carry a note and be put away."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Two columns of router_versions."""
    with op.batch_alter_table("router_versions") as table:
        table.add_column(sa.Column("note", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
