"""Histories: what people have said, kept in memory and turned over by fact: with every rating, edit, withdrawal,
removal, and change of an LLM, whoever made it in whatever process.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, select

from core.dataset import PreferenceDataset
from core.domain import LLM, LLMId, Query, QueryId, UserId
from db.base import table
from db.drift import mark
from db.engine import Database
from db.models import ComparisonRow, LLMRow, RouterActivationRow, UserRow
from db.preferences import PreferenceStore

MOST_KEPT = 10_000  # people; what they said takes some 10 kB each (`python -m benchmarks latency`)

_said, _users, _llms = table(ComparisonRow).c, table(UserRow).c, table(LLMRow).c
_served = table(RouterActivationRow).c
# Events are only ever added, and removed with their source or their person: equal greatest id and number, equal
# ratings. Which of them route is the person's choice.
_USER = select(_users.id).where(_users.name == bindparam("user")).scalar_subquery()
_FACTS = select(
    select(_served.version_id).order_by(_served.id.desc()).limit(1).scalar_subquery(),
    func.max(_said.id),
    func.count(_said.id),
    mark(_USER),
).where(_said.user_id == _USER)
_LLMS = select(
    _llms.key, _llms.name, _llms.family, _llms.description, _llms.input_price, _llms.output_price, _llms.endpoint
).order_by(_llms.id)


class Facts(NamedTuple):
    """What a decision hangs on, read in one glance: the version in service, if any, this user's events and which
    of them count, the LLMs.
    """

    version: int | None
    events: tuple[Any, ...]
    llms: tuple[tuple[Any, ...], ...]


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

    def facts(self, user: UserId) -> Facts:
        """What holds now."""
        return self.facts_of([user])[user]

    def facts_of(self, users: Iterable[UserId]) -> dict[UserId, Facts]:
        """What holds now for several people."""
        with self._database.glance() as connection:
            llms = tuple(map(tuple, connection.execute(_LLMS)))
            found = {}
            for user in set(users):
                version, *events = connection.execute(_FACTS, {"user": user}).one()
                found[user] = Facts(version, tuple(events), llms)
            return found

    def llms(self, facts: Facts) -> tuple[LLM, ...]:
        """The LLMs of these facts; the same object as long as they are the newest."""
        with self._lock:
            return self._newest(facts)

    def of(self, user: UserId, facts: Facts | None = None) -> PreferenceDataset:
        """What this user said that is in force, over all LLMs; empty for a stranger. The same object until a fact
        changes. `facts` are those of this user, where they were read already.
        """
        facts = facts or self.facts(user)
        with self._lock:
            self._newest(facts)
            known = self._known.get(user)
            if known is not None and known.events == facts.events:
                self._known.move_to_end(user)
                return known.history
        history = self._store.history(user)  # newer than the facts, at worst: then it is read again next time
        with self._lock:
            history = replace(history, queries=tuple(self._queries.setdefault(q.query_id, q) for q in history.queries))
            if history.llms == self._llms[1]:
                history = replace(history, llms=self._llms[1])
                self._known[user] = _Known(facts.events, history)
                self._known.move_to_end(user)
                self._forget()
        return history

    def _newest(self, facts: Facts) -> tuple[LLM, ...]:
        if self._llms[0] != facts.llms:
            self._llms = facts.llms, tuple(_llm(*row) for row in facts.llms)
            self._known.clear()
        return self._llms[1]

    def _forget(self) -> None:
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        if len(self._queries) > 20 * self._most:
            self._queries.clear()


def _llm(key: Any, *facts: Any) -> LLM:
    return LLM(LLMId(key), *facts)
