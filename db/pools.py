"""Pools: which queries a person may still be asked about."""

from functools import lru_cache

from sqlalchemy import ColumnElement, CompoundSelect, Integer, Select, bindparam, func, select, union, union_all

from core.campaigns import Kind
from db import choices, leases
from db.base import UTCDateTime
from db.campaigns import Campaign, of_tasks
from db.models import AssignmentRow, AssignmentStatus, ComparisonRow, FlagResolution, FlagRow, QueryRow

FLAGS_TO_PAUSE = 2  # one person may be mistaken; two make it a matter for whoever looks after the queries


def unrated(user_id: ColumnElement[int] | int, *, skipped: bool | None = None) -> Select[int]:
    """Ids of the queries this user may still rate: all, or with `skipped` only those skipped before or the others."""
    mine = AssignmentRow.user_id == user_id
    over = [AssignmentStatus.RATED, AssignmentStatus.FLAGGED, *([AssignmentStatus.SKIPPED] if skipped is False else [])]
    done = union_all(
        select(AssignmentRow.query_id).where(mine, AssignmentRow.status.in_(over)),
        # Imported ratings have no assignment. Where there is one its state decides, for an undone pair is open again.
        select(ComparisonRow.query_id).where(ComparisonRow.user_id == user_id, ComparisonRow.assignment_id.is_(None)),
    )
    found = select(QueryRow.id).where(QueryRow.rateable, QueryRow.id.not_in(done), QueryRow.id.not_in(_paused()))
    skips = select(AssignmentRow.query_id).where(mine, AssignmentRow.status == AssignmentStatus.SKIPPED)
    return found.where(QueryRow.id.in_(skips)) if skipped else found


def _paused() -> CompoundSelect[int]:
    """Ids of the queries that nobody is shown: flagged by several people and not looked at yet, or retired."""
    unresolved = select(FlagRow.query_id).where(FlagRow.resolution.is_(None)).group_by(FlagRow.query_id)
    return union(
        unresolved.having(func.count(FlagRow.user_id.distinct()) >= FLAGS_TO_PAUSE),
        select(FlagRow.query_id).where(FlagRow.resolution == FlagResolution.RETIRED),
    )


def in_campaign(campaign: Campaign, user_id: ColumnElement[int] | int, *, skipped: bool | None = None) -> Select[int]:
    """Of `unrated` the queries that a campaign is about, whoever holds their places."""
    found = unrated(user_id, skipped=skipped)
    if campaign.plan.kind is not Kind.PAIR:
        found = found.where(*choices.enough(campaign.plan.options))
    return found.where(of_tasks(campaign.plan.tasks)) if campaign.plan.tasks else found


@lru_cache(maxsize=64)
def of(campaign: Campaign, skipped: bool) -> Select[int]:
    """Of `in_campaign` those that have a place left; its parameters are `user_id` and `now`."""
    user, now = bindparam("user_id", type_=Integer), bindparam("now", type_=UTCDateTime)
    found = in_campaign(campaign, user, skipped=skipped)
    return found if campaign.plan.overlap is None else found.where(QueryRow.id.not_in(leases.full(campaign, user, now)))
