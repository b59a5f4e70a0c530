"""Invites and consent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0004"
down_revision = "0003"

MOMENT = sa.DateTime(timezone=True)
ROLES = sa.Enum(
    "viewer", "rater", "analyst", "admin", name="ck_invites_role", native_enum=False, create_constraint=True, length=16
)


def upgrade() -> None:
    """Links that let people in, and what people agreed to."""
    op.create_table(
        "invites",
        Column("id", sa.Integer(), nullable=False),
        Column("token_hash", sa.String(length=64), nullable=False),
        Column("role", ROLES, nullable=False),
        Column("user_id", sa.Integer(), nullable=True),
        Column("uses_left", sa.Integer(), nullable=False),
        Column("created_by", sa.String(length=120), nullable=False),
        Column("created_at", MOMENT, nullable=False),
        Column("expires_at", MOMENT, nullable=False),
        Column("revoked_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_invites"),
        sa.UniqueConstraint("token_hash", name="uq_invites_token_hash"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_invites_user_id_users"),
        sa.CheckConstraint("uses_left >= 0", name="ck_invites_uses_left"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_invites_user_id", "invites", ["user_id"])
    op.create_table(
        "consents",
        Column("user_id", sa.Integer(), nullable=False),
        Column("version", sa.Integer(), autoincrement=False, nullable=False),
        Column("agreed_at", MOMENT, nullable=False),
        Column("withdrawn_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("user_id", "version", name="pk_consents"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_consents_user_id_users"),
    )
