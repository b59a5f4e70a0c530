"""Assignments: the pair a user has on the screen, drawn and written before it is shown."""

import secrets
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, bindparam, func, or_, select, union, update
from sqlalchemy.orm import Session, aliased

from core.domain import LLMId, Outcome, Query, QueryId, Response, UserId
from core.errors import NotAllowed, NotFound
from core.matchmaking import Candidate, Draw, balanced_sides, draw_pair
from db.models import (
    AssignmentRow,
    AssignmentStatus,
    ComparisonRow,
    LLMRow,
    QueryRow,
    ResponseRow,
    TaskRow,
    UserRow,
)  # fmt: skip

STEPS_BACK = 10  # how far an undo reaches

CLOSED = (AssignmentStatus.RATED, AssignmentStatus.SKIPPED)
PENDING = (AssignmentStatus.OPEN, AssignmentStatus.WAITING)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a user is asked. `number` counts this user's assignments; `previous` is an answer that an undo took back."""

    token: str
    query: Query
    response_a: Response
    response_b: Response
    shown_at: datetime
    number: int
    reason: str
    probability: float
    previous: Outcome | None = None


def locked_user(session: Session, user: UserId) -> UserRow:
    """The user, held until the transaction ends: two tabs of one person take turns, those of two do not wait."""
    # key_share: rows that merely refer to this user may still be written by others. SQLite ignores it and needs it not.
    row = session.scalar(select(UserRow).where(UserRow.name == user).with_for_update(key_share=True))
    if row is None:
        raise NotFound(f"There is no user '{user}'. Sign in first.")
    return row


def own_assignment(session: Session, owner: UserRow, token: str) -> AssignmentRow:
    """The assignment called `token`. Raises NotFound, or NotAllowed where it was given to someone else."""
    row = session.scalar(select(AssignmentRow).where(AssignmentRow.token == token))
    if row is None:
        raise NotFound("This pair is no longer known and nothing was stored. Reload to get the next one.")
    if row.user_id != owner.id:
        raise NotAllowed("This pair was given to someone else and nothing was stored.")
    return row


def open_assignment(session: Session, user: UserId) -> Assignment | None:
    """What the user has on the screen, as the same value for every tab and reload."""
    row = session.execute(_open_of_user(), {"user": user}).one_or_none()
    if row is None:
        return None
    assignment, key, turns, task, key_a, turns_a, key_b, turns_b, number, previous = row
    query = Query(QueryId(key), tuple(turns), task or "")
    left, right = (
        Response(query.query_id, LLMId(llm), tuple(said)) for llm, said in ((key_a, turns_a), (key_b, turns_b))
    )
    return Assignment(
        assignment.token, query, left, right, assignment.shown_at, number,
        assignment.reason, assignment.probability, previous,
    )  # fmt: skip


@cache  # here and below: building such a statement costs several times what running it does
def _open_of_user() -> Select[*tuple[Any, ...]]:
    a, b, llm_a, llm_b = aliased(ResponseRow), aliased(ResponseRow), aliased(LLMRow), aliased(LLMRow)
    return (
        select(AssignmentRow, QueryRow.key, QueryRow.turns, TaskRow.name, llm_a.key, a.turns, llm_b.key, b.turns)
        .add_columns(_number(), _previous())
        .join(UserRow, UserRow.id == AssignmentRow.user_id)
        .join(QueryRow, QueryRow.id == AssignmentRow.query_id)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .join(a, a.id == AssignmentRow.response_a_id)
        .join(b, b.id == AssignmentRow.response_b_id)
        .join(llm_a, llm_a.id == a.llm_id)
        .join(llm_b, llm_b.id == b.llm_id)
        .where(UserRow.name == bindparam("user"), AssignmentRow.status == AssignmentStatus.OPEN)
    )


def _number() -> ColumnElement[int]:
    earlier = aliased(AssignmentRow)
    mine = (earlier.user_id == AssignmentRow.user_id, earlier.id <= AssignmentRow.id)
    return select(func.count()).where(*mine).correlate(AssignmentRow).scalar_subquery()


def _previous() -> ColumnElement[Outcome | None]:
    said = (ComparisonRow.assignment_id == AssignmentRow.id, ComparisonRow.outcome.is_not(None))
    newest = select(ComparisonRow.outcome).where(*said).order_by(ComparisonRow.id.desc()).limit(1)
    return newest.correlate(AssignmentRow).scalar_subquery()


def ensure_open(session: Session, user: UserRow, now: datetime, rng: Random) -> bool:
    """Make sure that the user has an open assignment: that of before, the one set aside last, or a new one.

    False where nothing is left to rate.
    """
    pending = session.scalar(
        select(AssignmentRow)
        .where(AssignmentRow.user_id == user.id, AssignmentRow.status.in_(PENDING))
        .order_by(AssignmentRow.status == AssignmentStatus.WAITING, AssignmentRow.shown_at.desc(), AssignmentRow.id)
        .limit(1)
    )
    if pending is None:
        return _draw(session, user.id, now, rng)
    if pending.status == AssignmentStatus.WAITING:
        pending.status, pending.shown_at = AssignmentStatus.OPEN, now
        session.flush()
    return True


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
    found = select(QueryRow.id).where(QueryRow.rateable, QueryRow.id.not_in(rated))
    if skipped is None:
        return found
    return found.where(QueryRow.id.in_(skips) if skipped else QueryRow.id.not_in(skips))


def _draw(session: Session, user_id: int, now: datetime, rng: Random) -> bool:
    """Draw among the queries not seen yet, and once they are used up among those skipped; write what was drawn."""
    drawn = _drawn(session, user_id, rng, skipped=False) or _drawn(session, user_id, rng, skipped=True)
    if drawn is None:
        return False
    a, b = _balanced(session, drawn.first, drawn.second, rng)
    session.add(
        AssignmentRow(
            token=secrets.token_urlsafe(16),
            user_id=user_id,
            query_id=a.reply.query_id,
            response_a_id=a.reply.id,
            response_b_id=b.reply.id,
            llm_a_id=a.llm,
            llm_b_id=b.llm,
            reason=drawn.reason,
            probability=drawn.probability,
            status=AssignmentStatus.OPEN,
            shown_at=now,
        )
    )
    session.flush()
    return True


class _Reply(NamedTuple):
    id: int
    query_id: int


def _drawn(session: Session, user_id: int, rng: Random, *, skipped: bool) -> Draw[_Reply] | None:
    def candidates(position: int) -> Sequence[Candidate[_Reply]]:
        rows = session.execute(_responses_to_nth(skipped), {"user_id": user_id, "position": position})
        return [Candidate(_Reply(reply, query_id), llm, words) for reply, query_id, llm, words in rows]

    count = session.scalar(_pool_size(skipped), {"user_id": user_id}) or 0
    draw = draw_pair(count, candidates, rng)
    return replace(draw, reason=f"{draw.reason}, skipped before") if draw and skipped else draw


@cache
def _pool_size(skipped: bool) -> Select[int]:
    return select(func.count()).select_from(unrated(bindparam("user_id", type_=Integer), skipped=skipped).subquery())


@cache
def _responses_to_nth(skipped: bool) -> Select[int, int, int, str]:
    pool = unrated(bindparam("user_id", type_=Integer), skipped=skipped).order_by(QueryRow.id)
    nth = pool.offset(bindparam("position", type_=Integer)).limit(1).scalar_subquery()
    return (
        select(ResponseRow.id, ResponseRow.query_id, ResponseRow.llm_id, ResponseRow.text_hash)
        .where(ResponseRow.query_id == nth)
        .order_by(ResponseRow.id)
    )


def _balanced(
    session: Session, first: Candidate[_Reply], second: Candidate[_Reply], rng: Random
) -> tuple[Candidate[_Reply], Candidate[_Reply]]:
    """The two in the order A, B, such that over all users each LLM of a pair is on either side equally often."""
    a, b = AssignmentRow.llm_a_id, AssignmentRow.llm_b_id
    times = session.execute(
        select(a, func.count())
        .where(or_((a == first.llm) & (b == second.llm), (a == second.llm) & (b == first.llm)))
        .group_by(a)
    )
    left: dict[Hashable, int] = dict(times.all())
    if balanced_sides(left.get(first.llm, 0), left.get(second.llm, 0), rng):
        return first, second
    return second, first
