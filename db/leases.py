"""Places in a campaign with an overlap: who holds one, for how long, and when the next is free.

A query has as many places as the campaign's overlap. A rating holds one for good, a pair on a screen for a quarter of
an hour; after that whoever comes first gets it, and the answer of who had it is kept as an extra rating.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.orm import Session

from db.campaigns import Campaign, hold
from db.models import AssignmentRow, AssignmentStatus
from db.posed import Posed
from db.standing import Pending

LEASE = timedelta(minutes=15)
_SHOWN = (AssignmentStatus.OPEN, AssignmentStatus.WAITING)


def full(campaign: Campaign, user_id: ColumnElement[int] | int, now: ColumnElement[datetime] | datetime) -> Select[int]:
    """Ids of the queries of which others hold every place."""
    return (
        select(AssignmentRow.query_id)
        .where(AssignmentRow.campaign_id == campaign.id, AssignmentRow.user_id != user_id, _holds(now))
        .group_by(AssignmentRow.query_id)
        .having(func.count(AssignmentRow.user_id.distinct()) >= campaign.plan.overlap)
    )


def first_shown(session: Session, campaign: Campaign, query_id: int, now: datetime) -> AssignmentRow | None:
    """What the first who holds a place is or was shown: the others who rate this query get the same."""
    return session.scalar(
        select(AssignmentRow)
        .where(AssignmentRow.campaign_id == campaign.id, AssignmentRow.query_id == query_id, _holds(now))
        .order_by(AssignmentRow.id)
        .limit(1)
    )


def lost(session: Session, place: Posed | Pending, now: datetime) -> bool:
    """Whether the lease is over and others hold every place of the query by now; meanwhile nobody takes one."""
    if place.campaign.plan.overlap is None or place.leased_until >= now:
        return False
    hold(session, place.campaign)
    taken = full(place.campaign, place.user_id, now).where(AssignmentRow.query_id == place.query_id)
    return session.scalar(taken) is not None


def renew(session: Session, place: Pending, now: datetime) -> None:
    """Hold a place whose lease is over for another quarter of an hour, unless it was given away."""
    if place.campaign.plan.overlap is None or place.leased_until >= now or lost(session, place, now):
        return
    mine = update(AssignmentRow).where(AssignmentRow.id == place.id)
    session.execute(mine.values(leased_until=now + LEASE))


def next_free(
    session: Session, campaign: Campaign, user_id: int, now: datetime, queries: Select[int]
) -> datetime | None:
    """When the first lease ends that keeps this user from one of `queries`; None where none does."""
    return session.scalar(
        select(func.min(AssignmentRow.leased_until)).where(
            AssignmentRow.campaign_id == campaign.id,
            AssignmentRow.user_id != user_id,
            AssignmentRow.query_id.in_(queries),
            AssignmentRow.status.in_(_SHOWN),
            AssignmentRow.leased_until >= now,
            AssignmentRow.query_id.not_in(_rated_enough(campaign, user_id)),
        )
    )


def _rated_enough(campaign: Campaign, user_id: int) -> Select[int]:
    return (
        select(AssignmentRow.query_id)
        .where(AssignmentRow.campaign_id == campaign.id, AssignmentRow.user_id != user_id, _rated())
        .group_by(AssignmentRow.query_id)
        .having(func.count(AssignmentRow.user_id.distinct()) >= campaign.plan.overlap)
    )


def _rated() -> ColumnElement[bool]:
    return and_(AssignmentRow.status == AssignmentStatus.RATED, ~AssignmentRow.extra)


def _holds(now: ColumnElement[datetime] | datetime) -> ColumnElement[bool]:
    leased = and_(AssignmentRow.status.in_(_SHOWN), AssignmentRow.leased_until >= now)
    return or_(_rated(), leased)
