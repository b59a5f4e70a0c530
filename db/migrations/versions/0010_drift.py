"""What people do about a change of their taste."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0010"
down_revision = "0009"

MOMENT = sa.DateTime(timezone=True)
NAME = sa.String(length=120)


def upgrade() -> None:
    """One table; nobody has done anything yet."""
    choice = sa.Enum(
        "newer_only", "ignore", name="ck_drift_choices_driftchoice", native_enum=False, create_constraint=True,
        length=16,
    )  # fmt: skip
    op.create_table(
        "drift_choices",
        Column("id", sa.Integer(), nullable=False),
        Column("user_id", sa.Integer(), nullable=False),
        Column("choice", choice, nullable=False),
        Column("since", MOMENT, nullable=False),
        Column("by", NAME, nullable=False),
        Column("at", MOMENT, nullable=False),
        Column("lifted_at", MOMENT, nullable=True),
        Column("lifted_by", NAME, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_drift_choices_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_drift_choices"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_drift_choices_one_in_force", "drift_choices", ["user_id", "since"], unique=True,
        sqlite_where=sa.text("lifted_at IS NULL"), postgresql_where=sa.text("lifted_at IS NULL"),
    )  # fmt: skip
