"""Measures about the ratings of a person: pause, down-weight, exclude. Each has a reason, can be lifted, is audited.

Nothing is deleted: a rating that does not count is still there, counted among those left out, and comes back exactly
as it was when the measure is lifted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.orm import Session

from core.domain import UserId
from core.errors import InvalidInput, NotFound
from db.audit import note
from db.base import utc_now
from db.engine import Database
from db.events import in_force, is_test
from db.models import AssignmentRow, AssignmentStatus, ComparisonRow, Measure, MeasureRow, UserRow

MAX_REASON = 500
WEIGHTS = (0.05, 0.95)  # of down-weighting: below, exclude; above, nothing would change


@dataclass(frozen=True, slots=True)
class Taken:
    """A measure about a person, lifted or in force."""

    user: UserId
    kind: Measure
    weight: float
    reason: str
    by: str
    at: datetime
    lifted_at: datetime | None
    lifted_by: str | None
    lifted_because: str | None


def in_use(upto: datetime | None = None) -> ColumnElement[bool]:
    """Condition: a measure is in force, now or as it stood at a moment, so that a frozen dataset stays what it was."""
    if upto is None:
        return MeasureRow.lifted_at.is_(None)
    return and_(MeasureRow.at < upto, or_(MeasureRow.lifted_at.is_(None), MeasureRow.lifted_at >= upto))


def weights_in_force(upto: datetime | None = None) -> Select[int, float]:
    """Columns user_id and weight: how much each rating counts of those for whom it is not 1."""
    counting = (in_use(upto), MeasureRow.kind != Measure.PAUSE)
    weight = func.min(MeasureRow.weight).label("weight")
    return select(MeasureRow.user_id, weight).where(*counting).group_by(MeasureRow.user_id)


def excluded(upto: datetime | None = None) -> Select[int]:
    """Ids of the users none of whose ratings counts."""
    return select(MeasureRow.user_id).where(MeasureRow.kind == Measure.EXCLUDE, in_use(upto))


def author_weights(session: Session, upto: datetime | None = None) -> Mapping[int, float]:
    """The weight of the users of whom it is not 1, by their ids."""
    return dict(session.execute(weights_in_force(upto)).all())


def _of(user_id: int, kind: Measure) -> Select[MeasureRow]:
    in_use = (MeasureRow.user_id == user_id, MeasureRow.kind == kind, MeasureRow.lifted_at.is_(None))
    return select(MeasureRow).where(*in_use)


class Measures:
    """The measures of one database. Every method is one transaction."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    def take(self, user: UserId, kind: Measure, by: str, reason: str, weight: float = 0.5) -> None:
        """Take a measure. A second one of its kind is refused: lift the first.

        `weight` is of down-weighting only. Raises NotFound, and InvalidInput without a reason, for a weight out of
        bounds, and where nobody's ratings would count any more.
        """
        said = _reason(reason)
        if kind == Measure.DOWN_WEIGHT and not WEIGHTS[0] <= weight <= WEIGHTS[1]:
            raise InvalidInput(f"A weight lies between {WEIGHTS[0]:g} and {WEIGHTS[1]:g}; exclude to count nothing.")
        counted = {Measure.PAUSE: 1.0, Measure.EXCLUDE: 0.0, Measure.DOWN_WEIGHT: weight}[kind]
        now = self._clock()
        with self._database.write() as session:
            row = _user(session, user)
            if session.scalar(_of(row.id, kind)) is not None:
                raise InvalidInput(f"This was done to '{user}' already; lift it first to change it.")
            if kind == Measure.EXCLUDE and not _others_count(session, row.id):
                raise InvalidInput("Nobody else's ratings would count any more, so this person was not excluded.")
            session.add(MeasureRow(user_id=row.id, kind=kind, weight=counted, reason=said, by=by, at=now))
            if kind == Measure.PAUSE:  # what is on the screen waits; it comes back when rating goes on
                shown = (AssignmentRow.user_id == row.id, AssignmentRow.status == AssignmentStatus.OPEN)
                session.execute(update(AssignmentRow).where(*shown).values(status=AssignmentStatus.WAITING))
            note(session, now, by, f"measure_{kind}", user, reason=said, weight=counted)

    def lift(self, user: UserId, kind: Measure, by: str, reason: str) -> None:
        """Undo a measure: everything counts again as before it. Raises NotFound where there is none, InvalidInput
        without a reason.
        """
        said, now = _reason(reason), self._clock()
        with self._database.write() as session:
            row = session.scalar(_of(_user(session, user).id, kind))
            if row is None:
                raise NotFound(f"There is nothing of this kind to lift for '{user}'.")
            row.lifted_at, row.lifted_by, row.lifted_because = now, by, said
            note(session, now, by, f"lift_{kind}", user, reason=said)

    def all(self, user: UserId | None = None) -> list[Taken]:
        """Every measure, of everyone or of one user, lifted ones too, the newest first."""
        rows = select(MeasureRow, UserRow.name).join(UserRow, UserRow.id == MeasureRow.user_id)
        if user is not None:
            rows = rows.where(UserRow.name == user)
        with self._database.read() as session:
            return [
                Taken(UserId(name), m.kind, m.weight, m.reason, m.by, m.at, m.lifted_at, m.lifted_by, m.lifted_because)
                for m, name in session.execute(rows.order_by(MeasureRow.id.desc()))
            ]


def _reason(reason: str) -> str:
    said = " ".join(reason.split())
    if not said or len(said) > MAX_REASON:
        raise InvalidInput(f"A reason is needed, of at most {MAX_REASON} characters; nothing was changed.")
    return said


def _user(session: Session, user: UserId) -> UserRow:
    row = session.scalar(select(UserRow).where(UserRow.name == user).with_for_update(key_share=True))
    if row is None:
        raise NotFound(f"There is no user '{user}'.")
    return row


def _others_count(session: Session, user_id: int) -> bool:
    """Whether somebody else gave a rating that counts."""
    others = (ComparisonRow.user_id != user_id, ComparisonRow.user_id.not_in(excluded()), in_force(), ~is_test())
    return session.scalar(select(ComparisonRow.id).where(*others).limit(1)) is not None
