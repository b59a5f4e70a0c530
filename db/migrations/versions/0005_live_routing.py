"""Keys of the endpoint, calls to providers, and what became of a decision."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0005"
down_revision = "0004"

MOMENT = sa.DateTime(timezone=True)
NAME = sa.String(length=120)


def upgrade() -> None:
    """New tables and columns; what was decided before has no name and no reward."""
    op.create_table(
        "api_keys",
        Column("id", sa.Integer(), nullable=False),
        Column("name", NAME, nullable=False),
        Column("key_hash", sa.String(length=64), nullable=False),
        Column("hint", NAME, nullable=False),
        Column("scopes", sa.JSON(), nullable=False),
        Column("per_minute", sa.Integer(), nullable=False),
        Column("created_by", NAME, nullable=False),
        Column("created_at", MOMENT, nullable=False),
        Column("revoked_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("name", name=op.f("uq_api_keys_name")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "provider_calls",
        Column("id", sa.Integer(), nullable=False),
        Column("at", MOMENT, nullable=False),
        Column("llm_key", NAME, nullable=False),
        Column("input_tokens", sa.Integer(), nullable=False),
        Column("output_tokens", sa.Integer(), nullable=False),
        Column("estimated", sa.Boolean(), nullable=False),
        Column("cost", sa.Double(), nullable=True),
        Column("seconds", sa.Double(), nullable=False),
        Column("finish", NAME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_calls")),
    )
    op.create_index(op.f("ix_provider_calls_llm_key_at"), "provider_calls", ["llm_key", "at"])
    with op.batch_alter_table("routing_decisions") as table:
        table.add_column(Column("key", NAME, nullable=True))
        table.add_column(Column("alpha", sa.Double(), nullable=True))
        table.add_column(Column("reward", sa.Double(), nullable=True))
        table.add_column(Column("rewarded_at", MOMENT, nullable=True))
        table.create_unique_constraint(op.f("uq_routing_decisions_key"), ["key"])
