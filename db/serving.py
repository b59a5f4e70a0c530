"""The router in service: the active version, loaded once and shared, or the population's Bradley-Terry where there is
none yet.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from core.domain import LLM, LLMId, Outcome, Query, UserId
from core.encoders import RecentTexts, TextEncoder
from core.errors import NotFound
from core.explain import Nearest, Reason, explain, nearest_rated
from core.outcomes import OutcomeModel, Said
from core.routers import load_router
from core.routers.base import Onboards, Personal, Pooled, Probabilities, Router
from core.routers.bradley_terry import BradleyTerryRouter
from db.engine import Database
from db.known import Facts, Histories
from db.preferences import PreferenceStore
from db.routers import RouterRegistry

OTHERS_KEPT = 4  # versions in memory beside the one in service
NEAREST = 3  # rated queries that are shown beside a decision


@dataclass(frozen=True, eq=False)
class Service:
    """A router ready to predict. `version` is its number in the registry, None for the population fallback; `outcomes`
    tells all four outcomes from its probabilities, None where its card does not say how.
    """

    router: Router
    version: int | None
    outcomes: OutcomeModel | None = None

    @property
    def name(self) -> str:
        """How the router is called on screens and in `route --json`."""
        return f"{self.router.kind}-{self.version}" if self.version else "bradley_terry (no router trained yet)"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a router says to one person about Q queries: `probability` [Q, L] over `llms`, rows summing to 1;
    `ratings` counts those it knows of them.
    """

    service: Service
    llms: tuple[LLM, ...]
    probability: Probabilities
    ratings: int


class Choice(NamedTuple):
    """One LLM's place in a decision: its probability of being liked best, its 95 % interval where the router has a
    posterior, and what a stranger would get.
    """

    llm: LLMId
    name: str
    probability: float
    low: float | None
    high: float | None
    average: float
    input_price: float | None
    output_price: float | None


@dataclass(frozen=True)
class Decision:
    """What the router in service says to one person about one query. `choices` best first; `ratings` counts those it
    knows of them.

    `lead` is the posterior probability that the first choice is truly liked better than the second; None where the
    router has no posterior. `rungs` are the kinds of router behind the choice with their shares, most first; empty
    where it is one alone. `nearest` are the person's rated queries that read most like this one. `told` is what the
    person would say of the first two choices side by side, if that is known.
    """

    service: str
    version: int | None
    ratings: int
    choices: tuple[Choice, ...]
    lead: float | None
    reasons: tuple[Reason, ...]
    rungs: tuple[tuple[str, float], ...]
    nearest: tuple[Nearest, ...] = ()
    told: Mapping[Outcome, Said] | None = None


@dataclass(frozen=True, eq=False)
class _Onboarded:
    """A service with a column for each LLM that joined after training, and how much had been said of them by then."""

    newcomers: tuple[LLM, ...]
    met: int
    service: Service


class Serving:
    """Keeps the active router in memory and turns over by fact: when another version is activated, when ratings change
    the fallback, or when an LLM joins that the router was not trained on.
    """

    def __init__(self, database: Database, encoder: TextEncoder) -> None:
        self._store, self._registry = PreferenceStore(database), RouterRegistry(database)
        self._encoder = RecentTexts(encoder)
        self._lock = threading.Lock()
        self._loaded: tuple[object, Service] | None = None
        self._others: OrderedDict[int, Service] = OrderedDict()
        self._histories = Histories(database)
        self._onboarded: _Onboarded | None = None

    def service(self) -> Service:
        """The router in service now. Raises CorruptArtifact when its bytes are damaged."""
        active = self._registry.active_id()
        return self._service(active, () if active is None else self._store.llms())

    def _service(self, active: int | None, llms: tuple[LLM, ...]) -> Service:
        """The router of this version, or the population's, with a column for each of `llms`."""
        fact = self._store.revision() if active is None else active
        with self._lock:
            if self._loaded is None or self._loaded[0] != fact:
                self._loaded = fact, Service(self._population(), None) if active is None else self._load(active)
                self._onboarded = None
            return self._with_newcomers(self._loaded[1], llms)

    def _with_newcomers(self, trained: Service, llms: Sequence[LLM]) -> Service:
        """The service with every LLM there is, where its router can take in those it was not trained on.

        They find their place anew when a tenth more (or less) has been said of them: often at first, then rarely, since
        it reads all ratings.
        """
        router = trained.router
        newcomers = tuple(llm for llm in llms if llm.llm_id not in router.llms)
        if not newcomers or not isinstance(router, Onboards):
            return trained
        met, last = self._store.met(tuple(llm.llm_id for llm in newcomers)), self._onboarded
        if last is None or last.newcomers != newcomers or abs(met - last.met) > 0.1 * last.met:
            snapshot = self._store.snapshot()
            for llm in newcomers:
                router = router.with_llm(llm, snapshot) if isinstance(router, Onboards) else router
            last = self._onboarded = _Onboarded(newcomers, met, replace(trained, router=router))
        return last.service

    def version(self, number: int) -> Service:
        """A published router, in service or not. Raises NotFound and CorruptArtifact."""
        service = self.service()
        if service.version == number:
            return service
        with self._lock:
            if number in self._others:
                self._others.move_to_end(number)
                return self._others[number]
            loaded = self._load(number)
            self._others[number] = loaded
            if len(self._others) > OTHERS_KEPT:
                self._others.popitem(last=False)
            return loaded

    def facts(self, users: Iterable[UserId]) -> dict[UserId, Facts]:
        """What holds now for these people, for `predict`."""
        return self._histories.facts_of(users)

    def has_read(self, queries: Sequence[Query]) -> bool:
        """Whether the vectors of these queries are in memory."""
        return all(query.text in self._encoder for query in queries)

    def predict(
        self, user: UserId, queries: Sequence[Query], version: int | None = None, facts: Facts | None = None
    ) -> Prediction:
        """What the router in service, or another version, says about these queries: the fast way, without intervals
        and reasons. LLMs that are gone since have no part in it. `facts` are those of this user, where they were read
        already.
        """
        facts = facts or self._histories.facts(user)
        if version in (None, facts.version):
            service = self._service(facts.version, self._histories.llms(facts) if facts.version else ())
        else:
            service = self.version(version)
        history = self._histories.of(user, facts)
        by_id = {llm.llm_id: llm for llm in history.llms}
        columns = [i for i, llm in enumerate(service.router.llms) if llm in by_id]
        llms = tuple(by_id[service.router.llms[i]] for i in columns)
        if not columns:
            return Prediction(service, (), np.zeros((len(queries), 0)), len(history))
        probability = service.router.predict_proba(user, queries, history)
        if len(columns) < probability.shape[1]:
            probability = probability[:, columns]
            probability = probability / np.maximum(probability.sum(1, keepdims=True), 1e-300)
        return Prediction(service, llms, probability, len(history))

    def decide(self, user: UserId, query: Query, *, explained: bool = True) -> Decision:
        """Everything to show of one decision, from all that this person has said up to now.

        Reasons cost as many predictions as there are ratings; without `explained` there are none.
        """
        service, history = self.service(), self._histories.of(user)
        router = service.router
        own = router.predict_proba(user, [query], history)[0]  # [L]
        average = router.predict_proba(user, [query], None)[0]
        order = [int(i) for i in np.argsort(-own, kind="stable")]
        low: list[float | None] = [None] * len(own)
        high = low
        lead: float | None = None
        reasons: tuple[Reason, ...] = ()
        if isinstance(router, Personal):
            draws = router.predict_draws(user, [query], history)[:, 0]  # [N, L]
            low, high = np.quantile(draws, [0.025, 0.975], axis=0).tolist()
            lead = float((draws[:, order[0]] > draws[:, order[1]]).mean()) if len(order) > 1 else None
            reasons = explain(router, user, query, history) if explained else ()
        nearest = nearest_rated(query, history, self._encoder, NEAREST) if explained else ()
        rungs: list[tuple[str, float]] = []
        if isinstance(router, Pooled):
            rungs = list(zip(router.names, router.rungs(user, [query], history)[0].tolist(), strict=True))
        by_id = {llm.llm_id: llm for llm in history.llms}
        choices = [
            Choice(
                llm.llm_id,
                llm.name or llm.llm_id,
                float(own[i]),
                low[i],
                high[i],
                float(average[i]),
                llm.input_price,
                llm.output_price,
            )
            for i in order
            if (llm := by_id.get(router.llms[i]))
        ]
        rungs.sort(key=lambda rung: -rung[1])
        column = {llm: i for i, llm in enumerate(router.llms)}
        told: Mapping[Outcome, Said] | None = None
        if explained and service.outcomes and len(choices) > 1:
            habit = service.outcomes.habit(router, user, history)
            told = service.outcomes.said(own, column[choices[0].llm], column[choices[1].llm], habit)
        return Decision(
            service.name, service.version, len(history), tuple(choices), lead, reasons, tuple(rungs), nearest, told
        )

    def _load(self, version: int) -> Service:
        known = next((v for v in self._registry.versions() if v.id == version), None)
        if known is None:
            raise NotFound(f"There is no router version {version}.")
        import torch  # it takes seconds: not before a router is served

        # A decision is many products of a few numbers: a second thread only makes each wait for the other, a hundred
        # times longer where the machine is busy.
        torch.set_num_threads(1)
        router = load_router(known.kind, self._registry.load(version), self._encoder)
        outcomes = known.card.get("outcomes")  # of versions trained before, nothing is known
        return Service(router, version, OutcomeModel.from_dict(outcomes) if outcomes else None)

    def _population(self) -> Router:
        snapshot = self._store.snapshot()
        return BradleyTerryRouter.fit(snapshot, snapshot, self._encoder)
