"""The first tables.

A migration is frozen: it imports nothing of ours, so that it does the same in ten years, whatever the models say.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)
NAME = sa.String(length=120)
SOURCE = sa.String(length=300)
DIGEST = sa.String(length=64)

APPEND_ONLY = {
    "sqlite": [
        """CREATE TRIGGER comparisons_append_only BEFORE UPDATE ON comparisons
        BEGIN SELECT RAISE(ABORT, 'comparisons are append-only'); END"""
    ],
    "postgresql": [
        """CREATE FUNCTION comparisons_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'comparisons are append-only'; END $$""",
        """CREATE TRIGGER comparisons_append_only BEFORE UPDATE ON comparisons
        FOR EACH ROW EXECUTE FUNCTION comparisons_append_only()""",
    ],
}


def _enum(check: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=check, native_enum=False, create_constraint=True, length=16)


def _where(condition: str, postgres: str = "") -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(postgres or condition)}


def upgrade() -> None:
    """Every table, index and trigger of release 1."""
    _people()
    _texts()
    _ratings()
    _routers()


def _people() -> None:
    """Who is here and what they did."""
    op.create_table(
        "users",
        Column("id", sa.Integer(), nullable=False),
        Column("name", NAME, nullable=False),
        Column("role", _enum("ck_users_role", "viewer", "rater", "analyst", "admin"), nullable=False),
        Column("simulated", sa.Boolean(), nullable=False),
        Column("source", SOURCE, nullable=False),
        Column("created_at", MOMENT, nullable=False),
        Column("last_seen_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_users_source", "users", ["source"])
    op.create_table(
        "browser_sessions",
        Column("token_hash", DIGEST, nullable=False),
        Column("user_id", sa.Integer(), nullable=False),
        Column("created_at", MOMENT, nullable=False),
        Column("last_seen_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_browser_sessions_user_id_users"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_browser_sessions"),
    )
    op.create_index("ix_browser_sessions_user_id", "browser_sessions", ["user_id"])
    op.create_table(
        "audit_events",
        Column("id", sa.Integer(), nullable=False),
        Column("at", MOMENT, nullable=False),
        Column("actor", NAME, nullable=False),
        Column("action", NAME, nullable=False),
        Column("subject", sa.Text(), nullable=False),
        Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_events_action_at", "audit_events", ["action", "at"])


def _texts() -> None:
    """What is rated."""
    op.create_table(
        "tasks",
        Column("id", sa.Integer(), nullable=False),
        Column("name", NAME, nullable=False),
        Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        sa.UniqueConstraint("name", name="uq_tasks_name"),
    )
    op.create_table(
        "llms",
        Column("id", sa.Integer(), nullable=False),
        Column("key", NAME, nullable=False),
        Column("name", sa.Text(), nullable=False),
        Column("family", sa.Text(), nullable=False),
        Column("description", sa.Text(), nullable=False),
        Column("input_price", sa.Double(), nullable=True),
        Column("output_price", sa.Double(), nullable=True),
        Column("endpoint", sa.Text(), nullable=False),
        Column("source", SOURCE, nullable=False),
        Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_llms"),
        sa.UniqueConstraint("key", name="uq_llms_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "queries",
        Column("id", sa.Integer(), nullable=False),
        Column("key", NAME, nullable=False),
        Column("task_id", sa.Integer(), nullable=True),
        Column("turns", sa.JSON(), nullable=False),
        Column("rateable", sa.Boolean(), nullable=False),
        Column("source", SOURCE, nullable=False),
        Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_queries_task_id_tasks"),
        sa.PrimaryKeyConstraint("id", name="pk_queries"),
        sa.UniqueConstraint("key", name="uq_queries_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_queries_rateable", "queries", ["id"], **_where("rateable = 1", "rateable"))
    op.create_index("ix_queries_source", "queries", ["source"])
    op.create_index("ix_queries_task_id", "queries", ["task_id"])
    op.create_table(
        "responses",
        Column("id", sa.Integer(), nullable=False),
        Column("key", NAME, nullable=False),
        Column("query_id", sa.Integer(), nullable=False),
        Column("llm_id", sa.Integer(), nullable=False),
        Column("turns", sa.JSON(), nullable=False),
        Column("text_hash", DIGEST, nullable=False),
        Column("source", SOURCE, nullable=False),
        Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["llm_id"], ["llms.id"], name="fk_responses_llm_id_llms"),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name="fk_responses_query_id_queries"),
        sa.PrimaryKeyConstraint("id", name="pk_responses"),
        sa.UniqueConstraint("key", name="uq_responses_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_responses_llm_id", "responses", ["llm_id"])
    op.create_index("ix_responses_query_id_llm_id", "responses", ["query_id", "llm_id"])
    op.create_index("ix_responses_source", "responses", ["source"])
    op.create_table(
        "text_embeddings",
        Column("text_hash", DIGEST, nullable=False),
        Column("encoder_id", SOURCE, nullable=False),
        Column("dim", sa.Integer(), nullable=False),
        Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("text_hash", "encoder_id", name="pk_text_embeddings"),
    )


def _ratings() -> None:
    """What was shown and what was said about it."""
    op.create_table(
        "assignments",
        Column("id", sa.Integer(), nullable=False),
        Column("token", DIGEST, nullable=False),
        Column("user_id", sa.Integer(), nullable=False),
        Column("query_id", sa.Integer(), nullable=False),
        Column("response_a_id", sa.Integer(), nullable=False),
        Column("response_b_id", sa.Integer(), nullable=False),
        Column("llm_a_id", sa.Integer(), nullable=False),
        Column("llm_b_id", sa.Integer(), nullable=False),
        Column("reason", sa.Text(), nullable=False),
        Column("probability", sa.Double(), nullable=False),
        Column(
            "status", _enum("ck_assignments_assignmentstatus", "open", "rated", "skipped", "waiting"), nullable=False
        ),
        Column("shown_at", MOMENT, nullable=False),
        Column("closed_at", MOMENT, nullable=True),
        sa.CheckConstraint("probability > 0 AND probability <= 1", name="ck_assignments_probability"),
        sa.ForeignKeyConstraint(["llm_a_id"], ["llms.id"], name="fk_assignments_llm_a_id_llms"),
        sa.ForeignKeyConstraint(["llm_b_id"], ["llms.id"], name="fk_assignments_llm_b_id_llms"),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name="fk_assignments_query_id_queries"),
        sa.ForeignKeyConstraint(["response_a_id"], ["responses.id"], name="fk_assignments_response_a_id_responses"),
        sa.ForeignKeyConstraint(["response_b_id"], ["responses.id"], name="fk_assignments_response_b_id_responses"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_assignments_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_assignments"),
        sa.UniqueConstraint("token", name="uq_assignments_token"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_assignments_llm_a_id_llm_b_id", "assignments", ["llm_a_id", "llm_b_id"])
    op.create_index("ix_assignments_query_id", "assignments", ["query_id"])
    op.create_index("ix_assignments_response_a_id", "assignments", ["response_a_id"])
    op.create_index("ix_assignments_response_b_id", "assignments", ["response_b_id"])
    op.create_index("ix_assignments_user_id_status_closed_at", "assignments", ["user_id", "status", "closed_at"])
    op.create_index("uq_assignments_one_open", "assignments", ["user_id"], unique=True, **_where("status = 'open'"))
    op.create_table(
        "comparisons",
        Column("id", sa.Integer(), nullable=False),
        Column("key", NAME, nullable=False),
        Column("user_id", sa.Integer(), nullable=False),
        Column("query_id", sa.Integer(), nullable=False),
        Column("response_a_id", sa.Integer(), nullable=False),
        Column("response_b_id", sa.Integer(), nullable=False),
        Column("llm_a_id", sa.Integer(), nullable=False),
        Column("llm_b_id", sa.Integer(), nullable=False),
        Column("assignment_id", sa.Integer(), nullable=True),
        Column("supersedes_id", sa.Integer(), nullable=True),
        Column("kind", _enum("ck_comparisons_eventkind", "rating", "edit", "withdrawal"), nullable=False),
        Column("outcome", _enum("ck_comparisons_outcome", "a", "b", "tie", "both_bad"), nullable=True),
        Column("rated_at", MOMENT, nullable=True),
        Column("recorded_at", MOMENT, nullable=False),
        Column("dwell_ms", sa.BigInteger(), nullable=True),
        Column("source", SOURCE, nullable=False),
        sa.CheckConstraint("(kind = 'withdrawal') = (outcome IS NULL)", name="ck_comparisons_withdrawal"),
        sa.CheckConstraint("kind = 'rating' OR supersedes_id IS NOT NULL", name="ck_comparisons_chain"),
        sa.CheckConstraint("llm_a_id <> llm_b_id", name="ck_comparisons_two_llms"),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], name="fk_comparisons_assignment_id_assignments"),
        sa.ForeignKeyConstraint(["llm_a_id"], ["llms.id"], name="fk_comparisons_llm_a_id_llms"),
        sa.ForeignKeyConstraint(["llm_b_id"], ["llms.id"], name="fk_comparisons_llm_b_id_llms"),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name="fk_comparisons_query_id_queries"),
        sa.ForeignKeyConstraint(["response_a_id"], ["responses.id"], name="fk_comparisons_response_a_id_responses"),
        sa.ForeignKeyConstraint(["response_b_id"], ["responses.id"], name="fk_comparisons_response_b_id_responses"),
        sa.ForeignKeyConstraint(["supersedes_id"], ["comparisons.id"], name="fk_comparisons_supersedes_id_comparisons"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_comparisons_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_comparisons"),
        sa.UniqueConstraint("key", name="uq_comparisons_key"),
        sa.UniqueConstraint("supersedes_id", name="uq_comparisons_supersedes_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_comparisons_assignment_id", "comparisons", ["assignment_id"])
    op.create_index("ix_comparisons_query_id", "comparisons", ["query_id"])
    op.create_index("ix_comparisons_response_a_id", "comparisons", ["response_a_id"])
    op.create_index("ix_comparisons_response_b_id", "comparisons", ["response_b_id"])
    op.create_index("ix_comparisons_source", "comparisons", ["source"])
    op.create_index("ix_comparisons_user_id_query_id", "comparisons", ["user_id", "query_id"])
    op.create_index(
        "uq_comparisons_one_rating", "comparisons", ["assignment_id"], unique=True, **_where("supersedes_id IS NULL")
    )
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def _routers() -> None:
    """What was learned and what it decided."""
    op.create_table(
        "training_runs",
        Column("id", sa.Integer(), nullable=False),
        Column("kind", NAME, nullable=False),
        Column(
            "status",
            _enum("ck_training_runs_runstatus", "queued", "running", "done", "failed", "cancelled", "interrupted"),
            nullable=False,
        ),
        Column("config", sa.JSON(), nullable=False),
        Column("requested_by", NAME, nullable=False),
        Column("created_at", MOMENT, nullable=False),
        Column("started_at", MOMENT, nullable=True),
        Column("finished_at", MOMENT, nullable=True),
        Column("heartbeat_at", MOMENT, nullable=True),
        Column("worker", sa.Text(), nullable=True),
        Column("stage", sa.Text(), nullable=False),
        Column("step", sa.Integer(), nullable=False),
        Column("steps", sa.Integer(), nullable=False),
        Column("cancel_requested", sa.Boolean(), nullable=False),
        Column("error", sa.Text(), nullable=True),
        Column("report", sa.JSON(), nullable=True),
        Column("dataset_fingerprint", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_training_runs"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_training_runs_one_active",
        "training_runs",
        ["kind"],
        unique=True,
        **_where("status IN ('queued', 'running')"),
    )
    op.create_table(
        "training_progress",
        Column("run_id", sa.Integer(), nullable=False),
        Column("step", sa.Integer(), autoincrement=False, nullable=False),
        Column("train_loss", sa.Double(), nullable=True),
        Column("validation_loss", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["training_runs.id"], name="fk_training_progress_run_id_training_runs"),
        sa.PrimaryKeyConstraint("run_id", "step", name="pk_training_progress"),
    )
    op.create_table(
        "router_versions",
        Column("id", sa.Integer(), nullable=False),
        Column("kind", NAME, nullable=False),
        Column("artifact", sa.LargeBinary(), nullable=False),
        Column("sha256", DIGEST, nullable=False),
        Column("card", sa.JSON(), nullable=False),
        Column("run_id", sa.Integer(), nullable=True),
        Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["training_runs.id"], name="fk_router_versions_run_id_training_runs"),
        sa.PrimaryKeyConstraint("id", name="pk_router_versions"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_router_versions_run_id", "router_versions", ["run_id"])
    op.create_table(
        "router_activations",
        Column("id", sa.Integer(), nullable=False),
        Column("version_id", sa.Integer(), nullable=True),
        Column("rollback", sa.Boolean(), nullable=False),
        Column("by", NAME, nullable=False),
        Column("reason", sa.Text(), nullable=False),
        Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["router_versions.id"], name="fk_router_activations_version_id_router_versions"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_router_activations"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "routing_decisions",
        Column("id", sa.Integer(), nullable=False),
        Column("user_id", sa.Integer(), nullable=True),
        Column("query_key", NAME, nullable=False),
        Column("query_id", sa.Integer(), nullable=True),
        Column("router_version_id", sa.Integer(), nullable=True),
        Column("llm_id", sa.Integer(), nullable=False),
        Column("probabilities", sa.JSON(), nullable=False),
        Column("propensity", sa.Double(), nullable=False),
        Column("history_count", sa.Integer(), nullable=False),
        Column("source", NAME, nullable=False),
        Column("decided_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["llm_id"], ["llms.id"], name="fk_routing_decisions_llm_id_llms"),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name="fk_routing_decisions_query_id_queries"),
        sa.ForeignKeyConstraint(
            ["router_version_id"], ["router_versions.id"], name="fk_routing_decisions_router_version_id_router_versions"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_routing_decisions_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_routing_decisions"),
    )
    op.create_index("ix_routing_decisions_llm_id", "routing_decisions", ["llm_id"])
    op.create_index("ix_routing_decisions_query_id", "routing_decisions", ["query_id"])
    op.create_index("ix_routing_decisions_user_id", "routing_decisions", ["user_id"])
