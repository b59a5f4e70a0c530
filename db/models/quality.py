"""What keeps ratings trustworthy: pairs with a known answer, verdicts on disagreements, measures about a person, and
what a person does about a change of their own taste.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.domain import Outcome
from db.base import NEVER_REUSED, Base, Id, Name, index_where


class Measure(StrEnum):
    """What can be done about the ratings of a person; each can be lifted again."""

    PAUSE = "pause"
    DOWN_WEIGHT = "down_weight"
    EXCLUDE = "exclude"


class GoldRow(Base):
    """A pair whose answer is known. `expected` is as seen with `response_a` on side A. Retired ones are not asked."""

    __tablename__ = "gold_items"
    __table_args__ = (
        index_where("uq_gold_items_one_in_use", "query_id", where="retired_at IS NULL", unique=True),
        CheckConstraint("response_a_id <> response_b_id", name="two_responses"),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    query_id: Mapped[int] = mapped_column(ForeignKey("queries.id"), index=True)
    response_a_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)
    response_b_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)
    expected: Mapped[Outcome]
    reason: Mapped[str]
    set_by: Mapped[Name]
    created_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]
    retired_by: Mapped[Name | None]


class AdjudicationRow(Base):
    """What someone decided about a pair on which users disagree. Changes no rating."""

    __tablename__ = "adjudications"
    __table_args__ = (Index(None, "query_id", "response_a_id", "response_b_id", unique=True), NEVER_REUSED)

    id: Mapped[Id]
    query_id: Mapped[int] = mapped_column(ForeignKey("queries.id"))
    response_a_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)
    response_b_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), index=True)
    outcome: Mapped[Outcome]
    by: Mapped[Name]
    at: Mapped[datetime]


class MeasureRow(Base):
    """A measure about a person: in force until it is lifted. `weight` is how much each of their ratings counts."""

    __tablename__ = "measures"
    __table_args__ = (
        index_where("uq_measures_one_in_force", "user_id", "kind", where="lifted_at IS NULL", unique=True),
        CheckConstraint("weight >= 0 AND weight <= 1", name="weight"),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[Measure]
    weight: Mapped[float]
    reason: Mapped[str]
    by: Mapped[Name]
    at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[Name | None]
    lifted_because: Mapped[str | None]


class DriftChoice(StrEnum):
    """What can be done about a change of taste; each can be taken back."""

    NEWER_ONLY = "newer_only"  # route by what was said since
    IGNORE = "ignore"


class DriftChoiceRow(Base):
    """What was done about a user's change of taste at the moment `since`: in force until it is taken back."""

    __tablename__ = "drift_choices"
    __table_args__ = (
        index_where("uq_drift_choices_one_in_force", "user_id", "since", where="lifted_at IS NULL", unique=True),
        NEVER_REUSED,
    )

    id: Mapped[Id]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    choice: Mapped[DriftChoice]
    since: Mapped[datetime]
    by: Mapped[Name]
    at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[Name | None]
