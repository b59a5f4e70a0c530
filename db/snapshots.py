"""Ratings in force as values of the core: indexed arrays for routers, domain values one by one for exports."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Row, Select, select, union
from sqlalchemy.orm import Session, aliased

from core.dataset import PreferenceDataset
from core.domain import (
    LLM,
    OUTCOMES,
    Comparison,
    LLMId,
    Query,
    QueryId,
    Response,
    ResponseId,
    User,
    UserId,
)  # fmt: skip
from db import response_traits
from db.base import parts
from db.drift import routes
from db.events import in_force, is_test
from db.measures import author_weights, excluded
from db.models import ComparisonRow, LLMRow, QueryRow, RatingDetailRow, ResponseRow, TaskRow, UserRow

GOLDEN = 0.6180339887498949  # multiples of it fall evenly into [0, 1), wherever one begins
STREAMED = 1000  # rows in memory at a time while an export runs


def everyone(session: Session, upto: datetime | None = None) -> PreferenceDataset:
    """All ratings in force but tests, in the order they were given, in six statements whatever their number.

    Of people who were excluded there are none, and of those whose ratings count half, every second one: so every
    router, whatever it learns, gives them that weight.
    """
    weights = author_weights(session, upto)
    rows = [
        row for row in session.execute(_columns().where(in_force(upto), ~is_test()))
        if counts(row.id, weights.get(row.user_id, 1.0))
    ]  # fmt: skip
    names = dict(
        session.execute(select(UserRow.id, UserRow.name).where(UserRow.id.in_(select(ComparisonRow.user_id)))).all()
    )
    return _dataset(session, rows, {user: UserId(names[user]) for user in {row.user_id for row in rows}}, None)


def counts(comparison_id: int, weight: float) -> bool:
    """Whether a rating is among the share `weight` of its author's that counts: the same ones each time, spread over
    all, and those of a smaller weight among those of a larger.
    """
    return weight >= 1 or comparison_id * GOLDEN % 1.0 < weight


def one_user(session: Session, user: UserId, *, whole: bool = False) -> PreferenceDataset:
    """One user's ratings in force, without tests, over all LLMs, in five statements; of a stranger none.

    Without those from before a change of taste, where the person chose so, unless the `whole` is asked for.
    """
    user_id = session.scalar(select(UserRow.id).where(UserRow.name == user)) or 0
    theirs = _columns().where(ComparisonRow.user_id == user_id, in_force(), ~is_test())
    rows = session.execute(theirs if whole else theirs.where(routes())).all()
    return _dataset(session, rows, {user_id: user}, [user_id])


def some_users(session: Session, users: Sequence[int]) -> PreferenceDataset:
    """The ratings by which some users are routed, given by their rows' ids; each is in `users`, also who has none."""
    it = ComparisonRow
    routing = _columns().where(in_force(), ~is_test(), routes()).order_by(it.id)
    rows = [row for part in parts(users) for row in session.execute(routing.where(it.user_id.in_(part)))]
    names = {
        row.id: UserId(row.name)
        for part in parts(users)
        for row in session.execute(select(UserRow.id, UserRow.name).where(UserRow.id.in_(part)))
    }
    return _dataset(session, rows, names, users)


def _columns() -> Select[*tuple[Any, ...]]:
    it = ComparisonRow
    return select(
        it.id, it.user_id, it.query_id, it.llm_a_id, it.llm_b_id, it.outcome, it.rated_at,
        it.response_a_id, it.response_b_id, RatingDetailRow.choice,
    ).outerjoin(RatingDetailRow, RatingDetailRow.comparison_id == it.id)  # fmt: skip


def _dataset(
    session: Session, rows: Sequence[Row[*tuple[Any, ...]]], users: dict[int, UserId], only: Sequence[int] | None
) -> PreferenceDataset:
    code = {outcome: i for i, outcome in enumerate(OUTCOMES)}
    table = np.array(
        [
            (
                r.id, r.user_id, r.query_id, r.llm_a_id, r.llm_b_id, code[r.outcome], r.response_a_id, r.response_b_id,
                int(r.choice[:15], 16) if r.choice else -1,
            )
            for r in rows
        ],
        np.int64,
    ).reshape(-1, 9)  # fmt: skip
    time = np.array([r.rated_at.timestamp() if r.rated_at else 0.0 for r in rows], float)
    order = np.lexsort((table[:, 0], time))
    table, time = table[order], time[order]
    llms = session.scalars(_llms()).all()
    queries = _queries(session, table[:, 2], only)
    names = sorted((name, user_id) for user_id, name in users.items())
    traits, (response_a, response_b) = response_traits.of(session, table[:, 6:8].T, only)
    return PreferenceDataset(
        tuple(name for name, _ in names),
        tuple(query for _, query in queries),
        tuple(_llm(row) for row in llms),
        _rows_of(table[:, 1], [user_id for _, user_id in names]),
        _rows_of(table[:, 2], [query_id for query_id, _ in queries]),
        _rows_of(table[:, 3], [row.id for row in llms]),
        _rows_of(table[:, 4], [row.id for row in llms]),
        table[:, 5].astype(np.int8),
        time,
        table[:, 0].copy(),
        traits,
        response_a,
        response_b,
        table[:, 8].copy(),
    )


def _rows_of(ids: np.ndarray[Any, Any], known: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """[N] database ids as positions in `known`."""
    sorter = np.argsort(np.array(known, np.int64))
    return np.asarray(sorter[np.searchsorted(np.array(known, np.int64), ids, sorter=sorter)], np.int32)


def _queries(session: Session, occurring: np.ndarray[Any, Any], only: Sequence[int] | None) -> list[tuple[int, Query]]:
    named = select(ComparisonRow.query_id)
    if only is not None and len(only) == 1:
        named = named.where(ComparisonRow.user_id == only[0])
    present = set(np.unique(occurring).tolist())  # without those whose every rating was withdrawn
    rows = session.execute(
        select(QueryRow.id, QueryRow.key, QueryRow.turns, TaskRow.name)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .where(QueryRow.id.in_(named))
        .order_by(QueryRow.id)
    )
    return [(i, Query(QueryId(key), tuple(turns), task or "")) for i, key, turns, task in rows if i in present]


def _llms() -> Select[LLMRow]:
    return select(LLMRow).order_by(LLMRow.id)


def _llm(row: LLMRow) -> LLM:
    return LLM(LLMId(row.key), row.name, row.family, row.description, row.input_price, row.output_price, row.endpoint)


def llms(session: Session) -> tuple[LLM, ...]:
    """Every LLM there is."""
    return tuple(_llm(row) for row in session.scalars(_llms()))


def _said_by(user: UserId | None, upto: datetime | None = None) -> ColumnElement[bool]:
    if user is None:
        return in_force(upto) & ~is_test() & ComparisonRow.user_id.not_in(excluded(upto))
    return in_force(upto) & (ComparisonRow.user_id == select(UserRow.id).where(UserRow.name == user).scalar_subquery())


def comparisons(session: Session, user: UserId | None, upto: datetime | None = None) -> Iterator[Comparison]:
    """Ratings in force, now or as they stood then, of everyone or of one user, in the order they were stored."""
    a, b, llm_a, llm_b = aliased(ResponseRow), aliased(ResponseRow), aliased(LLMRow), aliased(LLMRow)
    rows = session.execute(
        select(UserRow.name, QueryRow.key, llm_a.key, llm_b.key, ComparisonRow.outcome, a.key, b.key)
        .add_columns(ComparisonRow.key, ComparisonRow.rated_at, RatingDetailRow.choice)
        .select_from(ComparisonRow)
        .outerjoin(RatingDetailRow, RatingDetailRow.comparison_id == ComparisonRow.id)
        .join(UserRow, UserRow.id == ComparisonRow.user_id)
        .join(QueryRow, QueryRow.id == ComparisonRow.query_id)
        .join(llm_a, llm_a.id == ComparisonRow.llm_a_id)
        .join(llm_b, llm_b.id == ComparisonRow.llm_b_id)
        .join(a, a.id == ComparisonRow.response_a_id)
        .join(b, b.id == ComparisonRow.response_b_id)
        .where(_said_by(user, upto))
        .order_by(ComparisonRow.id)
        .execution_options(yield_per=STREAMED)
    )
    with rows:  # who reads only the first few leaves no cursor open
        for name, query, left, right, outcome, said_a, said_b, key, rated_at, choice in rows:
            assert outcome is not None  # in force  # noqa: S101
            yield Comparison(
                UserId(name), QueryId(query), LLMId(left), LLMId(right), outcome, ResponseId(said_a),
                ResponseId(said_b), key, rated_at, choice or "",
            )  # fmt: skip


def users(session: Session, user: UserId | None, upto: datetime | None = None) -> Iterator[User]:
    """Those who gave the ratings in force."""
    named = select(ComparisonRow.user_id).where(_said_by(user, upto))
    rows = session.execute(select(UserRow.name, UserRow.simulated).where(UserRow.id.in_(named)).order_by(UserRow.id))
    for name, simulated in rows:
        yield User(UserId(name), simulated)


def queries(session: Session, user: UserId | None, upto: datetime | None = None) -> Iterator[Query]:
    """What the ratings in force are about."""
    named = select(ComparisonRow.query_id).where(_said_by(user, upto))
    rows = session.execute(
        select(QueryRow.key, QueryRow.turns, TaskRow.name)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .where(QueryRow.id.in_(named))
        .order_by(QueryRow.id)
        .execution_options(yield_per=STREAMED)
    )
    with rows:
        for key, turns, task in rows:
            yield Query(QueryId(key), tuple(turns), task or "")


def responses(session: Session, user: UserId | None, upto: datetime | None = None) -> Iterator[Response]:
    """Both sides of the ratings in force, each once."""
    shown = union(
        select(ComparisonRow.response_a_id).where(_said_by(user, upto)),
        select(ComparisonRow.response_b_id).where(_said_by(user, upto)),
    )
    rows = session.execute(
        select(QueryRow.key, LLMRow.key, ResponseRow.turns)
        .select_from(ResponseRow)
        .join(QueryRow, QueryRow.id == ResponseRow.query_id)
        .join(LLMRow, LLMRow.id == ResponseRow.llm_id)
        .where(ResponseRow.id.in_(shown))
        .order_by(ResponseRow.id)
        .execution_options(yield_per=STREAMED)
    )
    with rows:
        for query, llm, turns in rows:
            yield Response(QueryId(query), LLMId(llm), tuple(turns))
