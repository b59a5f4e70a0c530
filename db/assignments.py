"""Assignments: the pair a user has on the screen, drawn and written before it is shown."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from random import Random
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, Update, bindparam, func, insert, select, update
from sqlalchemy.orm import Session, aliased

from core.campaigns import Kind, Reveal
from core.domain import LLMId, Outcome, Query, QueryId, Response, UserId
from core.errors import NotAllowed, NotFound
from core.matchmaking import Shares, Suggestion
from db import choices, leases, pools
from db.base import table
from db.campaigns import COLUMNS, Campaign, asking, hold, made_of, value_of
from db.draws import Pair, Reply, next_pair
from db.models import (
    AssignmentRow,
    AssignmentStatus,
    CampaignRow,
    ComparisonRow,
    LLMRow,
    QueryRow,
    ResponseRow,
    TaskRow,
    UserRow,
)  # fmt: skip
from db.posed import OF_OTHERS, UNKNOWN
from db.standing import NOBODY, PENDING, Pending, Standing, refuse, standing

CLOSED = (AssignmentStatus.RATED, AssignmentStatus.SKIPPED, AssignmentStatus.FLAGGED)
STEPS_BACK = 10  # how far an undo reaches


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
        raise NotFound(NOBODY.format(user))
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
        raise NotFound(UNKNOWN)
    if row.user_id != owner.id:
        raise NotAllowed(OF_OTHERS)
    return row


def campaign_of(session: Session, assignment: AssignmentRow) -> Campaign:
    """The campaign that an assignment belongs to."""
    return value_of(session.get_one(CampaignRow, assignment.campaign_id))


def open_assignment(connection: Session | Connection, user: UserId) -> Assignment | None:
    """What the user has on the screen, as the same value for every tab and reload; None of a campaign that closed."""
    row = connection.execute(_open_of_user(), {"user": user}).one_or_none()
    if row is None:
        return None
    number, token, shown_at, reason, probability, leased_until, place, previous, key, turns, task, *rest = row
    (key_a, turns_a, key_b, turns_b), campaign = rest[:4], made_of(rest[4:])
    query = Query(QueryId(key), tuple(turns), task or "")
    left, right = (
        Response(query.query_id, LLMId(llm), tuple(said)) for llm, said in ((key_a, turns_a), (key_b, turns_b))
    )
    several = campaign.plan.kind is not Kind.PAIR
    others = choices.others_of(connection, number, query.query_id) if several else ()
    return Assignment(
        token, query, left, right, shown_at, place, reason, probability, leased_until, campaign, previous, others
    )


@cache
def _open_of_user() -> Select[Any]:
    it, campaign, user = table(AssignmentRow), table(CampaignRow), table(UserRow)
    query, task = table(QueryRow), table(TaskRow)
    (a, b), (llm_a, llm_b) = ([table(row).alias() for _ in range(2)] for row in (ResponseRow, LLMRow))
    return (
        select(it.c.id, it.c.token, it.c.shown_at, it.c.reason, it.c.probability, it.c.leased_until)
        .add_columns(_number(it), _previous(it), query.c.key, query.c.turns, task.c.name)
        .add_columns(llm_a.c.key, a.c.turns, llm_b.c.key, b.c.turns, *COLUMNS)
        .select_from(it)
        .join(campaign, campaign.c.id == it.c.campaign_id)
        .join(user, user.c.id == it.c.user_id)
        .join(query, query.c.id == it.c.query_id)
        .outerjoin(task, task.c.id == query.c.task_id)
        .join(a, a.c.id == it.c.response_a_id)
        .join(b, b.c.id == it.c.response_b_id)
        .join(llm_a, llm_a.c.id == a.c.llm_id)
        .join(llm_b, llm_b.c.id == b.c.llm_id)
        .where(user.c.name == bindparam("user"), it.c.status == AssignmentStatus.OPEN, campaign.c.open)
    )


def _number(it: Table) -> ColumnElement[int]:
    earlier = it.alias()
    mine = (earlier.c.user_id == it.c.user_id, earlier.c.id <= it.c.id)
    return select(func.count()).select_from(earlier).where(*mine).correlate(it).scalar_subquery()


def _previous(it: Table) -> ColumnElement[Outcome | None]:
    said = table(ComparisonRow)
    newest = select(said.c.outcome).where(said.c.assignment_id == it.c.id, said.c.outcome.is_not(None))
    return newest.order_by(said.c.id.desc()).limit(1).correlate(it).scalar_subquery()


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
    session: Session, user: UserId, now: datetime, rng: Random, suggestions: Sequence[Suggestion[Reply]] = ()
) -> Assignment | None:
    """What the user is asked: what was on the screen before, what was set aside last, or a new pair, which is written.

    `suggestions` are pairs that would tell most about this user. What a closed campaign left on the screen waits until
    it opens again. None where nothing is left to rate. Raises NotFound, and NotAllowed while rating is paused.
    """
    here = standing(session, user)
    refuse(here.pause)
    for pending in here.pending:
        if pending.campaign.open:
            _show(session, pending, now)
            return open_assignment(session, user)
        if pending.status == AssignmentStatus.OPEN:  # before another one opens: only one may be open at any moment
            session.execute(_of(pending).values(status=AssignmentStatus.WAITING))
    return _draw(session, user, here, now, rng, suggestions)


def _show(session: Session, pending: Pending, now: datetime) -> None:
    if pending.status == AssignmentStatus.WAITING:
        session.execute(_of(pending).values(status=AssignmentStatus.OPEN, shown_at=now))
    leases.renew(session, pending, now)


def _of(pending: Pending) -> Update:
    return update(AssignmentRow).where(AssignmentRow.id == pending.id)


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


def next_free(session: Session, user: UserRow, now: datetime) -> datetime | None:
    """When somebody's lease ends on what this user could rate; None where no lease stands in the way."""
    ends = [
        leases.next_free(session, campaign, user.id, now, pools.in_campaign(campaign, user.id))
        for campaign in asking(session, user.id)
        if campaign.plan.overlap is not None
    ]
    return min((end for end in ends if end is not None), default=None)


def _draw(
    session: Session, user: UserId, here: Standing, now: datetime, rng: Random, suggestions: Sequence[Suggestion[Reply]]
) -> Assignment | None:
    """Draw among the queries not seen yet, and once they are used up among those skipped; write what was drawn."""
    for skipped in (False, True):
        for campaign in here.asking:
            hold(session, campaign)
            if campaign.plan.kind is not Kind.PAIR:
                left = session.scalars(pools.of(campaign, skipped), {"user_id": here.user_id, "now": now}).all()
                if choices.draw(session, campaign, here.user_id, left, now, rng, skipped=skipped):
                    return open_assignment(session, user)
                continue
            pair = _pair(session, campaign, here.user_id, now, rng, () if skipped else suggestions, skipped=skipped)
            if pair is not None:
                return _written(session, campaign, here.user_id, pair, now)
    return None


_WRITE = insert(table(AssignmentRow))


def _written(session: Session, campaign: Campaign, user_id: int, pair: Pair, now: datetime) -> Assignment:
    """The pair as an assignment, as `open_assignment` will read it."""
    token, until, drawn = secrets.token_urlsafe(16), now + leases.LEASE, pair.drawn
    row = {"token": token, "campaign_id": campaign.id, "user_id": user_id, "status": AssignmentStatus.OPEN}
    session.execute(_WRITE, drawn._asdict() | row | {"shown_at": now, "leased_until": until})
    return Assignment(
        token, pair.query, pair.response_a, pair.response_b, now, pair.number, drawn.reason, drawn.probability, until,
        campaign,
    )  # fmt: skip


def _pair(
    session: Session, campaign: Campaign, user_id: int, now: datetime, rng: Random,
    suggestions: Sequence[Suggestion[Reply]], *, skipped: bool,
) -> Pair | None:  # fmt: skip
    """What was put aside is only finished: nothing is tested there."""
    plan, asked = campaign.plan, {"user_id": user_id, "now": now}
    shares = Shares(gold=0, repeat=0, uniform=1) if skipped else Shares.testing(plan.gold_share, plan.repeat_share)
    if plan.overlap is None:
        pair = next_pair(session, asked, pools.of(campaign, skipped), shares, rng, suggestions)
    else:
        # All who rate a query are shown the same, so nobody gets a pair of their own.
        def shown_before(query_id: int) -> Sequence[int]:
            before = leases.first_shown(session, campaign, query_id, now)
            return (before.response_a_id, before.response_b_id) if before else ()

        pair = next_pair(session, asked, pools.of(campaign, skipped), shares, rng, only=shown_before)
    if pair is None or not skipped:
        return pair
    return pair._replace(drawn=pair.drawn._replace(reason=f"{pair.drawn.reason}, skipped before"))
