"""Small worlds for the tests of the store, a clock set by hand, a counter of statements, threads that start at once."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier, current_thread
from typing import Any

from sqlalchemy import event

from core.domain import (
    LLM,
    Bundle,
    Comparison,
    LLMId,
    Outcome,
    Query,
    QueryId,
    Response,
    ResponseId,
    Task,
    User,
    UserId,
)  # fmt: skip
from db.assignments import Assignment
from db.engine import Database
from db.preferences import PreferenceStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def response(query: Query, llm: LLM, words: str = "") -> Response:
    return Response(query.query_id, llm.llm_id, (words or f"{query.query_id} by {llm.llm_id}",))


def world(queries: int = 3, llms: int = 3, source: str = "pack", ratings: int = 0, user: str = "robot") -> Bundle:
    """Every LLM answers every query, differently; a simulated user rates the first pairs."""
    models = tuple(LLM(LLMId(f"llm-{i}")) for i in range(llms))
    posed = tuple(Query(QueryId(f"query-{i}"), (f"Question {i}?",), "task") for i in range(queries))
    said = tuple(response(query, llm) for query in posed for llm in models)
    rated = tuple(rating(f"{source}-{i}", posed[i % queries], models, user) for i in range(ratings))
    users = (User(UserId(user), simulated=True),) if ratings else ()
    return Bundle(source, users, (Task("task"),), models, posed, said, rated)


def rating(key: str, query: Query, llms: Sequence[LLM], user: str, outcome: Outcome = Outcome.A) -> Comparison:
    a, b = llms[:2]
    ids = [ResponseId(response(query, llm).response_id) for llm in (a, b)]
    return Comparison(UserId(user), query.query_id, a.llm_id, b.llm_id, outcome, ids[0], ids[1], key, NOON)


def asked(store: PreferenceStore, user: UserId) -> Assignment:
    """What the user is asked now, where there must be something left."""
    assignment = store.assign(user)
    assert assignment is not None
    return assignment


@contextmanager
def statements(database: Database, beside: Collection[str] = ()) -> Iterator[list[str]]:
    """The SQL statements sent meanwhile, without those that only begin or configure, and those of threads of the names
    `beside`.
    """
    sent: list[str] = []

    def keep(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if current_thread().name not in beside and not statement.startswith(("BEGIN", "PRAGMA")):
            sent.append(statement)

    for engine in database._engines:
        event.listen(engine, "before_cursor_execute", keep)
    try:
        yield sent
    finally:
        for engine in database._engines:
            event.remove(engine, "before_cursor_execute", keep)


def at_once(times: int, work: Callable[[int], Any]) -> list[Any]:
    """The results of `work(0..times-1)`, in threads started together; an exception is a result."""
    barrier = Barrier(times)

    def run(i: int) -> Any:
        barrier.wait()
        try:
            return work(i)
        except Exception as error:  # noqa: BLE001  the test looks at it
            return error

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))
