"""What people say of themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """One table."""
    answers = ("mostly_for", "how_often", "likes_answers")
    op.create_table(
        "profiles",
        sa.Column("user_id", sa.Integer(), nullable=False, autoincrement=False),
        *(sa.Column(name, sa.String(length=60), nullable=True) for name in answers),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_profiles_user_id_users"),
        sa.PrimaryKeyConstraint("user_id", name="pk_profiles"),
    )
