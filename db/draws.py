"""What is drawn for a user, written down as an assignment says it: the queries behind `core.matchmaking`, and sides.

A draw is four statements: what may be drawn at all, counted in one; the responses to the query that was drawn; the two
responses and how often their LLMs stood on which side; and where a gold item or a repeat was drawn, that item.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, Text, bindparam, cast, func, null, select
from sqlalchemy.orm import Session, aliased

from core.domain import LLMId, Query, QueryId, Response
from core.matchmaking import REPEAT_APART, Candidate, Check, Draw, Kind, Pool, Shares, Suggestion, balanced_sides, draw
from db.base import table
from db.events import in_force
from db.models import (
    AssignmentRow,
    AssignmentStatus,
    ComparisonRow,
    GoldRow,
    LLMRow,
    OptionRow,
    QueryRow,
    ResponseRow,
    TaskRow,
)  # fmt: skip

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


class Pair(NamedTuple):
    """What was drawn, and what is shown of it; `number` counts the assignments of the user with this one."""

    drawn: Drawn
    query: Query
    response_a: Response
    response_b: Response
    number: int


class _OnDemand(Sequence[int]):
    """Rows, of which it is known whether there are any; they are read when one of them was drawn, which is seldom."""

    def __init__(self, some: bool, read: Callable[[], Sequence[int]]) -> None:
        self._some, self._read = some, cache(read)

    def __bool__(self) -> bool:
        return self._some

    def __len__(self) -> int:
        return len(self._read())

    def __getitem__(self, at: Any) -> Any:
        return self._read()[at]


class _Drawable(NamedTuple):
    """All that a draw may come from: the queries that are left, gold items among them and repeats, by their rows in
    order; and the suggestions whose queries are left and whose responses are there.
    """

    queries: Sequence[int]
    gold: Sequence[int]
    repeats: Sequence[int]
    suggestions: Sequence[Suggestion[Reply]]


def next_pair(
    session: Session, asked: Mapping[str, object], left: Select[int], shares: Shares, rng: Random,
    suggestions: Sequence[Suggestion[Reply]] = (), only: Callable[[int], Sequence[int]] = lambda _: (),
) -> Pair | None:  # fmt: skip
    """What to ask a user whose queries `left` are not rated yet; None where there is none.

    `left` selects ids of queries; `asked` are its parameters, `user_id` among them. `only(query)` names the responses
    that may be shown of it, all where it names none.
    """

    def nth(position: int) -> Sequence[Candidate[Reply]]:
        query = drawable.queries[position]
        found, among = _candidates(session, query), only(query)
        return [candidate for candidate in found if not among or candidate.reply.id in among]

    def beside(reply: Reply) -> Sequence[Candidate[Reply]]:
        return _candidates(session, reply.query_id)

    drawable = _drawable(session, asked, left, shares, suggestions)
    queries, gold, repeats, suggested = drawable
    pool = Pool(len(queries), nth, beside, suggested, gold, repeats)
    drawn = draw(pool, shares, rng)
    if drawn is None:
        return None
    shown = {"user_id": asked["user_id"]}
    if isinstance(drawn, Check):
        return _gold_item(session, drawn, shown, rng) if drawn.kind == Kind.GOLD else _repeat(session, drawn, shown)
    return _fresh(session, drawn, shown, rng)


def _drawable(
    session: Session, asked: Mapping[str, object], left: Select[int], shares: Shares,
    suggestions: Sequence[Suggestion[Reply]],
) -> _Drawable:  # fmt: skip
    named = sorted({reply.id for suggestion in suggestions for reply in (suggestion.first, suggestion.second)})
    statement = _all(left, shares.gold > 0, shares.repeat > 0, bool(named))
    repeat, *lists = session.execute(statement, {**asked, "named": named} if named else asked).one()
    queries, there, gold = ([int(part) for part in ids.split(",")] if ids else [] for ids in lists)
    open_queries, known = frozenset(queries), frozenset(there)
    return _Drawable(
        sorted(queries),
        sorted(item for item, query in zip(gold[::2], gold[1::2], strict=True) if query in open_queries),
        _OnDemand(repeat is not None, lambda: sorted(session.scalars(_repeats(), asked))),
        [s for s in suggestions if s.first.query_id in open_queries and {s.first.id, s.second.id} <= known],
    )


def _candidates(session: Session, query: int) -> list[Candidate[Reply]]:
    found = session.execute(_responses(), {"query": query}).all()
    return [Candidate(Reply(reply, query), llm, words) for reply, llm, words in found]


@lru_cache(maxsize=256)  # here and below: building such a statement costs several times what running it does
def _all(left: Select[int], gold: bool, repeats: bool, suggested: bool) -> Select[Any]:
    """One row: a repeat if there is one; and numbers with commas between: the queries left, suggested responses that
    are there, gold items each with its query. What it is not asked for is null, and costs nothing.

    One row, because a thread gives way to the others of its process at every row that SQLite brings.
    """
    items = select(GoldRow.id, GoldRow.query_id).where(GoldRow.retired_at.is_(None))
    known = select(ResponseRow.id).where(ResponseRow.id.in_(bindparam("named", expanding=True, type_=Integer)))
    return select(
        _repeats().limit(1).scalar_subquery() if repeats else null(),
        _listed(left),
        _listed(known) if suggested else null(),
        _listed(items) if gold else null(),
    )


def _listed(rows: Select[*tuple[Any, ...]]) -> ColumnElement[str]:
    first, *others = rows.subquery().c
    numbers: ColumnElement[str] = cast(first, Text)
    for other in others:
        numbers = numbers + "," + cast(other, Text)
    return select(func.aggregate_strings(numbers, ",")).scalar_subquery()


@cache
def _repeats() -> Select[int]:
    """Rated pairs of this user that have enough ratings after them and were not asked twice."""
    mine = AssignmentRow.user_id == bindparam("user_id", type_=Integer)
    rated = (
        select(AssignmentRow.id, AssignmentRow.gold_id, AssignmentRow.repeats_id)
        .where(mine, AssignmentRow.status == AssignmentStatus.RATED)
        .order_by(AssignmentRow.closed_at.desc(), AssignmentRow.id.desc())
        .offset(REPEAT_APART)
        .limit(MOST_REPEATS)
        .subquery()
    )
    second = aliased(AssignmentRow)
    again = select(second.id).where(second.repeats_id == rated.c.id)
    several = select(OptionRow.assignment_id).where(OptionRow.assignment_id == rated.c.id)  # no pair, so no sides
    said = select(ComparisonRow.id).where(ComparisonRow.assignment_id == rated.c.id, in_force())
    fresh = (
        rated.c.gold_id.is_(None),
        rated.c.repeats_id.is_(None),
        ~again.correlate(rated).exists(),
        ~several.correlate(rated).exists(),
    )
    return select(rated.c.id).where(*fresh, said.correlate(rated).exists())


@cache
def _responses() -> Select[Any]:
    it = table(ResponseRow).c
    mine = it.query_id == bindparam("query", type_=Integer)
    return select(it.id, it.llm_id, it.text_hash).where(mine).order_by(it.id)


def _gold_item(session: Session, check: Check, shown: Mapping[str, object], rng: Random) -> Pair:
    item = session.get_one(GoldRow, check.item)
    facts = _facts(session, shown, item.response_a_id, item.response_b_id)
    return facts.pair(facts.balanced(rng), check.kind, check.probability, gold_id=item.id)


def _repeat(session: Session, check: Check, shown: Mapping[str, object]) -> Pair:
    """Sides swapped."""
    before = session.get_one(AssignmentRow, check.item)
    facts = _facts(session, shown, before.response_a_id, before.response_b_id)
    return facts.pair(False, check.kind, check.probability, repeats_id=before.id)


def _fresh(session: Session, drawn: Draw[Reply], shown: Mapping[str, object], rng: Random) -> Pair:
    facts = _facts(session, shown, drawn.first.reply.id, drawn.second.reply.id)
    return facts.pair(facts.balanced(rng), drawn.kind, drawn.probability, uniform_probability=drawn.uniform)


class _Side(NamedTuple):
    """A response to be shown. `left` counts how often its LLM stood left of the other's, over all users."""

    id: int
    llm_id: int
    llm: str
    turns: Sequence[str]
    left: int


class _Facts(NamedTuple):
    """Two responses to one query, in no order yet."""

    first: _Side
    second: _Side
    query_id: int
    query: Query
    number: int

    def balanced(self, rng: Random) -> bool:
        """Whether the first goes to the left, such that each LLM of a pair is on either side equally often."""
        return balanced_sides(self.first.left, self.second.left, rng)

    def pair(self, first_left: bool, kind: Kind, probability: float, **beside: Any) -> Pair:
        """With the first on the left, or on the right."""
        a, b = (self.first, self.second) if first_left else (self.second, self.first)
        drawn = Drawn(self.query_id, a.id, b.id, a.llm_id, b.llm_id, kind.value, probability, **beside)
        left, right = (Response(self.query.query_id, LLMId(side.llm), tuple(side.turns)) for side in (a, b))
        return Pair(drawn, self.query, left, right, self.number)


def _facts(session: Session, shown: Mapping[str, object], first: int, second: int) -> _Facts:
    row = session.execute(_both(), {**shown, "first": first, "second": second}).one()
    query_id, key, turns, task, number, *sides = row
    one, other = _Side(first, *sides[:4]), _Side(second, *sides[4:])
    return _Facts(one, other, query_id, Query(QueryId(key), tuple(turns), task or ""), number + 1)


@cache
def _both() -> Select[Any]:
    query, task, earlier = table(QueryRow), table(TaskRow), table(AssignmentRow)
    (a, b), (llm_a, llm_b) = ([table(row).alias() for _ in range(2)] for row in (ResponseRow, LLMRow))
    mine = select(func.count()).where(earlier.c.user_id == bindparam("user_id", type_=Integer)).scalar_subquery()

    def left(one: Any, other: Any) -> ColumnElement[int]:
        there = (earlier.c.llm_a_id == one.c.llm_id) & (earlier.c.llm_b_id == other.c.llm_id)
        return select(func.count()).where(there).correlate(one, other).scalar_subquery()

    return (
        select(query.c.id, query.c.key, query.c.turns, task.c.name, mine)
        .add_columns(a.c.llm_id, llm_a.c.key, a.c.turns, left(a, b), b.c.llm_id, llm_b.c.key, b.c.turns, left(b, a))
        .select_from(a)
        .join(b, b.c.id == bindparam("second", type_=Integer))
        .join(query, query.c.id == a.c.query_id)
        .outerjoin(task, task.c.id == query.c.task_id)
        .join(llm_a, llm_a.c.id == a.c.llm_id)
        .join(llm_b, llm_b.c.id == b.c.llm_id)
        .where(a.c.id == bindparam("first", type_=Integer))
    )
