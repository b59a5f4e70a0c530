"""Histories: what people have said, kept in memory and turned over by fact: with every rating, edit, withdrawal,
removal, and change of an LLM, whoever made it in whatever process.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, func, select

from core.dataset import PreferenceDataset
from core.domain import LLM, LLMId, Query, QueryId, UserId
from db.drift import mark
from db.engine import Database
from db.models import ComparisonRow, LLMRow, UserRow
from db.preferences import PreferenceStore

MOST_KEPT = 10_000  # people; what they said takes some 10 kB each (`python -m benchmarks latency`)

# Events are only ever added, and removed with their source or their person: equal greatest id and number, equal
# ratings. Which of them route is the person's choice.
_USER = select(UserRow.id).where(UserRow.name == bindparam("user")).scalar_subquery()
_EVENTS = select(func.max(ComparisonRow.id), func.count(ComparisonRow.id), mark(_USER)).where(
    ComparisonRow.user_id == _USER
)
_LLMS = select(
    LLMRow.key, LLMRow.name, LLMRow.family, LLMRow.description, LLMRow.input_price, LLMRow.output_price,
    LLMRow.endpoint,
).order_by(LLMRow.id)  # fmt: skip


@dataclass(slots=True)
class _Known:
    events: Any
    history: PreferenceDataset


class Histories:
    """One per process, shared by its threads."""

    def __init__(self, database: Database, most: int = MOST_KEPT) -> None:
        self._database, self._store, self._most = database, PreferenceStore(database), most
        self._lock = threading.Lock()
        self._known: OrderedDict[UserId, _Known] = OrderedDict()
        self._queries: dict[QueryId, Query] = {}  # the same query of many people is one value
        self._llms: tuple[object, tuple[LLM, ...]] = ((), ())

    def of(self, user: UserId) -> PreferenceDataset:
        """What this user said that is in force, over all LLMs; empty for a stranger. The same object until a fact
        changes.
        """
        with self._database.read() as session:
            events = tuple(session.execute(_EVENTS, {"user": user}).one())
            rows = tuple(tuple(row) for row in session.execute(_LLMS))
        with self._lock:
            if self._llms[0] != rows:
                self._llms = rows, tuple(_llm(*row) for row in rows)
                self._known.clear()
            known = self._known.get(user)
            if known is not None and known.events == events:
                self._known.move_to_end(user)
                return known.history
        history = self._store.history(user)  # newer than `events`, at worst: then it is read again next time
        with self._lock:
            history = replace(history, queries=tuple(self._queries.setdefault(q.query_id, q) for q in history.queries))
            if history.llms == self._llms[1]:
                history = replace(history, llms=self._llms[1])
                self._known[user] = _Known(events, history)
                self._known.move_to_end(user)
                self._forget()
        return history

    def _forget(self) -> None:
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        if len(self._queries) > 20 * self._most:
            self._queries.clear()


def _llm(key: Any, *facts: Any) -> LLM:
    return LLM(LLMId(key), *facts)
