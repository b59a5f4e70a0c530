"""Campaigns, leases, and what is said or put aside beside a rating.

All that was shown before belongs to the first campaign, which takes everything and asks for pairs, as before.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0003"
down_revision = "0002"

MOMENT = sa.DateTime(timezone=True)
NAME = sa.String(length=120)
DIGEST = sa.String(length=64)

APPEND_ONLY = {
    "sqlite": [
        """CREATE TRIGGER rating_details_append_only BEFORE UPDATE ON rating_details
        BEGIN SELECT RAISE(ABORT, 'rating_details are append-only'); END"""
    ],
    "postgresql": [
        """CREATE FUNCTION rating_details_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'rating_details are append-only'; END $$""",
        """CREATE TRIGGER rating_details_append_only BEFORE UPDATE ON rating_details
        FOR EACH ROW EXECUTE FUNCTION rating_details_append_only()""",
    ],
}


def _enum(check: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=check, native_enum=False, create_constraint=True, length=16)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    """The tables, the first campaign, and every assignment in it."""
    campaigns = _campaigns()
    now = datetime.now(UTC)
    op.bulk_insert(
        campaigns,
        [
            {
                "name": "Everything", "guidelines": "", "tasks": [], "gold_share": 0.05, "repeat_share": 0.05,
                "criteria": [], "kind": "pair", "options": 2, "scale": "four", "mode": "fast", "reveal": "never",
                "open": True, "version": 1, "created_at": now,
            }
        ],
    )  # fmt: skip
    _assignments(now)
    _beside_ratings()
    op.drop_index("uq_comparisons_one_rating", "comparisons")
    op.create_index(
        "uq_comparisons_one_rating", "comparisons", ["assignment_id", "response_a_id", "response_b_id"], unique=True,
        **_where("supersedes_id IS NULL"),
    )  # fmt: skip


def _campaigns() -> sa.Table:
    table: sa.Table = op.create_table(
        "campaigns",
        Column("id", sa.Integer(), nullable=False),
        Column("name", NAME, nullable=False),
        Column("guidelines", sa.Text(), nullable=False),
        Column("tasks", sa.JSON(), nullable=False),
        Column("overlap", sa.Integer(), nullable=True),
        Column("quota", sa.Integer(), nullable=True),
        Column("gold_share", sa.Double(), nullable=False),
        Column("repeat_share", sa.Double(), nullable=False),
        Column("criteria", sa.JSON(), nullable=False),
        Column("kind", _enum("ck_campaigns_kind", "pair", "best", "best_worst"), nullable=False),
        Column("options", sa.Integer(), nullable=False),
        Column("scale", _enum("ck_campaigns_scale", "four", "five"), nullable=False),
        Column("mode", _enum("ck_campaigns_mode", "fast", "detailed"), nullable=False),
        Column("reveal", _enum("ck_campaigns_reveal", "never", "end", "at_once"), nullable=False),
        Column("open", sa.Boolean(), nullable=False),
        Column("version", sa.Integer(), nullable=False),
        Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("overlap > 0", name="ck_campaigns_overlap"),
        sa.CheckConstraint("quota > 0", name="ck_campaigns_quota"),
        sa.CheckConstraint(
            "gold_share >= 0 AND repeat_share >= 0 AND gold_share + repeat_share <= 1", name="ck_campaigns_shares"
        ),
        sa.CheckConstraint("options BETWEEN 2 AND 9", name="ck_campaigns_options"),
        sa.PrimaryKeyConstraint("id", name="pk_campaigns"),
        sa.UniqueConstraint("name", name="uq_campaigns_name"),
        sqlite_autoincrement=True,
    )
    return table


STATUS_BEFORE = _enum("ck_assignments_assignmentstatus", "open", "rated", "skipped", "waiting")
STATUS = _enum("ck_assignments_assignmentstatus", "open", "rated", "skipped", "waiting", "flagged")


def _assignments(now: datetime) -> None:
    # Nobody holds a place yet that another could want: there was no overlap. So the lease of what was shown is over.
    lease, campaign = now - timedelta(seconds=1), "(SELECT min(id) FROM campaigns)"
    with op.batch_alter_table("assignments") as batch:
        batch.add_column(Column("campaign_id", sa.Integer(), nullable=True))
        batch.add_column(Column("leased_until", MOMENT, nullable=True))
        batch.add_column(Column("extra", sa.Boolean(), nullable=True))
    op.execute(
        sa.text(f"UPDATE assignments SET campaign_id = {campaign}, leased_until = :lease, extra = :no").bindparams(  # noqa: S608
            sa.bindparam("lease", lease, MOMENT), sa.bindparam("no", False, sa.Boolean())
        )
    )
    # what SQLite does not tell of a table, and a rebuilt one would lack
    with op.batch_alter_table("assignments", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("campaign_id", existing_type=sa.Integer(), nullable=False)
        batch.alter_column("leased_until", existing_type=MOMENT, nullable=False)
        batch.alter_column("extra", existing_type=sa.Boolean(), nullable=False)
        batch.alter_column("status", existing_type=STATUS_BEFORE, type_=STATUS, existing_nullable=False)
        batch.create_foreign_key("fk_assignments_campaign_id_campaigns", "campaigns", ["campaign_id"], ["id"])
        batch.create_index("ix_assignments_campaign_id_query_id", ["campaign_id", "query_id"])


def _beside_ratings() -> None:
    op.create_table(
        "assignment_options",
        Column("assignment_id", sa.Integer(), nullable=False),
        Column("position", sa.Integer(), autoincrement=False, nullable=False),
        Column("response_id", sa.Integer(), nullable=False),
        Column("llm_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["assignments.id"], name="fk_assignment_options_assignment_id_assignments"
        ),
        sa.ForeignKeyConstraint(["response_id"], ["responses.id"], name="fk_assignment_options_response_id_responses"),
        sa.ForeignKeyConstraint(["llm_id"], ["llms.id"], name="fk_assignment_options_llm_id_llms"),
        sa.PrimaryKeyConstraint("assignment_id", "position", name="pk_assignment_options"),
    )
    op.create_index("ix_assignment_options_response_id", "assignment_options", ["response_id"])
    op.create_table(
        "drafts",
        Column("assignment_id", sa.Integer(), autoincrement=False, nullable=False),
        Column("body", sa.JSON(), nullable=False),
        Column("saved_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], name="fk_drafts_assignment_id_assignments"),
        sa.PrimaryKeyConstraint("assignment_id", name="pk_drafts"),
    )
    op.create_table(
        "flags",
        Column("id", sa.Integer(), nullable=False),
        Column("assignment_id", sa.Integer(), nullable=False),
        Column("user_id", sa.Integer(), nullable=False),
        Column("query_id", sa.Integer(), nullable=False),
        Column(
            "reason",
            _enum("ck_flags_flagreason", "wrong_language", "identity", "broken", "harmful", "personal_data"),
            nullable=False,
        ),
        Column("note", sa.Text(), nullable=False),
        Column("flagged_at", MOMENT, nullable=False),
        Column("resolution", _enum("ck_flags_flagresolution", "dismissed", "fixed", "retired"), nullable=True),
        Column("resolved_at", MOMENT, nullable=True),
        Column("resolved_by", NAME, nullable=True),
        sa.CheckConstraint("(resolution IS NULL) = (resolved_at IS NULL)", name="ck_flags_resolved"),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], name="fk_flags_assignment_id_assignments"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_flags_user_id_users"),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name="fk_flags_query_id_queries"),
        sa.PrimaryKeyConstraint("id", name="pk_flags"),
        sqlite_autoincrement=True,
    )
    for column in ("assignment_id", "query_id", "user_id"):
        op.create_index(f"ix_flags_{column}", "flags", [column])
    op.create_index("ix_flags_unresolved", "flags", ["query_id"], **_where("resolution IS NULL"))
    op.create_table(
        "rating_details",
        Column("comparison_id", sa.Integer(), autoincrement=False, nullable=False),
        Column("choice", DIGEST, nullable=True),
        Column("strength", sa.Integer(), nullable=True),
        Column("reasons", sa.JSON(), nullable=False),
        Column("criteria", sa.JSON(), nullable=False),
        Column("comment", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["comparison_id"], ["comparisons.id"], name="fk_rating_details_comparison_id_comparisons"
        ),
        sa.PrimaryKeyConstraint("comparison_id", name="pk_rating_details"),
    )
    op.create_index("ix_rating_details_choice", "rating_details", ["choice"])
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)
