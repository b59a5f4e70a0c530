"""Ratings counted in the database, cell by cell: what a leaderboard reads, in as many statements however many there
are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import CTE, ColumnElement, Select, and_, case, func, literal, literal_column, select, union
from sqlalchemy.orm import Session

from core.domain import OUTCOMES, UserId
from core.tally import EXCLUDED, GOLD, REPEAT, WITHDRAWN, Floats, Tally
from core.traits import STYLE, style
from db import snapshots
from db.engine import Database
from db.events import latest_of_all
from db.measures import weights_in_force
from db.models import (
    AssignmentRow,
    CampaignRow,
    ComparisonRow,
    LLMRow,
    ProfileRow,
    QueryRow,
    ResponseRow,
    TaskRow,
    UserRow,
)  # fmt: skip

Span = tuple[datetime | None, datetime | None]  # from the first moment, to before the second; None: no limit

NOBODY: Mapping[UserId, float] = {}
EVER: Span = (None, None)
STREAMED = 1000  # texts in memory at a time
MOST_STYLED = 25_000  # ratings whose words are read and whose style is weighed one by one

_CELL = ("llm_a", "llm_b", "outcome", "task", "simulated", "standing", "group", "use", "dated", "longer")
_RATING = (*_CELL[:-1], "response_a", "response_b")


def tally(database: Database, as_if: Mapping[UserId, float] = NOBODY, span: Span = EVER) -> Tally:
    """All ratings ever given, also those taken back, counted by who won, task, kind of user, campaign or file, longer
    side, what the rater mostly uses LLMs for, and whether they were given in `span`; one of unknown time is in none
    that has an end.

    `as_if` gives users another weight than they have, 0 excludes them: what a measure would do to a leaderboard.
    """
    with database.read() as session:
        rows = _rows(session, _CELL, as_if, span).subquery()
        keys, weight = [rows.c[name] for name in _CELL], rows.c.weight
        counted = select(*keys, func.count(), func.sum(weight), func.sum(weight * weight)).group_by(*keys)
        return _as_tally(session, _columns(session, counted, (*_CELL, "count", "weight", "weight_squared")))


def styled_tally(database: Database, span: Span = EVER) -> Tally:
    """The same rating by rating with the style of both responses, but not which was longer. Reads the texts; of more
    than MOST_STYLED ratings every second, third, ..., and says how many are left.
    """
    with database.read() as session:
        given = session.scalar(select(func.count()).select_from(ComparisonRow).where(latest_of_all())) or 0
        among = ComparisonRow.id % literal_column(str(-(-given // MOST_STYLED) or 1)) == literal_column("0")
        columns = _columns(
            session, _rows(session, _RATING, NOBODY, span).where(among).order_by(ComparisonRow.id), (*_RATING, "weight")
        )
        n, weight = len(columns["weight"]), np.array(columns["weight"], float)
        columns |= {"longer": np.zeros(n), "count": np.ones(n), "weight_squared": weight**2}
        styles = _styles(session, among, columns["response_a"], columns["response_b"])
        return replace(_as_tally(session, columns), style=styles, unread=given - n)


def _columns(session: Session, statement: Select[*tuple[Any, ...]], names: tuple[str, ...]) -> dict[str, Any]:
    rows = session.execute(statement).all()
    return dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))


def _as_tally(session: Session, columns: dict[str, Any]) -> Tally:
    llms = snapshots.llms(session)
    ids = session.scalars(select(LLMRow.id).order_by(LLMRow.id)).all()
    tasks = session.execute(select(TaskRow.id, TaskRow.name).order_by(TaskRow.name)).all()
    llm_row = {row: i for i, row in enumerate(ids)}

    def column(name: str, code: dict[Any, int] | None = None) -> Any:
        values = columns[name]
        return np.array([code[value] for value in values] if code else values, np.int64)

    task_row: dict[Any, int] = {None: -1} | {row: i for i, (row, _) in enumerate(tasks)}
    outcome_code: dict[Any, int] = {None: WITHDRAWN} | {outcome: i for i, outcome in enumerate(OUTCOMES)}
    weight, squared = (np.array(columns[name], float) for name in ("weight", "weight_squared"))
    groups, uses = (sorted(set(columns[name])) for name in ("group", "use"))
    return Tally(
        llms, tuple(name for _, name in tasks), column("llm_a", llm_row), column("llm_b", llm_row),
        column("outcome", outcome_code), column("task", task_row), column("simulated").astype(bool),
        column("longer"), column("standing"), column("count"), weight, squared,
        groups=tuple(groups), group=column("group", {name: i for i, name in enumerate(groups)}),
        uses=tuple(use for use in uses if use),
        use=column("use", {name: i - ("" in uses) for i, name in enumerate(uses)}),
        dated=column("dated").astype(bool),
    )  # fmt: skip


def _rows(
    session: Session, names: tuple[str, ...], as_if: Mapping[UserId, float], span: Span
) -> Select[*tuple[Any, ...]]:
    """The last event of every rating: the columns named and its weight.

    The weight is its author's, times what a uniform draw would have given its pair over the probability it was drawn
    with (1 for imports): so all ratings together stand for pairs drawn uniformly, and no weight grows without bound.
    """
    it = ComparisonRow
    given = weights_in_force().subquery()
    author: ColumnElement[float] = func.coalesce(given.c.weight, literal_column("1.0"))
    if as_if:
        author = case(*((UserRow.name == user, literal(weight)) for user, weight in as_if.items()), else_=author)
    drawn = func.coalesce(AssignmentRow.uniform_probability / AssignmentRow.probability, literal_column("1.0"))
    standing = case(
        (AssignmentRow.gold_id.is_not(None), GOLD), (AssignmentRow.repeats_id.is_not(None), REPEAT),
        (author <= 0, EXCLUDED), else_=0,
    )  # fmt: skip
    known: dict[str, ColumnElement[Any]] = {
        "llm_a": it.llm_a_id.expression, "llm_b": it.llm_b_id.expression, "outcome": it.outcome.expression,
        "task": QueryRow.task_id.expression, "simulated": UserRow.simulated.expression,
        "standing": standing, "dated": _dated(span),
        "group": func.coalesce(CampaignRow.name, it.source),
        "use": func.coalesce(ProfileRow.mostly_for, literal_column("''")),
        "response_a": it.response_a_id.expression, "response_b": it.response_b_id.expression,
    }  # fmt: skip
    words = _characters(session)
    a, b = words.alias(), words.alias()
    if "longer" in names:
        known["longer"] = _longer(a.c.characters, b.c.characters)
    statement = (
        select(*(known[name].label(name) for name in names))
        .add_columns((author * drawn).label("weight"))
        .select_from(it)
        .join(UserRow, UserRow.id == it.user_id)
        .join(QueryRow, QueryRow.id == it.query_id)
        .outerjoin(AssignmentRow, AssignmentRow.id == it.assignment_id)
        .outerjoin(CampaignRow, CampaignRow.id == AssignmentRow.campaign_id)
        .outerjoin(ProfileRow, ProfileRow.user_id == it.user_id)
        .outerjoin(given, given.c.user_id == it.user_id)
        .where(latest_of_all())
    )
    if "longer" in names:
        statement = statement.join(a, a.c.id == it.response_a_id).join(b, b.c.id == it.response_b_id)
    return statement


def _dated(span: Span) -> ColumnElement[int]:
    """1 for a rating given in the span, else 0."""
    first, end = span
    limits = [ComparisonRow.rated_at >= first] if first else []
    limits += [ComparisonRow.rated_at < end] if end else []
    return case((and_(*limits), literal(1)), else_=literal(0)) if limits else literal(1)


def _longer(in_a: ColumnElement[int], in_b: ColumnElement[int]) -> ColumnElement[int]:
    """1 where A's judged reply has more characters, -1 where B's has; 0 where equal, as two unknown, empty ones are."""
    return case((in_a > in_b, literal(1)), (in_a < in_b, literal(-1)), else_=literal(0))


def _characters(session: Session) -> CTE:
    """Of every judged reply. Materialised: each text is measured once and not once a rating, a third of the time."""
    turns = ResponseRow.turns
    if session.get_bind().dialect.name == "postgresql":
        length = func.length(turns.op("->>")(literal_column("-1")))
    else:
        length = func.length(func.json_extract(turns, literal_column("'$[#-1]'")))
    return select(ResponseRow.id, length.label("characters")).cte("words").prefix_with("MATERIALIZED")


def _styles(
    session: Session, among: ColumnElement[bool], responses_a: Sequence[int], responses_b: Sequence[int]
) -> Floats:
    """[N, 2 K]: the style of A's and of B's response, NaN where both are without words, as imports of bare choices."""
    shown = union(*(select(side).where(among) for side in (ComparisonRow.response_a_id, ComparisonRow.response_b_id)))
    found = session.execute(
        select(ResponseRow.id, ResponseRow.turns)
        .where(ResponseRow.id.in_(shown))
        .order_by(ResponseRow.id)
        .execution_options(yield_per=STREAMED)
    )
    ids, counts = [], []
    for row, turns in found:
        ids.append(row)
        counts.append(style(turns[-1]))
    table, known = np.array(counts, float).reshape(-1, len(STYLE)), np.array(ids, np.int64)
    sides = [table[np.searchsorted(known, np.array(side, np.int64))] for side in (responses_a, responses_b)]
    wordless = (sides[0][:, 0] == 0) & (sides[1][:, 0] == 0)
    return np.where(wordless[:, None], np.nan, np.hstack(sides))
