"""Who was asked what, and what they said."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import DDL, BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, event, text
from sqlalchemy.orm import Mapped, mapped_column

from core.domain import Outcome
from db.base import NEVER_REUSED, Base, Digest, Id, Name, Source


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
