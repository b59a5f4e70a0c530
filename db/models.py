"""The tables. One import place: what a row means is said here once, and what must never be false is a constraint here.

Deletion is rare (`PreferenceStore.remove_source`, erasure of a person) and spelled out there: no foreign key cascades.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.domain import Outcome
from db.base import Base, Digest, Id, Name, Source

# SQLite gives the number of a deleted last row to the next one unless told not to; ids that were shown or trained on
# must stay unique.
NEVER_REUSED = {"sqlite_autoincrement": True}


class Role(StrEnum):
    """What a person may do; each role includes those before it."""

    VIEWER = "viewer"
    RATER = "rater"
    ANALYST = "analyst"
    ADMIN = "admin"


class AssignmentStatus(StrEnum):
    """Open is on the user's screen; waiting was set aside by an undo and comes back after it."""

    OPEN = "open"
    RATED = "rated"
    SKIPPED = "skipped"
    WAITING = "waiting"


class EventKind(StrEnum):
    """What happened to a rating."""

    RATING = "rating"
    EDIT = "edit"
    WITHDRAWAL = "withdrawal"


class RunStatus(StrEnum):
    """The life of a training run; the first two are active, and only one run of a kind may be."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class UserRow(Base):
    """Who rates. `source` is "app" for people who signed in, "demo" or "arena:<file>" for those a file brought."""

    __tablename__ = "users"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[Id]
    name: Mapped[Name] = mapped_column(unique=True)
    role: Mapped[Role] = mapped_column(default=Role.RATER)
    simulated: Mapped[bool] = mapped_column(default=False)
    source: Mapped[Source] = mapped_column(index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]


class TaskRow(Base):
    """A family of queries."""

    __tablename__ = "tasks"

    id: Mapped[Id]
    name: Mapped[Name] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(default="")


class LLMRow(Base):
    """A candidate language model."""

    __tablename__ = "llms"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[Id]
    key: Mapped[Name] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(default="")
    family: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    input_price: Mapped[float | None]
    output_price: Mapped[float | None]
    endpoint: Mapped[str] = mapped_column(default="")
    source: Mapped[Source]
    created_at: Mapped[datetime]


class QueryRow(Base):
    """A prompt. `rateable`: two LLMs answered it differently; kept here so that a draw never aggregates responses."""

    __tablename__ = "queries"
    __table_args__ = (
        Index("ix_queries_rateable", "id", sqlite_where=text("rateable = 1"), postgresql_where=text("rateable")),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    key: Mapped[Name] = mapped_column(unique=True)
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"), index=True)
    turns: Mapped[list[str]]
    rateable: Mapped[bool] = mapped_column(default=False)
    source: Mapped[Source] = mapped_column(index=True)
    created_at: Mapped[datetime]


class ResponseRow(Base):
    """One LLM's reply. `text_hash` is of the judged reply without outer white space: equal hash, nothing to choose."""

    __tablename__ = "responses"
    __table_args__ = (Index(None, "query_id", "llm_id"), NEVER_REUSED)

    id: Mapped[Id]
    key: Mapped[Name] = mapped_column(unique=True)
    query_id: Mapped[int] = mapped_column(ForeignKey("queries.id"))
    llm_id: Mapped[int] = mapped_column(ForeignKey("llms.id"), index=True)
    turns: Mapped[list[str]]
    text_hash: Mapped[Digest]
    source: Mapped[Source] = mapped_column(index=True)
    created_at: Mapped[datetime]


class AssignmentRow(Base):
    """A pair drawn for a user, written before it is shown. `closed_at` stays when an undo opens it: a step back."""

    __tablename__ = "assignments"
    __table_args__ = (
        Index(
            "uq_assignments_one_open",
            "user_id",
            unique=True,
            sqlite_where=text("status = 'open'"),
            postgresql_where=text("status = 'open'"),
        ),
        Index(None, "user_id", "status", "closed_at"),
        Index(None, "llm_a_id", "llm_b_id"),
        CheckConstraint("probability > 0 AND probability <= 1", name="probability"),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    token: Mapped[Digest] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    query_id: Mapped[int] = mapped_column(ForeignKey("queries.id"), index=True)
    response_a_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)
    response_b_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)
    llm_a_id: Mapped[int] = mapped_column(
        ForeignKey("llms.id")
    )  # repeated from the responses: sides are balanced by counting these
    llm_b_id: Mapped[int] = mapped_column(ForeignKey("llms.id"))
    reason: Mapped[str]
    probability: Mapped[float]
    status: Mapped[AssignmentStatus] = mapped_column(default=AssignmentStatus.OPEN)
    shown_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class ComparisonRow(Base):
    """What a user said, as append-only events. Each supersedes at most one and is superseded at most once.

    A rating in force is an event that nothing supersedes and whose outcome is not null. A trigger refuses every UPDATE.
    """

    __tablename__ = "comparisons"
    __table_args__ = (
        UniqueConstraint("supersedes_id"),
        Index(
            "uq_comparisons_one_rating",
            "assignment_id",
            unique=True,
            sqlite_where=text("supersedes_id IS NULL"),
            postgresql_where=text("supersedes_id IS NULL"),
        ),
        Index(None, "user_id", "query_id"),
        CheckConstraint("(kind = 'withdrawal') = (outcome IS NULL)", name="withdrawal"),
        CheckConstraint("kind = 'rating' OR supersedes_id IS NOT NULL", name="chain"),
        CheckConstraint("llm_a_id <> llm_b_id", name="two_llms"),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    key: Mapped[Name] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    query_id: Mapped[int] = mapped_column(ForeignKey("queries.id"), index=True)
    response_a_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)
    response_b_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)
    llm_a_id: Mapped[int] = mapped_column(
        ForeignKey("llms.id")
    )  # repeated from the responses: a snapshot needs no join
    llm_b_id: Mapped[int] = mapped_column(ForeignKey("llms.id"))
    assignment_id: Mapped[int | None] = mapped_column(ForeignKey("assignments.id"), index=True)
    supersedes_id: Mapped[int | None] = mapped_column(ForeignKey("comparisons.id"))
    kind: Mapped[EventKind]
    outcome: Mapped[Outcome | None]
    rated_at: Mapped[datetime | None]
    recorded_at: Mapped[datetime]
    dwell_ms: Mapped[int | None] = mapped_column(BigInteger)  # a pair may stay on the screen for a month
    source: Mapped[Source] = mapped_column(index=True)


class TextEmbeddingRow(Base):
    """A text's vector under one encoder: float32, little endian."""

    __tablename__ = "text_embeddings"

    text_hash: Mapped[Digest] = mapped_column(primary_key=True)
    encoder_id: Mapped[Source] = mapped_column(primary_key=True)
    dim: Mapped[int]
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class TrainingRunRow(Base):
    """A training run. The row is the truth; `worker` names the process that may write to it."""

    __tablename__ = "training_runs"
    __table_args__ = (
        Index(
            "uq_training_runs_one_active",
            "kind",
            unique=True,
            sqlite_where=text("status IN ('queued', 'running')"),
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    kind: Mapped[Name] = mapped_column(default="training")
    status: Mapped[RunStatus] = mapped_column(default=RunStatus.QUEUED)
    config: Mapped[dict[str, Any]]
    requested_by: Mapped[Name]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    worker: Mapped[str | None]
    stage: Mapped[str] = mapped_column(default="")
    step: Mapped[int] = mapped_column(default=0)
    steps: Mapped[int] = mapped_column(default=0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    error: Mapped[str | None]
    report: Mapped[dict[str, Any] | None]
    dataset_fingerprint: Mapped[str | None]


class TrainingProgressRow(Base):
    """The losses of one step of a run; null where not finite or not measured."""

    __tablename__ = "training_progress"

    run_id: Mapped[int] = mapped_column(ForeignKey("training_runs.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    train_loss: Mapped[float | None]
    validation_loss: Mapped[float | None]


class RouterVersionRow(Base):
    """A published router; its id is the version number people see. The bytes are fetched only when asked for."""

    __tablename__ = "router_versions"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[Id]
    kind: Mapped[Name]
    artifact: Mapped[bytes] = mapped_column(LargeBinary, deferred=True, deferred_raiseload=True)
    sha256: Mapped[Digest]
    card: Mapped[dict[str, Any]]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("training_runs.id"), index=True)
    created_at: Mapped[datetime]


class RouterActivationRow(Base):
    """Which version was made to serve, by whom and why; the latest row is in force, a null version is none."""

    __tablename__ = "router_activations"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[Id]
    version_id: Mapped[int | None] = mapped_column(ForeignKey("router_versions.id"))
    rollback: Mapped[bool] = mapped_column(default=False)
    by: Mapped[Name]
    reason: Mapped[str]
    at: Mapped[datetime]


class RoutingDecisionRow(Base):
    """What was routed where, and how probably: enough to evaluate later, without the words of a query nobody stored."""

    __tablename__ = "routing_decisions"

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    query_key: Mapped[Name]
    query_id: Mapped[int | None] = mapped_column(ForeignKey("queries.id"), index=True)
    router_version_id: Mapped[int | None] = mapped_column(ForeignKey("router_versions.id"))
    llm_id: Mapped[int] = mapped_column(ForeignKey("llms.id"), index=True)
    probabilities: Mapped[dict[str, float]]
    propensity: Mapped[float]
    history_count: Mapped[int]
    source: Mapped[Name]
    decided_at: Mapped[datetime]


class AuditEventRow(Base):
    """Who did what to which thing."""

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "action", "at"), NEVER_REUSED)

    id: Mapped[Id]
    at: Mapped[datetime]
    actor: Mapped[Name]
    action: Mapped[Name]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]]


class BrowserSessionRow(Base):
    """The sign-in of one browser; only the hash of its cookie is kept, so the table opens no door."""

    __tablename__ = "browser_sessions"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


# The same words stand in the first migration: these are for `create_all`, those for real databases; a test holds them
# equal.
_APPEND_ONLY = {
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
for _dialect, _statements in _APPEND_ONLY.items():
    for _statement in _statements:
        _ddl = DDL(_statement).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]
        event.listen(ComparisonRow.__table__, "after_create", _ddl)
