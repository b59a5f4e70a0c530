"""Datasets that were frozen, and the key under which exports hide names."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0008"
down_revision = "0007"

NAME = sa.String(length=120)
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Two tables."""
    op.create_table(
        "dataset_versions",
        Column("id", sa.Integer(), nullable=False),
        Column("name", NAME, nullable=False),
        Column("note", sa.Text(), nullable=False),
        Column("filter", sa.JSON(), nullable=False),
        Column("upto", MOMENT, nullable=False),
        Column("ratings", sa.Integer(), nullable=False),
        Column("facts", sa.JSON(), nullable=False),
        Column("fingerprint", sa.String(length=64), nullable=False),
        Column("created_by", NAME, nullable=False),
        Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dataset_versions"),
        sa.UniqueConstraint("name", name="uq_dataset_versions_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dataset_versions_fingerprint", "dataset_versions", ["fingerprint"])
    op.create_table(
        "export_keys",
        Column("id", sa.Integer(), autoincrement=False, nullable=False),
        Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_export_keys"),
    )
