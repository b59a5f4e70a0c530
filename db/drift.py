"""Changes of taste: found in what a person said, and what was done about them.

A choice deletes nothing: ratings that no longer route are kept, still train, and route again when it is taken back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.dataset import PreferenceDataset
from core.domain import UserId
from core.drift import Change, find_change, looked_at
from core.errors import NotFound
from core.routers.base import Router
from db.audit import note
from db.base import utc_now
from db.engine import Database
from db.models import ComparisonRow, DriftChoice, DriftChoiceRow, UserRow


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was done about the change at `since`, and is in force."""

    choice: DriftChoice
    since: datetime
    by: str
    at: datetime


def routes() -> ColumnElement[bool]:
    """Condition: this rating counts when its author is routed: they did not choose to be routed by newer ones only."""
    it = DriftChoiceRow
    older = or_(ComparisonRow.rated_at.is_(None), ComparisonRow.rated_at < it.since)
    left_out = select(it.id).where(
        it.user_id == ComparisonRow.user_id, it.choice == DriftChoice.NEWER_ONLY, it.lifted_at.is_(None), older
    )
    return ~left_out.correlate(ComparisonRow).exists()


def mark(user_id: ColumnElement[int] | InstrumentedAttribute[int]) -> ColumnElement[int]:
    """A number that changes with every choice made or taken back about a user."""
    it = DriftChoiceRow
    # A choice is taken back once: so neither half ever falls, and none changes without the sum.
    changes = select(func.count(it.id) + func.count(it.lifted_at)).where(it.user_id == user_id)
    return changes.correlate_except(it).scalar_subquery()


def change_of(router: Router, own: PreferenceDataset, since: datetime | None) -> Change | None:
    """The change that one person's ratings show beside the average person of a router; of those given from `since` on
    where one was dealt with before.
    """
    if since is not None:
        own = own.where(own.time >= since.timestamp())
    said = looked_at(own)
    if not len(said):
        return None
    column = {llm: i for i, llm in enumerate(router.llms)}
    a, b = (np.array([column.get(said.llms[i].llm_id, -1) for i in side], int) for side in (said.llm_a, said.llm_b))
    asked, position = np.unique(said.query, return_inverse=True)
    score = np.log(np.maximum(router.predict_proba(UserId(""), [said.queries[q] for q in asked]), 1e-12))[position]
    rows = np.arange(len(said))
    usual = np.where((a >= 0) & (b >= 0), score[rows, a] - score[rows, b], 0.0)
    return find_change(own, usual)


def moment(change: Change) -> datetime:
    """When the first rating after a change was given."""
    return datetime.fromtimestamp(change.at, UTC)


class DriftChoices:
    """The choices of one database. Every method is one transaction; what changes something is audited."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database, self._clock = database, clock

    def in_force(self, user: UserId) -> list[Chosen]:
        """What is in force about a user, the latest change first."""
        it = DriftChoiceRow
        rows = select(it).join(UserRow, UserRow.id == it.user_id).where(UserRow.name == user, it.lifted_at.is_(None))
        with self._database.read() as session:
            found = session.scalars(rows.order_by(it.since.desc()))
            return [Chosen(row.choice, row.since, row.by, row.at) for row in found]

    def choose(self, user: UserId, choice: DriftChoice, since: datetime, by: str) -> None:
        """Deal with the change at `since`; a second time does nothing. Raises NotFound."""
        now = self._clock()
        try:
            with self._database.write() as session:
                row = DriftChoiceRow(user_id=_id(session, user), choice=choice, since=since, by=by, at=now)
                session.add(row)
                session.flush()
                note(session, now, by, f"drift_{choice}", user, since=since.isoformat())
        except IntegrityError:  # a double click: what the first did is in force
            return

    def take_back(self, user: UserId, since: datetime, by: str) -> None:
        """Undo what was done about the change at `since`. Raises NotFound where nothing is in force."""
        now = self._clock()
        with self._database.write() as session:
            row = session.scalar(_at(_id(session, user), since))
            if row is None:
                raise NotFound("Nothing is in force about this change any more.")
            row.lifted_at, row.lifted_by = now, by
            note(session, now, by, "drift_taken_back", user, since=since.isoformat(), choice=row.choice)


def _at(user_id: int, since: datetime) -> Select[DriftChoiceRow]:
    it = DriftChoiceRow
    return select(it).where(it.user_id == user_id, it.since == since, it.lifted_at.is_(None)).with_for_update()


def _id(session: Session, user: UserId) -> int:
    found = session.scalar(select(UserRow.id).where(UserRow.name == user))
    if found is None:
        raise NotFound(f"There is no user '{user}'.")
    return found
