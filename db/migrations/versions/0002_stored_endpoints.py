"""Demo LLMs answer from their stored responses: what was empty becomes their endpoint."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Only where nobody has given another endpoint."""
    op.execute(sa.text("UPDATE llms SET endpoint = 'stored' WHERE source = 'demo' AND endpoint = ''"))
