"""Posed: what a person was asked, as their answer finds it; read in one statement, and closed in another."""

from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Integer, Select, Update, bindparam, select, update
from sqlalchemy.orm import Session

from core.domain import UserId
from core.errors import NotAllowed, NotFound
from db.base import table
from db.campaigns import COLUMNS, Campaign, made_of
from db.models import AssignmentRow, AssignmentStatus, CampaignRow, DraftRow, UserRow
from db.standing import NOBODY, PAUSED, Pause, hold, of_user, pause_of

UNKNOWN = "This pair is no longer known and nothing was stored. Reload to get the next one."
OF_OTHERS = "This pair was given to someone else and nothing was stored."


class Posed(NamedTuple):
    """An assignment with its campaign, its user's pause if any, and whether there is a draft of an answer."""

    id: int
    user_id: int
    query_id: int
    response_a_id: int
    response_b_id: int
    llm_a_id: int
    llm_b_id: int
    status: AssignmentStatus
    shown_at: datetime
    leased_until: datetime
    closed_at: datetime | None
    campaign: Campaign
    pause: Pause | None
    drafted: bool


def posed(session: Session, user: UserId, token: str) -> Posed:
    """The assignment called `token`, its user held until the transaction ends.

    Raises NotFound where one of the two is not there, and NotAllowed where it was given to someone else.
    """
    hold(session, user)
    row = session.execute(_posed(), {"user": user, "token": token}).one_or_none()
    if row is None:
        raise NotFound(NOBODY.format(user))
    owner, draft, at, reason, by, *rest = row
    values, campaign = rest[: len(_OWN)], rest[len(_OWN) :]
    if values[0] is None:
        raise NotFound(UNKNOWN)
    if values[1] != owner:
        raise NotAllowed(OF_OTHERS)
    return Posed._make([*values, made_of(campaign), pause_of(at, reason, by), draft is not None])


def close(session: Session, posed: Posed, status: AssignmentStatus, now: datetime, *, extra: bool) -> None:
    """It was answered; `extra` where somebody else had its place by then."""
    session.execute(_close(), {"number": posed.id, "to": status, "at": now, "spare": extra})


_assignment = table(AssignmentRow)
_OWN = [_assignment.c[name] for name in Posed._fields[:11]]


@cache  # here and below: building such a statement costs several times what running it does
def _posed() -> Select[Any]:
    campaign, draft = table(CampaignRow), table(DraftRow)
    found = (
        of_user()
        .outerjoin(_assignment, _assignment.c.token == bindparam("token"))
        .outerjoin(campaign, campaign.c.id == _assignment.c.campaign_id)
        .outerjoin(draft, draft.c.assignment_id == _assignment.c.id)
    )
    user = table(UserRow).c
    columns = select(user.id, draft.c.assignment_id, *PAUSED, *_OWN, *COLUMNS)
    return columns.select_from(found).where(user.name == bindparam("user"))


@cache
def _close() -> Update:
    it = _assignment.c
    return (
        update(_assignment)
        .where(it.id == bindparam("number", type_=Integer))
        .values(status=bindparam("to"), closed_at=bindparam("at"), extra=bindparam("spare"))
    )
