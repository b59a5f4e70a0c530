"""What is known of everyone who rates, and where they disagree: read-only, in a fixed number of statements.

Withdrawn ratings are left out; second answers and gold items stand apart from what people were asked once.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import CTE, Select, and_, case, func, literal_column, or_, select
from sqlalchemy.orm import Session, aliased

from core.domain import LLMId, Outcome, Query, QueryId, Response, UserId
from core.quality import Agreement, Answer, Part, Rater, agreement, surprises
from db.engine import Database
from db.events import in_force, latest
from db.models import (
    AdjudicationRow,
    AssignmentRow,
    AuditEventRow,
    ComparisonRow,
    GoldRow,
    LLMRow,
    QueryRow,
    ResponseRow,
    TaskRow,
    UserRow,
)  # fmt: skip

SWAPPED = {Outcome.A: Outcome.B, Outcome.B: Outcome.A}


class _Said(NamedTuple):
    """A rating in force; `longer` is 1 where A's response is the longer one, -1 where B's is."""

    user_id: int
    query_id: int
    response_a: int
    response_b: int
    llm_a: int
    llm_b: int
    outcome: Outcome
    dwell_ms: int | None
    longer: int
    gold_id: int | None
    repeats_id: int | None
    assignment_id: int | None

    @property
    def unit(self) -> tuple[int, int, int]:
        """The pair of responses, whichever stood where."""
        low, high = sorted((self.response_a, self.response_b))
        return self.query_id, low, high

    @property
    def canonical(self) -> Outcome:
        """The outcome as if the response of the lower id had been A."""
        return self.outcome if self.response_a < self.response_b else SWAPPED.get(self.outcome, self.outcome)


@dataclass(frozen=True, slots=True)
class Raters:
    """Everyone who rated, most ratings first, and how far they agree where several rated the same pair."""

    raters: tuple[Rater, ...]
    overlap: Agreement


def raters(database: Database) -> Raters:
    """What is known of everyone who gave a rating that is in force."""
    with database.read() as session:
        users = {row.id: row for row in session.scalars(select(UserRow))}
        said = _said(session)
        quick = _too_quick(session)
        items = session.execute(select(GoldRow.id, GoldRow.expected, GoldRow.response_a_id))
        known = {item: (expected, side) for item, expected, side in items}
    overlap = _overlap(said)
    surprise = _surprise(said)
    by_user: defaultdict[int, list[_Said]] = defaultdict(list)
    for one in said:
        by_user[one.user_id].append(one)
    first = {one.assignment_id: one for one in said if one.assignment_id is not None}
    found = []
    for user_id, mine in by_user.items():
        user, decisive = users[user_id], [one for one in mine if one.outcome in SWAPPED]
        dwells = [one.dwell_ms for one in mine if one.dwell_ms is not None]
        uneven = [one for one in decisive if one.longer]
        gold = [one for one in mine if one.gold_id is not None]
        again = [(one, first[one.repeats_id]) for one in mine if one.repeats_id in first and one.repeats_id]
        alpha, shared = overlap.by_user.get(user_id, (None, 0))
        found.append(Rater(
            UserId(user.name), user.simulated, len(mine), median(dwells) / 1000 if dwells else None,
            quick.get(user.name, 0),
            Part(sum(one.outcome == _as_shown(*known[one.gold_id or 0], one) for one in gold),
                 len(gold)),
            Part(sum(one.canonical == before.canonical for one, before in again), len(again)),
            Part(sum(one.outcome == Outcome.A for one in decisive), len(decisive)),
            Part(sum((one.outcome == Outcome.A) == (one.longer > 0) for one in uneven), len(uneven)),
            alpha, shared, tuple(surprise.get(user_id, ())), user.last_seen_at,
        ))  # fmt: skip
    found.sort(key=lambda rater: (-rater.ratings, rater.user))
    return Raters(tuple(found), overlap)


def _as_shown(expected: Outcome, on_side_a: int, said: _Said) -> Outcome:
    return expected if said.response_a == on_side_a else SWAPPED.get(expected, expected)


def _overlap(said: list[_Said]) -> Agreement:
    return agreement([Answer(one.user_id, one.unit, one.canonical) for one in said if one.repeats_id is None])


def _surprise(said: list[_Said]) -> dict[int, list[float]]:
    """The p-values of each user's ratings among everybody's of the same two LLMs."""

    def about(one: _Said) -> tuple[tuple[int, int], Outcome]:
        if one.llm_a < one.llm_b:
            return (one.llm_a, one.llm_b), one.outcome
        return (one.llm_b, one.llm_a), SWAPPED.get(one.outcome, one.outcome)

    fresh = [one for one in said if one.repeats_id is None and one.gold_id is None]
    counts: defaultdict[Any, Counter[Any]] = defaultdict(Counter)
    for one in fresh:
        matter, answer = about(one)
        counts[matter][answer] += 1
    p = surprises(counts)
    found: defaultdict[int, list[float]] = defaultdict(list)
    for one in fresh:
        matter, answer = about(one)
        found[one.user_id].append(p[matter][answer])
    return found


def _said(session: Session) -> list[_Said]:
    it, words = ComparisonRow, _characters(session)
    a, b = words.alias(), words.alias()
    longer = func.sign(a.c.characters - b.c.characters)
    rows = session.execute(
        select(it.user_id, it.query_id, it.response_a_id, it.response_b_id, it.llm_a_id, it.llm_b_id, it.outcome)
        .add_columns(func.coalesce(it.dwell_ms, _first_dwell()), longer)
        .add_columns(AssignmentRow.gold_id, AssignmentRow.repeats_id, it.assignment_id)
        .select_from(it)
        .outerjoin(AssignmentRow, AssignmentRow.id == it.assignment_id)
        .join(a, a.c.id == it.response_a_id)
        .join(b, b.c.id == it.response_b_id)
        .where(in_force())
        .order_by(it.id)
    )
    return [_Said(*row) for row in rows]


def _first_dwell() -> Any:
    """Of an edit, the time the first answer took."""
    first = aliased(ComparisonRow)
    chain = (first.assignment_id == ComparisonRow.assignment_id, first.dwell_ms.is_not(None))
    return select(func.min(first.dwell_ms)).where(*chain).correlate(ComparisonRow).scalar_subquery()


def _characters(session: Session) -> CTE:
    turns = ResponseRow.turns
    if session.get_bind().dialect.name == "postgresql":
        length = func.length(turns.op("->>")(literal_column("-1")))
    else:
        length = func.length(func.json_extract(turns, literal_column("'$[#-1]'")))
    return select(ResponseRow.id, length.label("characters")).cte("words").prefix_with("MATERIALIZED")


def _too_quick(session: Session) -> Mapping[str, int]:
    counted = select(AuditEventRow.actor, func.count()).where(AuditEventRow.action == "too_quick")
    return dict(session.execute(counted.group_by(AuditEventRow.actor)).all())


@dataclass(frozen=True, slots=True)
class Moment:
    """One rating of a user's timeline, in the order given. `seconds` None where it was not timed."""

    at: datetime | None
    outcome: Outcome
    seconds: float | None
    purpose: str


def timeline(database: Database, user: UserId) -> list[Moment]:
    """Every rating of a user that is in force, the oldest first."""
    purpose = func.coalesce(AssignmentRow.reason, "imported")
    rows = (
        select(ComparisonRow.rated_at, ComparisonRow.outcome, ComparisonRow.dwell_ms, purpose)
        .outerjoin(AssignmentRow, AssignmentRow.id == ComparisonRow.assignment_id)
        .join(UserRow, UserRow.id == ComparisonRow.user_id)
        .where(UserRow.name == user, in_force())
        .order_by(ComparisonRow.id)
    )
    with database.read() as session:
        return [
            Moment(at, said, None if dwell is None else dwell / 1000, why)
            for at, said, dwell, why in session.execute(rows)
            if said is not None
        ]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A pair on which users prefer different sides. `said` is who said what, as shown here: to be told only to someone
    who has decided for themselves.
    """

    query: Query
    response_a: Response
    response_b: Response
    ids: tuple[int, int, int]
    said: tuple[tuple[UserId, Outcome], ...]


def disagreements(database: Database, limit: int = 50) -> list[Disagreement]:
    """Pairs that several people rated, some preferring one response and some the other, and nobody has decided yet."""
    with database.read() as session:
        found = list(islice(_disputed(session), limit))
        return [_disagreement(session, ids) for ids in found]


def _disputed(session: Session) -> Iterator[tuple[int, int, int]]:
    low, high = _ordered()
    first = _prefers(low)
    second = _prefers(high)
    rows = session.execute(
        select(ComparisonRow.query_id, low, high)
        .where(in_force(), ComparisonRow.outcome.in_([Outcome.A, Outcome.B]))
        .group_by(ComparisonRow.query_id, low, high)
        .having(first > 0, second > 0)
        .order_by(func.count().desc(), ComparisonRow.query_id, low)
    )
    decided = {tuple(row) for row in session.execute(
        select(AdjudicationRow.query_id, AdjudicationRow.response_a_id, AdjudicationRow.response_b_id)
    )}  # fmt: skip
    for query, a, b in rows:
        if (query, a, b) not in decided:
            yield query, a, b


def _ordered() -> tuple[Any, Any]:
    a, b = ComparisonRow.response_a_id, ComparisonRow.response_b_id
    return case((a < b, a), else_=b), case((a < b, b), else_=a)


def _prefers(response: Any) -> Any:
    a = and_(ComparisonRow.outcome == Outcome.A, ComparisonRow.response_a_id == response)
    b = and_(ComparisonRow.outcome == Outcome.B, ComparisonRow.response_b_id == response)
    return func.sum(case((or_(a, b), 1), else_=0))


def _disagreement(session: Session, ids: tuple[int, int, int]) -> Disagreement:
    query_id, a, b = ids
    key, turns, task = session.execute(
        select(QueryRow.key, QueryRow.turns, TaskRow.name)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .where(QueryRow.id == query_id)
    ).one()
    shown: Select[str, list[str]] = select(LLMRow.key, ResponseRow.turns).join(LLMRow, LLMRow.id == ResponseRow.llm_id)
    left, right = (
        Response(QueryId(key), LLMId(llm), tuple(said))
        for llm, said in (session.execute(shown.where(ResponseRow.id == side)).one() for side in (a, b))
    )
    both = (ComparisonRow.query_id == query_id, ComparisonRow.response_a_id.in_((a, b)),
            ComparisonRow.response_b_id.in_((a, b)), latest(), ComparisonRow.outcome.is_not(None))  # fmt: skip
    rows = session.execute(
        select(UserRow.name, ComparisonRow.response_a_id, ComparisonRow.outcome)
        .join(UserRow, UserRow.id == ComparisonRow.user_id)
        .where(*both)
        .order_by(ComparisonRow.id)
    )
    said = tuple(
        (UserId(name), outcome if first == a else SWAPPED.get(outcome, outcome)) for name, first, outcome in rows
        if outcome is not None
    )  # fmt: skip
    return Disagreement(Query(QueryId(key), tuple(turns), task or ""), left, right, ids, said)
