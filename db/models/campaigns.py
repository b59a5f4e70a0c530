"""What people are asked to rate together: campaigns, and what was said or put aside beside a rating."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from core.campaigns import Kind, Mode, Reveal, Scale
from db.base import NEVER_REUSED, Base, Digest, Id, Name, index_where


class CampaignRow(Base):
    """Which queries are rated, by how many people, and how they are asked. The first one ("Everything") came with the
    tables, takes every task, and cannot be deleted: none can, for assignments say which one they belong to.
    """

    __tablename__ = "campaigns"
    __table_args__ = (
        CheckConstraint("overlap > 0", name="overlap"),
        CheckConstraint("quota > 0", name="quota"),
        CheckConstraint("gold_share >= 0 AND repeat_share >= 0 AND gold_share + repeat_share <= 1", name="shares"),
        CheckConstraint("options BETWEEN 2 AND 9", name="options"),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    name: Mapped[Name] = mapped_column(unique=True)
    guidelines: Mapped[str] = mapped_column(default="")
    tasks: Mapped[list[str]]  # by name, so that a task that is removed and imported again is meant again; empty is all
    overlap: Mapped[int | None]  # how many people rate a query; null is everybody
    quota: Mapped[int | None]  # how many ratings one person gives; null is no limit
    gold_share: Mapped[float] = mapped_column(default=0.05)
    repeat_share: Mapped[float] = mapped_column(default=0.05)
    criteria: Mapped[list[str]]
    kind: Mapped[Kind] = mapped_column(default=Kind.PAIR)
    options: Mapped[int] = mapped_column(default=2)
    scale: Mapped[Scale] = mapped_column(default=Scale.FOUR)
    mode: Mapped[Mode] = mapped_column(default=Mode.FAST)
    reveal: Mapped[Reveal] = mapped_column(default=Reveal.NEVER)
    open: Mapped[bool] = mapped_column(default=True)
    version: Mapped[int] = mapped_column(default=1)  # counts edits: two people who edit at once do not overwrite
    created_at: Mapped[datetime]


class OptionRow(Base):
    """A response beyond the first two of an assignment that shows more than a pair; `position` counts from 2."""

    __tablename__ = "assignment_options"

    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignments.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)
    llm_id: Mapped[int] = mapped_column(ForeignKey("llms.id"))


class DraftRow(Base):
    """What a person chose or wrote about an open assignment and did not send yet. A sent answer deletes it."""

    __tablename__ = "drafts"

    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignments.id"), primary_key=True, autoincrement=False)
    body: Mapped[dict[str, Any]]
    saved_at: Mapped[datetime]


class FlagReason(StrEnum):
    """Why a person put a query aside as unfit to be rated."""

    WRONG_LANGUAGE = "wrong_language"
    IDENTITY = "identity"
    BROKEN = "broken"
    HARMFUL = "harmful"
    PERSONAL_DATA = "personal_data"


class FlagResolution(StrEnum):
    """What became of a flag; a retired query is never shown again."""

    DISMISSED = "dismissed"
    FIXED = "fixed"
    RETIRED = "retired"


class FlagRow(Base):
    """A query that a person found unfit. Two people's unresolved flags pause it."""

    __tablename__ = "flags"
    __table_args__ = (
        index_where("ix_flags_unresolved", "query_id", where="resolution IS NULL"),
        CheckConstraint("(resolution IS NULL) = (resolved_at IS NULL)", name="resolved"),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignments.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    query_id: Mapped[int] = mapped_column(ForeignKey("queries.id"), index=True)
    reason: Mapped[FlagReason]
    note: Mapped[str] = mapped_column(default="")
    flagged_at: Mapped[datetime]
    resolution: Mapped[FlagResolution | None]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[Name | None]


class RatingDetailRow(Base):
    """What was said beside an outcome, one row a comparison that has any of it. A trigger refuses every UPDATE.

    `choice` is equal in all comparisons that one choice among several responses was turned into.
    """

    __tablename__ = "rating_details"

    comparison_id: Mapped[int] = mapped_column(ForeignKey("comparisons.id"), primary_key=True, autoincrement=False)
    choice: Mapped[Digest | None] = mapped_column(index=True)
    strength: Mapped[int | None]  # of five steps: 2 much better, 1 better, 0 about equal
    reasons: Mapped[list[str]]
    criteria: Mapped[dict[str, Any]]  # criterion -> {"a": stars, "b": stars}, 1..5
    comment: Mapped[str] = mapped_column(default="")
