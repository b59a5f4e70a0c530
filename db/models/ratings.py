"""Who was asked what, and what they said."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import DDL, BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, event
from sqlalchemy.orm import Mapped, mapped_column

from core.domain import Outcome
from db.base import NEVER_REUSED, Base, Digest, Id, Name, Source, index_where
from db.models.campaigns import RatingDetailRow


class AssignmentStatus(StrEnum):
    """Open is on the user's screen; waiting was set aside by an undo and comes back after it; flagged is for others to
    look at and never comes back.
    """

    OPEN = "open"
    RATED = "rated"
    SKIPPED = "skipped"
    WAITING = "waiting"
    FLAGGED = "flagged"


class EventKind(StrEnum):
    """What happened to a rating."""

    RATING = "rating"
    EDIT = "edit"
    WITHDRAWAL = "withdrawal"


class AssignmentRow(Base):
    """Responses drawn for a user, written before they are shown; most are pairs, `OptionRow` has the others.

    `closed_at` stays when an undo opens it: a step back. Until `leased_until` nobody else gets its place in a campaign
    with an overlap; an answer that came when the place was given away is `extra`.
    """

    __tablename__ = "assignments"
    __table_args__ = (
        index_where("uq_assignments_one_open", "user_id", where="status = 'open'", unique=True),
        Index(None, "user_id", "status", "closed_at"),
        Index(None, "llm_a_id", "llm_b_id"),
        Index(None, "campaign_id", "query_id"),
        *(index_where(None, name, where=f"{name} IS NOT NULL") for name in ("gold_id", "repeats_id")),
        CheckConstraint("probability > 0 AND probability <= 1", name="probability"),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    token: Mapped[Digest] = mapped_column(unique=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
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
    uniform_probability: Mapped[float | None]  # what it would have been if all were drawn uniformly; none for a test
    gold_id: Mapped[int | None] = mapped_column(ForeignKey("gold_items.id"))
    repeats_id: Mapped[int | None] = mapped_column(ForeignKey("assignments.id"))
    status: Mapped[AssignmentStatus] = mapped_column(default=AssignmentStatus.OPEN)
    shown_at: Mapped[datetime]
    leased_until: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    extra: Mapped[bool] = mapped_column(default=False)


class ComparisonRow(Base):
    """What a user said, as append-only events. Each supersedes at most one and is superseded at most once.

    A rating in force is an event that nothing supersedes and whose outcome is not null. A trigger refuses every UPDATE.
    """

    __tablename__ = "comparisons"
    __table_args__ = (
        UniqueConstraint("supersedes_id"),
        index_where(
            "uq_comparisons_one_rating",
            "assignment_id",
            "response_a_id",
            "response_b_id",
            where="supersedes_id IS NULL",
            unique=True,
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


# The same words stand in the migrations that made them: these are for `create_all`, those for real databases; a test
# holds them equal.
def append_only(table: str) -> dict[str, list[str]]:
    """The statements, by dialect, with which a table refuses every UPDATE."""
    return {
        "sqlite": [
            f"""CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table}
        BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"""
        ],
        "postgresql": [
            f"""CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '{table} are append-only'; END $$""",
            f"""CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table}
        FOR EACH ROW EXECUTE FUNCTION {table}_append_only()""",
        ],
    }


for _row in (ComparisonRow, RatingDetailRow):
    for _dialect, _statements in append_only(_row.__tablename__).items():
        for _statement in _statements:
            _ddl = DDL(_statement).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]
            event.listen(_row.__table__, "after_create", _ddl)
