"""Responses keep what can be counted in their words.

Those that are here already are counted when the next training begins: a migration does not read people's texts.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """One column, empty for now: both databases add it without touching a row."""
    op.add_column("responses", sa.Column("traits", sa.LargeBinary(), nullable=True))
