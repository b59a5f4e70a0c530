"""How each pair was drawn, pairs with a known answer, verdicts on disagreements, measures about people's ratings."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0009"
down_revision = "0008"

MOMENT = sa.DateTime(timezone=True)
NAME = sa.String(length=120)


def _enum(check: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=check, native_enum=False, create_constraint=True, length=16)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    """Three tables, and three columns of assignments. Pairs shown before were all drawn uniformly."""
    _gold()
    _adjudications()
    _measures()
    # what SQLite does not tell of a table, and a rebuilt one would lack
    with op.batch_alter_table("assignments", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.add_column(Column("uniform_probability", sa.Double(), nullable=True))
        batch.add_column(Column("gold_id", sa.Integer(), nullable=True))
        batch.add_column(Column("repeats_id", sa.Integer(), nullable=True))
        batch.create_foreign_key("fk_assignments_gold_id_gold_items", "gold_items", ["gold_id"], ["id"])
        batch.create_foreign_key("fk_assignments_repeats_id_assignments", "assignments", ["repeats_id"], ["id"])
    op.create_index("ix_assignments_gold_id", "assignments", ["gold_id"], **_where("gold_id IS NOT NULL"))
    op.create_index("ix_assignments_repeats_id", "assignments", ["repeats_id"], **_where("repeats_id IS NOT NULL"))
    op.execute("UPDATE assignments SET uniform_probability = probability WHERE reason LIKE 'uniform%'")


def _gold() -> None:
    op.create_table(
        "gold_items",
        Column("id", sa.Integer(), nullable=False),
        Column("query_id", sa.Integer(), nullable=False),
        Column("response_a_id", sa.Integer(), nullable=False),
        Column("response_b_id", sa.Integer(), nullable=False),
        Column("expected", _enum("ck_gold_items_outcome", "a", "b", "tie", "both_bad"), nullable=False),
        Column("reason", sa.Text(), nullable=False),
        Column("set_by", NAME, nullable=False),
        Column("created_at", MOMENT, nullable=False),
        Column("retired_at", MOMENT, nullable=True),
        Column("retired_by", NAME, nullable=True),
        sa.CheckConstraint("response_a_id <> response_b_id", name="ck_gold_items_two_responses"),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name="fk_gold_items_query_id_queries"),
        sa.ForeignKeyConstraint(["response_a_id"], ["responses.id"], name="fk_gold_items_response_a_id_responses"),
        sa.ForeignKeyConstraint(["response_b_id"], ["responses.id"], name="fk_gold_items_response_b_id_responses"),
        sa.PrimaryKeyConstraint("id", name="pk_gold_items"),
        sqlite_autoincrement=True,
    )
    for column in ("query_id", "response_a_id", "response_b_id"):
        op.create_index(f"ix_gold_items_{column}", "gold_items", [column])
    op.create_index("uq_gold_items_one_in_use", "gold_items", ["query_id"], unique=True, **_where("retired_at IS NULL"))


def _adjudications() -> None:
    op.create_table(
        "adjudications",
        Column("id", sa.Integer(), nullable=False),
        Column("query_id", sa.Integer(), nullable=False),
        Column("response_a_id", sa.Integer(), nullable=False),
        Column("response_b_id", sa.Integer(), nullable=False),
        Column("outcome", _enum("ck_adjudications_outcome", "a", "b", "tie", "both_bad"), nullable=False),
        Column("by", NAME, nullable=False),
        Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name="fk_adjudications_query_id_queries"),
        sa.ForeignKeyConstraint(["response_a_id"], ["responses.id"], name="fk_adjudications_response_a_id_responses"),
        sa.ForeignKeyConstraint(["response_b_id"], ["responses.id"], name="fk_adjudications_response_b_id_responses"),
        sa.PrimaryKeyConstraint("id", name="pk_adjudications"),
        sqlite_autoincrement=True,
    )
    for column in ("response_a_id", "response_b_id"):
        op.create_index(f"ix_adjudications_{column}", "adjudications", [column])
    op.create_index(
        "ix_adjudications_query_id_response_a_id_response_b_id", "adjudications",
        ["query_id", "response_a_id", "response_b_id"], unique=True,
    )  # fmt: skip


def _measures() -> None:
    op.create_table(
        "measures",
        Column("id", sa.Integer(), nullable=False),
        Column("user_id", sa.Integer(), nullable=False),
        Column("kind", _enum("ck_measures_measure", "pause", "down_weight", "exclude"), nullable=False),
        Column("weight", sa.Double(), nullable=False),
        Column("reason", sa.Text(), nullable=False),
        Column("by", NAME, nullable=False),
        Column("at", MOMENT, nullable=False),
        Column("lifted_at", MOMENT, nullable=True),
        Column("lifted_by", NAME, nullable=True),
        Column("lifted_because", sa.Text(), nullable=True),
        sa.CheckConstraint("weight >= 0 AND weight <= 1", name="ck_measures_weight"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_measures_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_measures"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_measures_one_in_force", "measures", ["user_id", "kind"], unique=True, **_where("lifted_at IS NULL")
    )
