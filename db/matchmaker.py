"""Matchmaker: which pairs would tell most about each person, worked out beside the pages and never while one waits."""

import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain
from queue import SimpleQueue
from random import Random

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.dataset import PreferenceDataset
from core.domain import Query, QueryId, UserId
from core.information import Asked, Pairs, arena_gain, shortlist, worth_asking
from core.matchmaking import Candidate, Suggestion, differing_pairs
from core.routers.base import Personal
from db import snapshots
from db.campaigns import asking
from db.draws import Reply
from db.engine import Database
from db.events import in_force_of_all, is_test
from db.models import ComparisonRow, LLMRow, QueryRow, ResponseRow, TaskRow, UserRow
from db.pools import in_campaign
from db.routers import RouterRegistry
from db.serving import Serving

log = logging.getLogger("prefroute.matchmaker")

QUERIES = 32  # drawn at random from those a person may still rate: what is scored at a time
KEPT = 2000  # people whose suggestions are kept
# Seconds for which a thread that works keeps the interpreter while others wait for it. A rating lets go of it some 40
# times, with every step of SQLite: at Python's own 5 ms it took 0.2 s and more while PyTorch was imported beside it.
GIVES_WAY = 0.0005
REST = 3.0  # times as long as a scoring took, the thread then rests: pages get most of the processor

Shown = tuple[Candidate[Reply], Candidate[Reply]]


class Matchmaker:
    """Suggestions for the people of one database. `suggestions` answers at once with what was worked out last; a thread
    of its own works out what comes next, one person at a time, with the router in service.
    """

    def __init__(self, database: Database, serving: Serving, rng: Random | None = None) -> None:
        self._database, self._serving, self._registry = database, serving, RouterRegistry(database)
        self._rng = rng or Random()
        self._lock = threading.Lock()
        self._kept: OrderedDict[UserId, tuple[Suggestion[Reply], ...]] = OrderedDict()
        self._waiting: set[UserId] = set()
        self._queue: SimpleQueue[UserId] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def suggestions(self, user: UserId) -> Sequence[Suggestion[Reply]]:
        """What was worked out last for this person, none before the first time; and newer ones are asked for."""
        with self._lock:
            if user not in self._waiting:
                self._waiting.add(user)
                self._queue.put(user)
            if self._thread is None:  # not before somebody rates: other processes open a database too
                sys.setswitchinterval(min(GIVES_WAY, sys.getswitchinterval()))
                self._thread = threading.Thread(target=self._work, name="matchmaker", daemon=True)
                self._thread.start()
            return self._kept.get(user, ())

    def score(self, user: UserId) -> tuple[Suggestion[Reply], ...]:
        """Work out the suggestions for a person now: from the posterior of the router in service, or by Arena's rule
        where it has none. None for a stranger, and where all who rate a query are shown the same.
        """
        with self._database.read() as session:
            user_id = session.scalar(select(UserRow.id).where(UserRow.name == user))
            shown = self._candidates(session, user_id) if user_id else {}
            if not shown:
                return ()
            queries = _queries(session, list(shown))
            history = snapshots.one_user(session, user)
            llms = {llm: row for row, llm in enumerate(session.scalars(select(LLMRow.id).order_by(LLMRow.id)))}
        every = [(row, pair) for row, query in enumerate(queries) for pair in shown[query]]
        pairs = Pairs(*(
            np.array(column, np.int64)
            for column in zip(*((row, llms[int(str(a.llm))], llms[int(str(b.llm))]) for row, (a, b) in every),
                              strict=True)
        ))  # fmt: skip
        found = self._asked(user, list(queries.values()), pairs, history)
        return tuple(
            Suggestion(every[i][1][0].reply, every[i][1][1].reply, float(weight))
            for i, weight in zip(found.positions, found.weights, strict=True)
        )

    def _asked(self, user: UserId, queries: list[Query], pairs: Pairs, history: PreferenceDataset) -> Asked:
        router = self._serving.service().router if self._registry.active() else None
        if isinstance(router, Personal):
            return worth_asking(router, user, queries, pairs, history, seed=self._rng.randrange(2**31))
        with self._database.read() as session:
            compared, won = _counts(session, len(history.llms))
        own = np.zeros_like(compared)
        np.add.at(own, (history.llm_a, history.llm_b), 1)
        gain = arena_gain(compared, won, own + own.T)[pairs.llm_a, pairs.llm_b]
        # Equal counts are the rule at the start: without the jitter the first pairs of every query would be taken.
        best = shortlist(pairs, gain * np.array([1 + 1e-6 * self._rng.random() for _ in gain]))
        return Asked(best, gain[best])

    def _candidates(self, session: Session, user_id: int) -> dict[int, list[Shown]]:
        """The pairs of LLMs of some queries that this person may rate, by the id of the query."""
        campaigns = [campaign for campaign in asking(session, user_id) if campaign.plan.overlap is None]
        left = [session.scalars(in_campaign(campaign, user_id, skipped=False)).all() for campaign in campaigns]
        some = sorted(set(chain.from_iterable(left)))
        some = self._rng.sample(some, min(QUERIES, len(some)))
        columns = ResponseRow.id, ResponseRow.query_id, ResponseRow.llm_id, ResponseRow.text_hash
        rows = session.execute(select(*columns).where(ResponseRow.query_id.in_(some)).order_by(ResponseRow.id))
        said: dict[int, list[Candidate[Reply]]] = {}
        for reply, query, llm, words in rows:
            said.setdefault(query, []).append(Candidate(Reply(reply, query), llm, words))
        return {
            query: [self._rng.choice(pairs) for pairs in differing_pairs(found).values()]
            for query, found in said.items()
        }

    def _work(self) -> None:
        while True:
            user = self._queue.get()
            started = time.monotonic()
            try:
                found = self.score(user)
            except Exception:
                log.warning("No suggestions for now.", exc_info=True)
                found = ()
            with self._lock:
                self._kept[user] = found
                self._kept.move_to_end(user)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
                self._waiting.discard(user)
            time.sleep(REST * (time.monotonic() - started))


def _queries(session: Session, ids: list[int]) -> dict[int, Query]:
    rows = session.execute(
        select(QueryRow.id, QueryRow.key, QueryRow.turns, TaskRow.name)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .where(QueryRow.id.in_(ids))
        .order_by(QueryRow.id)
    )
    return {row: Query(QueryId(key), tuple(turns), task or "") for row, key, turns, task in rows}


def _counts(session: Session, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[L, L] both: how often two LLMs were compared, and how often the row won with ties half."""
    it = ComparisonRow
    rows = session.execute(
        select(it.llm_a_id, it.llm_b_id, it.outcome, func.count())
        .where(in_force_of_all(), ~is_test())
        .group_by(it.llm_a_id, it.llm_b_id, it.outcome)
    )
    llms = {llm: row for row, llm in enumerate(session.scalars(select(LLMRow.id).order_by(LLMRow.id)))}
    won = np.zeros((size, size))
    for a, b, outcome, count in rows.all():
        if outcome is not None and llms[a] < size and llms[b] < size:
            won[llms[a], llms[b]] += outcome.label * count
            won[llms[b], llms[a]] += (1 - outcome.label) * count
    return won + won.T, won
