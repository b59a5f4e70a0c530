"""Standing: how a person stands who is to be asked something, read in one statement for all that hangs on it."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import FromClause, Select, bindparam, func, select
from sqlalchemy.orm import Session

from core.domain import UserId
from core.errors import NotAllowed, NotFound
from db.base import table
from db.campaigns import COLUMNS, Campaign, made_of
from db.models import AssignmentRow, AssignmentStatus, CampaignRow, Measure, MeasureRow, UserRow

NOBODY = "There is no user '{}'. Sign in first."
PENDING = (AssignmentStatus.OPEN, AssignmentStatus.WAITING)


class Pause(NamedTuple):
    """Why someone may not rate for now."""

    at: datetime
    reason: str
    by: str


class Pending(NamedTuple):
    """An assignment that awaits its answer, on the screen or after what is there."""

    id: int
    user_id: int
    query_id: int
    status: AssignmentStatus
    shown_at: datetime
    leased_until: datetime
    campaign: Campaign


@dataclass(frozen=True, slots=True)
class Standing:
    """A person's pause, if any; what awaits an answer, in the order to show it, of closed campaigns too; and the open
    campaigns that they have not given all their ratings to, in the order to ask.
    """

    user_id: int
    pause: Pause | None
    pending: list[Pending]
    asking: list[Campaign]


def hold(session: Session, user: UserId) -> None:
    """Two tabs of one person take turns until this transaction ends. On SQLite every writer has the database alone."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(_held(), {"user": user})


def standing(session: Session, user: UserId) -> Standing:
    """How this person stands, held until the transaction ends. Raises NotFound."""
    hold(session, user)
    rows = session.execute(_standing(), {"user": user}).all()
    if not rows:
        raise NotFound(NOBODY.format(user))
    user_id, at, reason, by = rows[0][:4]
    pending, asking = list[Pending](), dict[int, Campaign]()
    for row in rows:
        _, _, _, _, waiting, query, status, shown, leased, *values = row
        if values[0] is None:  # no campaign at all
            continue
        campaign = made_of(values)
        if waiting is not None:
            pending.append(Pending(waiting, user_id, query, status, shown, leased, campaign))
        if campaign.open:
            asking[campaign.id] = campaign
    pending.sort(key=lambda one: (one.status == AssignmentStatus.WAITING, -one.shown_at.timestamp(), one.id))
    # The newest first: the one that takes everything came with the tables, and is asked when no other has anything.
    order = [asking[number] for number in sorted(asking, reverse=True)]
    return Standing(user_id, pause_of(at, reason, by), pending, _with_quota_left(session, user_id, order))


def _with_quota_left(session: Session, user_id: int, campaigns: list[Campaign]) -> list[Campaign]:
    if all(campaign.plan.quota is None for campaign in campaigns):
        return campaigns
    rated = (AssignmentRow.user_id == user_id, AssignmentRow.status == AssignmentStatus.RATED)
    counts = select(AssignmentRow.campaign_id, func.count()).where(*rated).group_by(AssignmentRow.campaign_id)
    given = dict(session.execute(counts).all())
    return [each for each in campaigns if each.plan.quota is None or given.get(each.id, 0) < each.plan.quota]


def pause_of(at: datetime | None, reason: str, by: str) -> Pause | None:
    """From the columns of `PAUSED`."""
    return Pause(at, reason, by) if at is not None else None


def refuse(pause: Pause | None) -> None:
    """Raises NotAllowed for someone whose rating is paused, with the reason."""
    if pause is not None:
        raise NotAllowed(
            f"Rating is paused for you since {pause.at:%Y-%m-%d}: {pause.reason} "
            f"Your earlier ratings are kept. Ask {pause.by} or another analyst."
        )


_user, _pause, _campaign = table(UserRow), table(MeasureRow), table(CampaignRow)
PAUSED = [_pause.c.at, _pause.c.reason, _pause.c.by]


def of_user() -> FromClause:
    """Users with the pause that is in force, of which there is at most one."""
    on = (_pause.c.user_id == _user.c.id) & (_pause.c.kind == Measure.PAUSE) & _pause.c.lifted_at.is_(None)
    return _user.outerjoin(_pause, on)


@cache  # here and below: building such a statement costs several times what running it does
def _held() -> Select[Any]:
    # key_share: rows that merely refer to this user may still be written by others.
    return select(_user.c.id).where(_user.c.name == bindparam("user")).with_for_update(key_share=True)


@cache
def _standing() -> Select[Any]:
    own = table(AssignmentRow)
    waits = own.c.status.in_(PENDING)
    of_mine = select(own.c.campaign_id).where(own.c.user_id == _user.c.id, waits).correlate(_user)
    # + 0, lest SQLite look for a person's few among all assignments of the campaign.
    mine = (own.c.campaign_id + 0 == _campaign.c.id) & (own.c.user_id == _user.c.id) & waits
    found = of_user().outerjoin(_campaign, _campaign.c.open | _campaign.c.id.in_(of_mine)).outerjoin(own, mine)
    return (
        select(_user.c.id, *PAUSED, own.c.id, own.c.query_id, own.c.status, own.c.shown_at, own.c.leased_until)
        .add_columns(*COLUMNS)
        .select_from(found)
        .where(_user.c.name == bindparam("user"))
    )
