"""Surveys of published routers: computed once, and anew only for those who have rated since.

Whoever looks first does not wait until everybody was asked: an even sample is, and the others follow beside the pages.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.dataset import PreferenceDataset
from core.domain import Query, QueryId, UserId
from core.encoders import TextEncoder
from core.errors import NotFound
from core.layout import Layout, lay_out_texts
from core.routers import load_router
from core.routers.base import Router, States, answers
from core.routers.vectors import EncodedOnce
from core.survey import Survey, by_task, evenly, states
from db.base import parts
from db.drift import mark
from db.engine import Database
from db.events import in_force_of_all
from db.models import ComparisonRow, QueryRow, TaskRow, UserRow
from db.preferences import PreferenceStore
from db.routers import RouterRegistry

MOST_PEOPLE = 3_500
MOST_MAPPED = 1_400  # queries; with the people and the LLMs some 5,000 points, which a browser moves smoothly
MOST_ASKED = 60  # queries that everybody is asked about
AT_ONCE = 80  # people who are asked while a page waits: each takes some 25 ms
LOT = 200  # at a time beside the pages
REST = 3.0  # times as long as asking a lot took, the thread then rests: pages come first
KEPT = 3  # versions in memory

log = logging.getLogger(__name__)


class Rater(NamedTuple):
    """A person as far as a survey must know: their row, how much they said, and a mark that changes with every word."""

    id: int
    name: UserId
    simulated: bool
    ratings: int
    mark: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Surveyed:
    """A survey with what it stands on. `survey.users` of `population` were asked (evenly sampled where they are too
    many), of `queries_known` queries `survey.mapped` are on the map and `survey.queries` were asked about. `to_come`
    more will have been asked soon.
    """

    version: int
    survey: Survey
    simulated: Mapping[UserId, bool]
    population: int
    queries_known: int
    to_come: int = 0


@dataclass(frozen=True, eq=False)
class _Kept:
    """What is in memory for one version: the router is not, it is as large as all of this."""

    queries: tuple[int, ...]
    marks: dict[UserId, tuple[int, ...]]
    surveyed: Surveyed


class Surveys:
    """The surveys of one database, in memory. Safe to share between threads: of pages one computes and the others wait
    for it; for what is computed beside them none waits.
    """

    def __init__(self, database: Database, encoder: TextEncoder) -> None:
        self._database, self._encoder = database, encoder
        self._store, self._registry = PreferenceStore(database), RouterRegistry(database)
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def of(self, version: int, first: UserId | None = None) -> Surveyed:
        """What this version tells everyone by what they have said up to now; of very many people first a sample, with
        `first` in it, and the others when it is asked for again later. Raises NotFound, CorruptArtifact.
        """
        surveyed = self._asked_some(version, first)
        if surveyed.to_come:
            self._ask_the_others(version)
        return surveyed

    def _asked_some(self, version: int, first: UserId | None) -> Surveyed:
        """At most AT_ONCE of those who were not asked since they last said something are asked now; and none but
        `first` while the others are being asked anyway.
        """
        everyone, known = self._facts()
        people = [everyone[i] for i in evenly(len(everyone), MOST_PEOPLE)]
        with self._lock:
            kept = self._current(version, known)
            waiting = _waiting(people, kept)
            ask = [waiting[i] for i in evenly(len(waiting), AT_ONCE)] if kept is None or not self._at_work() else []
            ask += [rater for rater in waiting if rater.name == first and rater not in ask]
            marks = (kept.marks if kept else {}) | {rater.name: rater.mark for rater in ask}
            here = [rater for rater in people if rater.name in marks]
            if kept is None or ask or len(here) < len(marks):
                surveyed = self._computed(version, here, known, (ask, kept.surveyed) if kept else None)
                self._keep(version, known, {rater.name: marks[rater.name] for rater in here}, surveyed)
            else:
                surveyed = kept.surveyed
                self._kept.move_to_end(version)
        to_come = len(waiting) - len(ask)
        return Surveyed(version, surveyed.survey, surveyed.simulated, len(everyone), len(known), to_come)

    def _facts(self) -> tuple[list[Rater], dict[int, str]]:
        with self._database.read() as session:
            return _raters(session), _query_tasks(session)

    def _current(self, version: int, known: dict[int, str]) -> _Kept | None:
        kept = self._kept.get(version)
        return kept if kept is not None and kept.queries == tuple(known) else None

    def _keep(self, version: int, known: dict[int, str], marks: dict[UserId, tuple[int, ...]], of: Surveyed) -> None:
        self._kept[version] = _Kept(tuple(known), marks, of)
        self._kept.move_to_end(version)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _at_work(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _ask_the_others(self, version: int) -> None:
        with self._lock:
            if not self._at_work():
                self._thread = threading.Thread(target=self._work, args=(version,), name="surveys", daemon=True)
                self._thread.start()

    def _work(self, version: int) -> None:
        try:
            router, left = self._router(version), True
            while left:
                began = time.monotonic()
                left = self._asked_lot(version, router)
                time.sleep(REST * (time.monotonic() - began) if left else 0)
        except Exception:  # whoever looks next tries again
            log.warning("The survey of version %d is not complete.", version, exc_info=True)

    def _asked_lot(self, version: int, router: Router) -> bool:
        """Ask LOT of those who wait, and whether more do. A page is held up only while the answers are put in their
        place, not while they are worked out.
        """
        everyone, known = self._facts()
        people = [everyone[i] for i in evenly(len(everyone), MOST_PEOPLE)]
        with self._lock:
            kept = self._current(version, known)
        waiting = _waiting(people, kept)
        if kept is None or not waiting:  # of other queries there is another survey: whoever looks next begins it
            return False
        ask = [waiting[i] for i in evenly(len(waiting), LOT)]
        of = kept.surveyed.survey
        fresh = _asked(router, of.queries, of.mapped, self._store.histories([rater.id for rater in ask]))
        with self._lock:
            kept = self._current(version, known)
            if kept is None or kept.surveyed.survey.queries is not of.queries:
                return False
            marks = kept.marks | {rater.name: rater.mark for rater in ask}
            here = [rater for rater in people if rater.name in marks]
            survey = _only(_joined(kept.surveyed.survey, fresh), [rater.name for rater in here])
            simulated = {rater.name: rater.simulated for rater in here}
            surveyed = Surveyed(version, survey, simulated, len(everyone), len(known))
            self._keep(version, known, {rater.name: marks[rater.name] for rater in here}, surveyed)
        return len(waiting) > len(ask)

    def texts(self) -> tuple[tuple[Query, ...], Layout]:
        """Queries by their text vectors alone: what can be seen before any training."""
        with self._database.read() as session:
            known = _query_tasks(session)
            mapped = _queries(session, [list(known)[i] for i in by_task(list(known.values()), MOST_MAPPED)])
        vectors = self._encoder.encode([query.text for query in mapped])
        return mapped, lay_out_texts(np.asarray(vectors, np.float64))

    def _computed(
        self, version: int, people: list[Rater], known: dict[int, str],
        before: tuple[list[Rater], Surveyed] | None,
    ) -> Surveyed:  # fmt: skip
        """The survey of `people`; with `before` only those given are asked, and the others' answers are taken over."""
        ask = people if before is None else before[0]
        if before is None:
            mapped_rows = by_task(list(known.values()), MOST_MAPPED)
            with self._database.read() as session:
                mapped = _queries(session, [list(known)[i] for i in mapped_rows])
            asked = tuple(mapped[i] for i in by_task([query.task for query in mapped], MOST_ASKED))
        else:
            mapped, asked = before[1].survey.mapped, before[1].survey.queries
        survey = None if before is None else before[1].survey
        if ask or survey is None:
            fresh = _asked(self._router(version), asked, mapped, self._store.histories([rater.id for rater in ask]))
            survey = fresh if survey is None else _joined(survey, fresh)
        assert survey is not None  # noqa: S101  asked now or before
        survey = _only(survey, [rater.name for rater in people])
        return Surveyed(version, survey, {rater.name: rater.simulated for rater in people}, len(people), len(known))

    def _router(self, version: int) -> Router:
        found = next((v for v in self._registry.versions() if v.id == version), None)
        if found is None:
            raise NotFound(f"There is no router version {version}.")
        return load_router(found.kind, self._registry.load(version), EncodedOnce(self._encoder))


def _asked(router: Router, asked: tuple[Query, ...], mapped: tuple[Query, ...], history: PreferenceDataset) -> Survey:
    ratings = np.bincount(history.user, minlength=len(history.users)).astype(np.int64)
    told = answers(router, asked, history).astype(np.float32)
    stranger = UserId("a stranger")
    average = router.predict_proba(stranger, asked).astype(np.float32)
    usual = router.predict_proba(stranger, mapped).argmax(1)
    return Survey(
        history.users, ratings, asked, router.llms, told, average, mapped, usual, states(router, mapped, history)
    )


def _waiting(people: list[Rater], kept: _Kept | None) -> list[Rater]:
    """Those who were not asked since they last said something."""
    return [rater for rater in people if kept is None or kept.marks.get(rater.name) != rater.mark]


def _joined(before: Survey, fresh: Survey) -> Survey:
    """Both surveys' people, by the fresh one where they are in both."""
    anew = set(fresh.users)
    stays = np.array([i for i, user in enumerate(before.users) if user not in anew], np.int64)
    return _people(before, stays, fresh)


def _only(survey: Survey, users: list[UserId]) -> Survey:
    row = {user: i for i, user in enumerate(survey.users)}
    return _people(survey, np.array([row[user] for user in users], np.int64), None)


def _people(survey: Survey, rows: NDArray[np.int64], more: Survey | None) -> Survey:
    """Some people of a survey, and all of another of the same router and queries."""

    def both(mine: NDArray[Any], other: NDArray[Any] | None) -> NDArray[Any]:
        return mine[rows] if other is None else np.concatenate([mine[rows], other])

    told = both(survey.probability, more.probability if more else None)
    place = survey.states
    if place is not None:
        other = more.states.users if more and more.states else None
        place = States(both(place.users, other), place.queries, place.llms)
    return Survey(
        (*(survey.users[i] for i in rows), *(more.users if more else ())),
        both(survey.ratings, more.ratings if more else None), survey.queries, survey.llms, told, survey.average,
        survey.mapped, survey.usual, place,
    )  # fmt: skip


def _raters(session: Session) -> list[Rater]:
    """Everyone with ratings in force, by name."""
    it = ComparisonRow
    rows = session.execute(
        select(UserRow.id, UserRow.name, UserRow.simulated, func.count(it.id), func.max(it.id), mark(UserRow.id))
        .join(it, (it.user_id == UserRow.id) & in_force_of_all())
        .group_by(UserRow.id)
        .order_by(UserRow.name)
    )
    return [Rater(i, UserId(name), simulated, n, (n, last, chose)) for i, name, simulated, n, last, chose in rows]


def _query_tasks(session: Session) -> dict[int, str]:
    """The task of every query, by the id of its row."""
    rows = session.execute(
        select(QueryRow.id, TaskRow.name).outerjoin(TaskRow, TaskRow.id == QueryRow.task_id).order_by(QueryRow.id)
    )
    return {i: task or "" for i, task in rows}


def _queries(session: Session, ids: list[int]) -> tuple[Query, ...]:
    rows = [
        row
        for part in parts(ids)
        for row in session.execute(
            select(QueryRow.key, QueryRow.turns, TaskRow.name)
            .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
            .where(QueryRow.id.in_(part))
            .order_by(QueryRow.id)
        )
    ]
    return tuple(Query(QueryId(key), tuple(turns), task or "") for key, turns, task in rows)
