"""Places in a campaign with an overlap: who holds one, for how long, and when the next is free.

A query has as many places as the campaign's overlap. A rating holds one for good, a pair on a screen for a quarter of
an hour; after that whoever comes first gets it, and the answer of who had it is kept as an extra rating.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from db.campaigns import Campaign, hold, value_of
from db.models import AssignmentRow, AssignmentStatus, CampaignRow

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


def given_away(session: Session, campaign: Campaign, assignment: AssignmentRow, now: datetime) -> bool:
    """Whether the lease is over and others hold every place of the query by now."""
    if campaign.plan.overlap is None or assignment.leased_until >= now:
        return False
    taken = full(campaign, assignment.user_id, now).where(AssignmentRow.query_id == assignment.query_id)
    return session.scalar(taken) is not None


def lost(session: Session, assignment: AssignmentRow, now: datetime) -> bool:
    """`given_away` of an assignment whose campaign is not at hand; meanwhile nobody takes a place of it."""
    if assignment.leased_until >= now:
        return False
    row = session.get_one(CampaignRow, assignment.campaign_id)
    campaign = value_of(row)
    hold(session, campaign)
    return given_away(session, campaign, assignment, now)


def renew(session: Session, campaign: Campaign, assignment: AssignmentRow, now: datetime) -> None:
    """Hold the place again for a quarter of an hour, unless it was given away."""
    if not given_away(session, campaign, assignment, now):
        assignment.leased_until = now + LEASE
        session.flush()


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
