"""What is known of everyone who rates, and where they disagree: read-only, in a fixed number of statements.

Withdrawn ratings are left out; second answers and gold items stand apart from what people were asked once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    and_,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
)  # fmt: skip
from sqlalchemy.orm import Session, aliased

from core.domain import LLMId, Outcome, Query, QueryId, Response, UserId
from core.quality import NOTHING, UNSURPRISING, Agreement, Part, Rater, Shared, Surprise, agreement
from db.engine import Database
from db.events import in_force, in_force_of_all, latest
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
DECISIVE = tuple(SWAPPED)


@dataclass(frozen=True, slots=True)
class Raters:
    """Everyone who rated, most ratings first, and how far they agree where several rated the same pair."""

    raters: tuple[Rater, ...]
    overlap: Agreement


def raters(database: Database) -> Raters:
    """What is known of everyone who gave a rating that is in force: summed up by the database, rating by rating."""
    with database.read() as session:
        users = session.execute(select(UserRow.id, UserRow.name, UserRow.simulated, UserRow.last_seen_at))
        known = {row.id: row for row in users.all()}
        sides, pace, again = _sides(session), _pace(session), _again(session)
        quick, overlap, surprise = _too_quick(session), _overlap(session), _surprise(session)
    found = []
    for user_id, (ratings, decisive, left, uneven, longer, tested, right) in sides.items():
        user = known[user_id]
        alpha, shared = overlap.by_user.get(user_id, (None, 0))
        found.append(Rater(
            UserId(user.name), user.simulated, ratings, pace.get(user_id), quick.get(user.name, 0),
            Part(right, tested), again.get(user_id, NOTHING), Part(left, decisive), Part(longer, uneven),
            alpha, shared, surprise.get(user_id, UNSURPRISING), user.last_seen_at,
        ))  # fmt: skip
    found.sort(key=lambda rater: (-rater.ratings, rater.user))
    return Raters(tuple(found), overlap)


def _times(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _swapped_if(swap: ColumnElement[bool], outcome: Any) -> ColumnElement[Any]:
    """The outcome as seen from the other side, where a condition holds."""
    a, b = (literal(side, ComparisonRow.outcome.type) for side in DECISIVE)
    return case((and_(swap, outcome == Outcome.A), b), (and_(swap, outcome == Outcome.B), a), else_=outcome)


def _canonical(said: Any) -> ColumnElement[Any]:
    """The outcome as if the response of the lower id had been A."""
    return _swapped_if(said.response_a_id > said.response_b_id, said.outcome)


def _sides(session: Session) -> dict[int, tuple[int, ...]]:
    """By user: ratings; of them decisive, won by A; decisive with a longer side, won by it; gold items, right ones."""
    it, words = ComparisonRow, _characters(session)
    a, b = words.alias(), words.alias()
    left, second = it.outcome == Outcome.A, it.outcome == Outcome.B
    decisive, uneven = it.outcome.in_(DECISIVE), a.c.characters != b.c.characters
    won = or_(and_(left, a.c.characters > b.c.characters), and_(second, a.c.characters < b.c.characters))
    right = it.outcome == _swapped_if(it.response_a_id != GoldRow.response_a_id, GoldRow.expected)
    rows = session.execute(
        select(it.user_id, func.count(), _times(decisive), _times(left), _times(and_(decisive, uneven)), _times(won))
        .add_columns(func.count(GoldRow.id), _times(right))
        .select_from(it)
        .join(a, a.c.id == it.response_a_id)
        .join(b, b.c.id == it.response_b_id)
        .outerjoin(AssignmentRow, AssignmentRow.id == it.assignment_id)
        .outerjoin(GoldRow, GoldRow.id == AssignmentRow.gold_id)
        .where(in_force_of_all())
        .group_by(it.user_id)
    )
    return {user: tuple(figures) for user, *figures in rows}


def _pace(session: Session) -> dict[int, float]:
    """By user: the median seconds of a rating, of those that were timed; of an edit, the time of the first answer."""
    it = ComparisonRow
    took = func.coalesce(it.dwell_ms, _first_dwell()).label("took")
    timed = select(it.user_id, took).where(
        in_force_of_all(), or_(it.dwell_ms.is_not(None), it.assignment_id.is_not(None))
    )
    one = timed.subquery()
    place = func.row_number().over(partition_by=one.c.user_id, order_by=one.c.took).label("place")
    n = func.count().over(partition_by=one.c.user_id).label("n")
    ranked = select(one.c.user_id, one.c.took, place, n).where(one.c.took.is_not(None)).subquery()
    middle = or_(ranked.c.place == (ranked.c.n + 1) // 2, ranked.c.place == (ranked.c.n + 2) // 2)
    medians = select(ranked.c.user_id, func.avg(ranked.c.took)).where(middle).group_by(ranked.c.user_id)
    return {user: float(milliseconds) / 1000 for user, milliseconds in session.execute(medians)}


def _first_dwell() -> Any:
    first = aliased(ComparisonRow)
    chain = (first.assignment_id == ComparisonRow.assignment_id, first.dwell_ms.is_not(None))
    return select(func.min(first.dwell_ms)).where(*chain).correlate(ComparisonRow).scalar_subquery()


def _again(session: Session) -> dict[int, Part]:
    """By user: how often the answer was the same when a pair came back with swapped sides."""
    it, before, later = ComparisonRow, aliased(ComparisonRow), aliased(ComparisonRow)
    superseded = select(later.id).where(later.supersedes_id == before.id).exists()
    rows = session.execute(
        select(it.user_id, _times(_canonical(it) == _canonical(before)), func.count())
        .join(AssignmentRow, AssignmentRow.id == it.assignment_id)
        .join(before, before.assignment_id == AssignmentRow.repeats_id)
        .where(in_force(), before.outcome.is_not(None), ~superseded)
        .group_by(it.user_id)
    )
    return {user: Part(same, n) for user, same, n in rows}


def _overlap(session: Session) -> Agreement:
    """Of the pairs that several people rated, whichever stood where; second answers apart."""
    it = ComparisonRow
    low, high = _ordered()
    said = (
        select(it.user_id, low.label("low"), high.label("high"), _canonical(it).label("value"))
        .outerjoin(AssignmentRow, AssignmentRow.id == it.assignment_id)
        .where(in_force_of_all(), AssignmentRow.repeats_id.is_(None))
        .subquery()
    )
    unit = (said.c.low, said.c.high)  # responses, which belong to one query
    counted = select(
        said.c.user_id, said.c.value,
        func.count().over(partition_by=unit).label("n"),
        func.count().over(partition_by=(*unit, said.c.value)).label("same"),
        func.min(said.c.user_id).over(partition_by=unit).label("first"),
        func.max(said.c.user_id).over(partition_by=unit).label("last"),
    ).subquery()  # fmt: skip
    c = counted.c
    differing = func.sum((c.n - c.same) * literal_column("1.0") / (c.n - 1))
    rows = session.execute(
        select(c.user_id, c.value, func.count(), differing, func.sum(literal_column("1.0") / c.n))
        .where(c.first != c.last)
        .group_by(c.user_id, c.value)
        .order_by(c.user_id, c.value)
    ).all()
    units = round(sum(float(share) for *_, share in rows))
    return agreement([Shared(user, value, n, float(apart)) for user, value, n, apart, _ in rows], units)


def _surprise(session: Session) -> dict[int, Surprise]:
    """By user: how rare their answers are among everybody's about the same two LLMs; tests and second answers apart.

    Each has a conformal p-value: the share of all answers to the matter (this one too) that are at most as common as
    it. Chatbot Arena's test for anomalous users combines such values by Fisher's method (Chiang et al. 2024).
    """
    it = ComparisonRow
    swap = it.llm_a_id > it.llm_b_id
    low, high = case((swap, it.llm_b_id), else_=it.llm_a_id), case((swap, it.llm_a_id), else_=it.llm_b_id)
    answer = _swapped_if(swap, it.outcome).label("answer")
    said = (
        select(it.user_id, low.label("low"), high.label("high"), answer)
        .outerjoin(AssignmentRow, AssignmentRow.id == it.assignment_id)
        .where(in_force_of_all(), AssignmentRow.repeats_id.is_(None), AssignmentRow.gold_id.is_(None))
        .subquery()
    )
    matter = (said.c.low, said.c.high)
    common = func.count().over(partition_by=(*matter, said.c.answer)).label("common")
    each = select(said.c.user_id, *matter, common).subquery()
    # cume_dist: the share of the rows that come before this one or are its equals, hence at most as common. A join with
    # the few shares there are would be read through for every rating: SQLite makes no index of it.
    share = func.cume_dist().over(partition_by=(each.c.low, each.c.high), order_by=each.c.common)
    rare = select(each.c.user_id, func.ln(share).label("log_p")).subquery()
    rows = session.execute(select(rare.c.user_id, func.count(), func.sum(rare.c.log_p)).group_by(rare.c.user_id))
    return {user: Surprise(n, float(log_p)) for user, n, log_p in rows}


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


def disputed(database: Database, most: int) -> list[tuple[int, int, int]]:
    """Ids of query and both responses, the lower first, of pairs that several people rated, some preferring one and
    some the other, and on which nobody has decided yet; at most so many, those with most ratings first.
    """
    low, high = _ordered()
    pairs = (
        select(ComparisonRow.query_id, low.label("low"), high.label("high"), func.count().label("n"))
        .where(in_force_of_all(), ComparisonRow.outcome.in_(DECISIVE))
        .group_by(ComparisonRow.query_id, low, high)
        .having(_prefers(low) > 0, _prefers(high) > 0)
        .subquery()
    )
    c, it = pairs.c, AdjudicationRow
    same = and_(it.query_id == c.query_id, it.response_a_id == c.low, it.response_b_id == c.high)
    decided = select(it.id).where(same).correlate(pairs).exists()
    waiting = select(c.query_id, c.low, c.high).where(~decided).order_by(c.n.desc(), c.query_id, c.low, c.high)
    with database.read() as session:
        return [(query, a, b) for query, a, b in session.execute(waiting.limit(most))]


def disagreement(database: Database, ids: tuple[int, int, int]) -> Disagreement:
    """One of `disputed` with all that is needed to decide on it."""
    with database.read() as session:
        return _disagreement(session, ids)


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
