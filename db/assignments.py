"""Assignments: the pair a user has on the screen, drawn and written before it is shown."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from random import Random
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Integer, Select, bindparam, func, select, union, update
from sqlalchemy.orm import Session, aliased

from core.campaigns import Kind, Reveal
from core.domain import LLMId, Outcome, Query, QueryId, Response, UserId
from core.errors import NotAllowed, NotFound
from core.matchmaking import Shares, Suggestion
from db import choices, leases
from db.base import UTCDateTime
from db.campaigns import Campaign, asking, hold, of_tasks, value_of
from db.draws import Drawn, Reply, next_drawn
from db.models import (
    AssignmentRow,
    AssignmentStatus,
    CampaignRow,
    ComparisonRow,
    FlagResolution,
    FlagRow,
    LLMRow,
    QueryRow,
    ResponseRow,
    TaskRow,
    UserRow,
)  # fmt: skip

STEPS_BACK = 10  # how far an undo reaches

FLAGS_TO_PAUSE = 2  # one person may be mistaken; two make it a matter for whoever looks after the queries

CLOSED = (AssignmentStatus.RATED, AssignmentStatus.SKIPPED, AssignmentStatus.FLAGGED)
PENDING = (AssignmentStatus.OPEN, AssignmentStatus.WAITING)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a user is asked. `number` counts this user's assignments; `previous` is an answer that an undo took back.

    `others` are the responses beyond a pair, where the campaign asks for the best of several.
    """

    token: str
    query: Query
    response_a: Response
    response_b: Response
    shown_at: datetime
    number: int
    reason: str
    probability: float
    leased_until: datetime
    campaign: Campaign
    previous: Outcome | None = None
    others: tuple[Response, ...] = ()

    @property
    def responses(self) -> tuple[Response, ...]:
        """All that are shown, in their order."""
        return (self.response_a, self.response_b, *self.others)


def locked_user(session: Session, user: UserId) -> UserRow:
    """The user, held until the transaction ends: two tabs of one person take turns, those of two do not wait."""
    row = session.scalar(_locked(), {"user": user})
    if row is None:
        raise NotFound(f"There is no user '{user}'. Sign in first.")
    return row


@cache  # here and below: building such a statement costs several times what running it does
def _locked() -> Select[UserRow]:
    # key_share: rows that merely refer to this user may still be written by others. SQLite ignores it and needs it not.
    return select(UserRow).where(UserRow.name == bindparam("user")).with_for_update(key_share=True)


@cache
def _by_token() -> Select[AssignmentRow]:
    return select(AssignmentRow).where(AssignmentRow.token == bindparam("token"))


def own_assignment(session: Session, owner: UserRow, token: str) -> AssignmentRow:
    """The assignment called `token`. Raises NotFound, or NotAllowed where it was given to someone else."""
    row = session.scalar(_by_token(), {"token": token})
    if row is None:
        raise NotFound("This pair is no longer known and nothing was stored. Reload to get the next one.")
    if row.user_id != owner.id:
        raise NotAllowed("This pair was given to someone else and nothing was stored.")
    return row


def campaign_of(session: Session, assignment: AssignmentRow) -> Campaign:
    """The campaign that an assignment belongs to."""
    return value_of(session.get_one(CampaignRow, assignment.campaign_id))


def open_assignment(session: Session, user: UserId) -> Assignment | None:
    """What the user has on the screen, as the same value for every tab and reload; None of a campaign that closed."""
    row = session.execute(_open_of_user(), {"user": user}).one_or_none()
    if row is None:
        return None
    assignment, campaign, key, turns, task, key_a, turns_a, key_b, turns_b, number, previous = row
    query = Query(QueryId(key), tuple(turns), task or "")
    left, right = (
        Response(query.query_id, LLMId(llm), tuple(said)) for llm, said in ((key_a, turns_a), (key_b, turns_b))
    )
    several = campaign.kind is not Kind.PAIR
    others = choices.others_of(session, assignment.id, query.query_id) if several else ()
    return Assignment(
        assignment.token, query, left, right, assignment.shown_at, number, assignment.reason, assignment.probability,
        assignment.leased_until, value_of(campaign), previous, others,
    )  # fmt: skip


@cache
def _open_of_user() -> Select[*tuple[Any, ...]]:
    a, b, llm_a, llm_b = aliased(ResponseRow), aliased(ResponseRow), aliased(LLMRow), aliased(LLMRow)
    return (
        select(AssignmentRow, CampaignRow, QueryRow.key, QueryRow.turns, TaskRow.name, llm_a.key, a.turns, llm_b.key)
        .add_columns(b.turns, _number(), _previous())
        .join(CampaignRow, CampaignRow.id == AssignmentRow.campaign_id)
        .join(UserRow, UserRow.id == AssignmentRow.user_id)
        .join(QueryRow, QueryRow.id == AssignmentRow.query_id)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .join(a, a.id == AssignmentRow.response_a_id)
        .join(b, b.id == AssignmentRow.response_b_id)
        .join(llm_a, llm_a.id == a.llm_id)
        .join(llm_b, llm_b.id == b.llm_id)
        .where(UserRow.name == bindparam("user"), AssignmentRow.status == AssignmentStatus.OPEN, CampaignRow.open)
    )


def _number() -> ColumnElement[int]:
    earlier = aliased(AssignmentRow)
    mine = (earlier.user_id == AssignmentRow.user_id, earlier.id <= AssignmentRow.id)
    return select(func.count()).where(*mine).correlate(AssignmentRow).scalar_subquery()


def _previous() -> ColumnElement[Outcome | None]:
    said = (ComparisonRow.assignment_id == AssignmentRow.id, ComparisonRow.outcome.is_not(None))
    newest = select(ComparisonRow.outcome).where(*said).order_by(ComparisonRow.id.desc()).limit(1)
    return newest.correlate(AssignmentRow).scalar_subquery()


def revealed(session: Session, user: UserId, token: str) -> tuple[str, str] | None:
    """The names of the LLMs of a rated pair, where its campaign tells them at once."""
    a, b = aliased(LLMRow), aliased(LLMRow)
    row = session.execute(
        select(a.key, a.name, b.key, b.name)
        .select_from(AssignmentRow)
        .join(CampaignRow, CampaignRow.id == AssignmentRow.campaign_id)
        .join(UserRow, UserRow.id == AssignmentRow.user_id)
        .join(a, a.id == AssignmentRow.llm_a_id)
        .join(b, b.id == AssignmentRow.llm_b_id)
        .where(AssignmentRow.token == token, UserRow.name == user, AssignmentRow.status == AssignmentStatus.RATED)
        .where(CampaignRow.reveal == Reveal.AT_ONCE)
    ).one_or_none()
    return (row[1] or row[0], row[3] or row[2]) if row else None


def ensure_open(
    session: Session, user: UserRow, now: datetime, rng: Random, suggestions: Sequence[Suggestion[Reply]] = ()
) -> bool:
    """Make sure that the user has an open assignment: that of before, the one set aside last, or a new one.

    `suggestions` are pairs that would tell most about this user. What a closed campaign left on the screen waits until
    it opens again. False where nothing is left to rate.
    """
    for row, its_campaign in session.execute(_pending(), {"user_id": user.id}).all():
        if its_campaign.open:
            _show(session, row, value_of(its_campaign), now)
            return True
        if row.status == AssignmentStatus.OPEN:
            row.status = AssignmentStatus.WAITING
            session.flush()  # before another one opens: only one may be open at any moment
    return _draw(session, user.id, now, rng, suggestions)


@cache
def _pending() -> Select[AssignmentRow, CampaignRow]:
    return (
        select(AssignmentRow, CampaignRow)
        .join(CampaignRow, CampaignRow.id == AssignmentRow.campaign_id)
        .where(AssignmentRow.user_id == bindparam("user_id", type_=Integer), AssignmentRow.status.in_(PENDING))
        .order_by(AssignmentRow.status == AssignmentStatus.WAITING, AssignmentRow.shown_at.desc(), AssignmentRow.id)
    )


def _show(session: Session, row: AssignmentRow, campaign: Campaign, now: datetime) -> None:
    if row.status == AssignmentStatus.WAITING:
        row.status, row.shown_at = AssignmentStatus.OPEN, now
        session.flush()
    if campaign.plan.overlap is not None and row.leased_until < now:
        hold(session, campaign)
        leases.renew(session, campaign, row, now)


def last_closed(session: Session, user: UserRow) -> AssignmentRow | None:
    """What an undo would take back: the newest answer or skip, unless the user went ten steps back already."""
    steps = session.scalar(
        select(func.count()).where(
            AssignmentRow.user_id == user.id,
            AssignmentRow.status.in_(PENDING),
            AssignmentRow.closed_at.is_not(None),
        )
    )
    if steps is not None and steps >= STEPS_BACK:
        return None
    return session.scalar(
        select(AssignmentRow)
        .where(AssignmentRow.user_id == user.id, AssignmentRow.status.in_(CLOSED))
        .order_by(AssignmentRow.closed_at.desc(), AssignmentRow.id.desc())
        .limit(1)
    )


def reopen(session: Session, assignment: AssignmentRow, now: datetime) -> None:
    """Put a closed assignment back on the screen; what was there waits until after it."""
    # Before the other update, and not left to the session's order of writing: only one may be open at any moment.
    session.execute(
        update(AssignmentRow)
        .where(AssignmentRow.user_id == assignment.user_id, AssignmentRow.status == AssignmentStatus.OPEN)
        .values(status=AssignmentStatus.WAITING)
    )
    assignment.status, assignment.shown_at = AssignmentStatus.OPEN, now
    assignment.leased_until = now + leases.LEASE
    session.flush()


def on_screen(session: Session, user: UserRow, query_id: int) -> bool:
    """Whether this query is what the user is asked now, as when a skipped one was drawn again."""
    status = AssignmentRow.status == AssignmentStatus.OPEN
    shown = select(AssignmentRow.id).where(AssignmentRow.user_id == user.id, AssignmentRow.query_id == query_id, status)
    return session.scalar(shown) is not None


def unrated(user_id: ColumnElement[int] | int, *, skipped: bool | None = None) -> Select[int]:
    """Ids of the queries this user may still rate: all, or with `skipped` only those skipped before or the others."""
    mine = AssignmentRow.user_id == user_id
    rated = union(
        select(AssignmentRow.query_id).where(mine, AssignmentRow.status == AssignmentStatus.RATED),
        # Imported ratings have no assignment. Where there is one its state decides, for an undone pair is open again.
        select(ComparisonRow.query_id).where(ComparisonRow.user_id == user_id, ComparisonRow.assignment_id.is_(None)),
    )
    skips = select(AssignmentRow.query_id).where(mine, AssignmentRow.status == AssignmentStatus.SKIPPED)
    flagged = select(AssignmentRow.query_id).where(mine, AssignmentRow.status == AssignmentStatus.FLAGGED)
    found = select(QueryRow.id).where(QueryRow.rateable, *(QueryRow.id.not_in(ids) for ids in (rated, flagged)))
    found = found.where(QueryRow.id.not_in(_paused()))
    if skipped is None:
        return found
    return found.where(QueryRow.id.in_(skips) if skipped else QueryRow.id.not_in(skips))


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


def next_free(session: Session, user: UserRow, now: datetime) -> datetime | None:
    """When somebody's lease ends on what this user could rate; None where no lease stands in the way."""
    ends = [
        leases.next_free(session, campaign, user.id, now, in_campaign(campaign, user.id))
        for campaign in asking(session, user.id)
        if campaign.plan.overlap is not None
    ]
    return min((end for end in ends if end is not None), default=None)


def _draw(session: Session, user_id: int, now: datetime, rng: Random, suggestions: Sequence[Suggestion[Reply]]) -> bool:
    """Draw among the queries not seen yet, and once they are used up among those skipped; write what was drawn."""
    campaigns = asking(session, user_id)
    for skipped in (False, True):
        for campaign in campaigns:
            hold(session, campaign)
            if campaign.plan.kind is not Kind.PAIR:
                pool = session.scalars(_pool(campaign, skipped), {"user_id": user_id, "now": now}).all()
                if choices.draw(session, campaign, user_id, pool, now, rng, skipped=skipped):
                    return True
                continue
            drawn = _drawn(session, campaign, user_id, now, rng, () if skipped else suggestions, skipped=skipped)
            if drawn is not None:
                _write(session, campaign, user_id, drawn, now)
                return True
    return False


def _write(session: Session, campaign: Campaign, user_id: int, drawn: Drawn, now: datetime) -> None:
    session.add(
        AssignmentRow(
            **drawn._asdict(),
            token=secrets.token_urlsafe(16),
            campaign_id=campaign.id,
            user_id=user_id,
            status=AssignmentStatus.OPEN,
            shown_at=now,
            leased_until=now + leases.LEASE,
        )
    )
    session.flush()


def _drawn(
    session: Session, campaign: Campaign, user_id: int, now: datetime, rng: Random,
    suggestions: Sequence[Suggestion[Reply]], *, skipped: bool,
) -> Drawn | None:  # fmt: skip
    """What was put aside is only finished: nothing is tested there."""
    plan, asked = campaign.plan, {"user_id": user_id, "now": now}
    shares = Shares(gold=0, repeat=0, uniform=1) if skipped else Shares.testing(plan.gold_share, plan.repeat_share)
    if plan.overlap is None:
        drawn = next_drawn(session, asked, _pool(campaign, skipped), shares, rng, suggestions)
    else:
        # All who rate a query are shown the same, so nobody gets a pair of their own.
        def shown_before(query_id: int) -> Sequence[int]:
            before = leases.first_shown(session, campaign, query_id, now)
            return (before.response_a_id, before.response_b_id) if before else ()

        drawn = next_drawn(session, asked, _pool(campaign, skipped), shares, rng, only=shown_before)
    return drawn._replace(reason=f"{drawn.reason}, skipped before") if drawn and skipped else drawn


@lru_cache(maxsize=64)
def _pool(campaign: Campaign, skipped: bool) -> Select[int]:
    user, now = bindparam("user_id", type_=Integer), bindparam("now", type_=UTCDateTime)
    found = in_campaign(campaign, user, skipped=skipped)
    return found if campaign.plan.overlap is None else found.where(QueryRow.id.not_in(leases.full(campaign, user, now)))
