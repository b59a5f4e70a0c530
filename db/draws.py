"""Draws: what a user is asked next, read from the database and drawn as `core.matchmaking` says.

Nothing here computes a suggestion: those come in, made before the transaction began, and only those are used whose
query this user may still rate.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from random import Random
from typing import NamedTuple

from sqlalchemy import Integer, Select, bindparam, func, or_, select
from sqlalchemy.orm import Session

from core.matchmaking import REPEAT_APART, Candidate, Check, Draw, Kind, Pool, Shares, Suggestion, balanced_sides, draw
from db.events import in_force
from db.models import AssignmentRow, AssignmentStatus, ComparisonRow, GoldRow, OptionRow, QueryRow, ResponseRow

MOST_REPEATS = 200  # of a person's earlier ratings that may be asked again: the newest


class Reply(NamedTuple):
    """A response by its row."""

    id: int
    query_id: int


class Drawn(NamedTuple):
    """The columns of an assignment that say what was drawn and how."""

    query_id: int
    response_a_id: int
    response_b_id: int
    llm_a_id: int
    llm_b_id: int
    reason: str
    probability: float
    uniform_probability: float | None = None
    gold_id: int | None = None
    repeats_id: int | None = None


def next_drawn(
    session: Session, asked: Mapping[str, object], left: Select[int], shares: Shares, rng: Random,
    suggestions: Sequence[Suggestion[Reply]] = (), only: Callable[[int], Sequence[int]] = lambda _: (),
) -> Drawn | None:  # fmt: skip
    """What to ask a user whose queries `left` are not rated yet; None where there is none.

    `left` selects ids of queries; `asked` are its parameters, `user_id` among them. `only(query)` names the responses
    that may be shown of it, all where it names none.
    """

    def nth(position: int) -> Sequence[Candidate[Reply]]:
        at = left.order_by(QueryRow.id).offset(position).limit(1).scalar_subquery()
        found = _candidates(session, _responses().where(ResponseRow.query_id == at), asked)
        among = only(found[0].reply.query_id)
        return [candidate for candidate in found if not among or candidate.reply.id in among]

    def beside(reply: Reply) -> Sequence[Candidate[Reply]]:
        return _candidates(session, _responses().where(ResponseRow.query_id == reply.query_id), {})

    pool = Pool(
        session.scalar(select(func.count()).select_from(left.subquery()), asked) or 0,
        nth,
        beside,
        _still_open(session, left, asked, suggestions),
        session.scalars(_gold(left), asked).all() if shares.gold else (),
        session.scalars(_repeats(), asked).all() if shares.repeat else (),
    )
    drawn = draw(pool, shares, rng)
    if isinstance(drawn, Check):
        return _gold_item(session, drawn, rng) if drawn.kind == Kind.GOLD else _repeat(session, drawn)
    return _fresh(session, drawn, rng) if drawn else None


def _candidates(
    session: Session, rows: Select[int, int, int, str], asked: Mapping[str, object]
) -> list[Candidate[Reply]]:  # fmt: skip
    found = session.execute(rows, asked)
    return [Candidate(Reply(reply, query_id), llm, words) for reply, query_id, llm, words in found]


@cache  # building such a statement costs several times what running it does
def _responses() -> Select[int, int, int, str]:
    columns = ResponseRow.id, ResponseRow.query_id, ResponseRow.llm_id, ResponseRow.text_hash
    return select(*columns).order_by(ResponseRow.id)


def _still_open(
    session: Session, left: Select[int], asked: Mapping[str, object], suggestions: Sequence[Suggestion[Reply]]
) -> list[Suggestion[Reply]]:
    if not suggestions:
        return []
    named = {reply.id for suggestion in suggestions for reply in (suggestion.first, suggestion.second)}
    there = select(ResponseRow.id).where(ResponseRow.id.in_(named), ResponseRow.query_id.in_(left))
    known = set(session.scalars(there, asked))
    return [s for s in suggestions if s.first.id in known and s.second.id in known]


def _gold(left: Select[int]) -> Select[int]:
    usable = (GoldRow.retired_at.is_(None), GoldRow.query_id.in_(left))
    return select(GoldRow.id).where(*usable).order_by(GoldRow.id)


@cache
def _repeats() -> Select[int]:
    """Rated pairs of this user that have enough ratings after them and were not asked twice, the newest first."""
    mine = AssignmentRow.user_id == bindparam("user_id", type_=Integer)
    rated = (
        select(AssignmentRow.id, AssignmentRow.gold_id, AssignmentRow.repeats_id)
        .where(mine, AssignmentRow.status == AssignmentStatus.RATED)
        .order_by(AssignmentRow.closed_at.desc(), AssignmentRow.id.desc())
        .offset(REPEAT_APART)
        .limit(MOST_REPEATS)
        .subquery()
    )
    again = select(AssignmentRow.repeats_id).where(mine, AssignmentRow.repeats_id.is_not(None))
    several = select(OptionRow.assignment_id).where(OptionRow.assignment_id == rated.c.id)  # no pair, so no sides
    said = select(ComparisonRow.id).where(ComparisonRow.assignment_id == rated.c.id, in_force())
    fresh = (
        rated.c.gold_id.is_(None),
        rated.c.repeats_id.is_(None),
        rated.c.id.not_in(again),
        ~several.correlate(rated).exists(),
    )
    return select(rated.c.id).where(*fresh, said.correlate(rated).exists()).order_by(rated.c.id)


def _gold_item(session: Session, check: Check, rng: Random) -> Drawn:
    item = session.get_one(GoldRow, check.item)
    sides = {c.reply.id: c for c in _candidates(session, _responses().where(ResponseRow.query_id == item.query_id), {})}
    a, b = _balanced(session, sides[item.response_a_id], sides[item.response_b_id], rng)
    return _named(a, b, check.kind, check.probability, None)._replace(gold_id=item.id)


def _repeat(session: Session, check: Check) -> Drawn:
    first = session.get_one(AssignmentRow, check.item)
    return Drawn(
        first.query_id, first.response_b_id, first.response_a_id, first.llm_b_id, first.llm_a_id, check.kind.value,
        check.probability, repeats_id=first.id,
    )  # fmt: skip


def _fresh(session: Session, drawn: Draw[Reply], rng: Random) -> Drawn:
    a, b = _balanced(session, drawn.first, drawn.second, rng)
    return _named(a, b, drawn.kind, drawn.probability, drawn.uniform)


def _named(
    a: Candidate[Reply], b: Candidate[Reply], kind: Kind, probability: float, uniform: float | None
) -> Drawn:  # fmt: skip
    left, right = (int(str(side.llm)) for side in (a, b))
    return Drawn(a.reply.query_id, a.reply.id, b.reply.id, left, right, kind.value, probability, uniform)


def _balanced(
    session: Session, first: Candidate[Reply], second: Candidate[Reply], rng: Random
) -> tuple[Candidate[Reply], Candidate[Reply]]:
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
