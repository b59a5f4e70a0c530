"""Trade-offs: what people chose when a price was shown, kept as events of the audit log like every other answer."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.domain import UserId
from core.willingness import Tradeoff, fit
from db.assignments import locked_user
from db.audit import note
from db.base import utc_now
from db.engine import Database
from db.models import AuditEventRow

ACTION = "tradeoff"


class Tradeoffs:
    """The trade-offs of one database."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database, self._clock = database, clock

    def record(self, user: UserId, answer: Tradeoff, source: str, *, number: int) -> bool:
        """Keep a person's next answer, their `number`-th counted from 0; False where that one is there already, as by
        a double click. `source` says where it was asked. Raises NotFound, and InvalidInput for what is no trade-off.
        """
        fit([answer])  # refuses what has no dearer side
        now = self._clock()
        with self._database.write() as session:
            locked_user(session, user)
            if len(answers(session, user)) != number:
                return False
            note(session, now, user, ACTION, source, liking=answer.liking, dollars=answer.dollars, dearer=answer.dearer)
            return True

    def of(self, user: UserId) -> list[Tradeoff]:
        """All that a person answered, oldest first."""
        with self._database.read() as session:
            return answers(session, user)


def answers(session: Session, user: UserId) -> list[Tradeoff]:
    """All that a person answered, oldest first."""
    mine = (AuditEventRow.action == ACTION, AuditEventRow.actor == user)
    details = session.scalars(select(AuditEventRow.detail).where(*mine).order_by(AuditEventRow.id))
    return [Tradeoff(each["liking"], each["dollars"], each["dearer"]) for each in details]
