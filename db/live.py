"""LiveRouting: decisions as programs ask for them: by taste and money, among allowed LLMs, explored a little if so set,
and each written down.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random, SystemRandom

import numpy as np
from numpy.typing import NDArray

from core.costs import Floats, priced_scores
from core.domain import LLM, LLMId, Query, UserId
from core.errors import NotEnoughData, NotFound
from db.decisions import Decided, Decisions
from db.engine import Database
from db.known import Facts
from db.pricing import expected_costs, reply_tokens
from db.serving import Prediction, Serving

LENGTHS_FOR = 60.0  # seconds that the usual lengths of responses are believed


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a program asks for. `alpha` 0 is taste alone, 1 the cheapest; `version` None is the router in service;
    `allowed` empty is every LLM.
    """

    user: UserId
    alpha: float = 0.0
    version: int | None = None
    allowed: tuple[LLMId, ...] = ()


@dataclass(frozen=True, slots=True)
class Routed:
    """A decision. `ranked` LLMs, best first by `alpha`; `llm` is the first, or another one where the router explored.

    `cost` is what the answer is expected to cost in US dollars, None where a price is unknown; `milliseconds` what the
    decision took, of a batch its share.
    """

    decided: Decided
    llm: LLM
    ranked: tuple[LLM, ...]
    service: str
    cost: float | None
    milliseconds: float

    @property
    def explored(self) -> bool:
        """Whether it is another LLM than the best one."""
        return self.llm is not self.ranked[0]

    @property
    def asked(self) -> tuple[LLM, ...]:
        """The LLM decided for, and those to ask where it fails, best first."""
        return (self.llm, *[llm for llm in self.ranked if llm is not self.llm])


class LiveRouting:
    """Shared by the threads of a process. `exploration` is the share of decisions drawn from the probabilities."""

    def __init__(
        self, database: Database, serving: Serving, exploration: float = 0.0, rng: Random | None = None
    ) -> None:
        self._database, self._serving, self._decisions = database, serving, Decisions(database)
        self._exploration, self._rng = exploration, rng or SystemRandom()
        self._lengths: tuple[float, Mapping[LLMId, float]] | None = None

    def decide(self, wanted: Wanted, queries: Sequence[Query], source: str) -> tuple[Routed, ...]:
        """Decide about queries and write the decisions down. Raises InvalidInput for an alpha outside 0..1, NotFound
        for an unknown version or allowed LLM, NotEnoughData without any LLM.
        """
        routed = self.consider(wanted, queries, source)
        self.keep(routed)
        return routed

    def decide_together(
        self, asked: Sequence[tuple[Wanted, Sequence[Query]]], source: str
    ) -> list[tuple[Routed, ...] | Exception]:
        """`decide` for several who ask in the same moment: what holds is read once for all of them, and their decisions
        are written down in one transaction. Everyone gets their own decisions, or the error in place of them.
        """
        began = time.perf_counter()
        facts = self._serving.facts(wanted.user for wanted, _ in asked)
        each = (time.perf_counter() - began) / max(len(asked), 1)
        told: list[tuple[Routed, ...] | Exception] = []
        for wanted, queries in asked:
            try:
                told.append(self.consider(wanted, queries, source, facts[wanted.user], each))
            except Exception as error:  # noqa: BLE001  told to whoever asked, and to nobody else
                told.append(error)
        try:
            self.keep([routed for routes in told if not isinstance(routes, Exception) for routed in routes])
        except NotFound:  # an LLM is gone since: whose decision names it is told so
            return [self._kept(routes) for routes in told]
        return told

    def _kept(self, routes: tuple[Routed, ...] | Exception) -> tuple[Routed, ...] | Exception:
        try:
            self.keep(() if isinstance(routes, Exception) else routes)
        except NotFound as error:
            return error
        return routes

    def has_read(self, queries: Sequence[Query]) -> bool:
        """Whether a decision about these queries waits for no text to be encoded."""
        return self._serving.has_read(queries)

    def consider(
        self, wanted: Wanted, queries: Sequence[Query], source: str, facts: Facts | None = None, reading: float = 0.0
    ) -> tuple[Routed, ...]:
        """`decide` without writing anything down. `facts` are those of its user, where they were read already, in so
        many seconds (`reading`).
        """
        began = time.perf_counter() - reading
        prediction = self._serving.predict(wanted.user, queries, wanted.version, facts)
        columns = self._allowed(prediction, wanted.allowed)
        llms = tuple(prediction.llms[i] for i in columns)
        probability = prediction.probability[:, columns]
        probability = probability / np.maximum(probability.sum(1, keepdims=True), 1e-300)
        cost = expected_costs([(llm.llm_id, llm) for llm in llms], queries, self._tokens())
        order = np.argsort(-priced_scores(probability, cost, wanted.alpha), axis=1, kind="stable")
        picked, propensity = self._picked(probability, order)
        each = (time.perf_counter() - began) * 1000 / max(len(queries), 1)
        names = [llm.llm_id for llm in llms]
        return tuple(
            Routed(
                Decided(
                    wanted.user, query.query_id, names[pick], dict(zip(names, said, strict=True)),
                    prediction.service.version, by, prediction.ratings, source, wanted.alpha,
                ),
                llms[pick], tuple(llms[i] for i in row), prediction.service.name,
                None if np.isnan(dollars[pick]) else float(dollars[pick]), each,
            )
            for query, pick, by, row, said, dollars in zip(
                queries, picked, propensity, order.tolist(), probability.tolist(), cost, strict=True
            )
        )  # fmt: skip

    def keep(self, routed: Sequence[Routed], source: str | None = None) -> None:
        """Write decisions down, from another source if given."""
        self._decisions.keep([r.decided if source is None else replace(r.decided, source=source) for r in routed])

    def _allowed(self, prediction: Prediction, allowed: Sequence[LLMId]) -> list[int]:
        if not prediction.llms:
            raise NotEnoughData("There are no LLMs to route to. Load the demo world, or import ratings.")
        if not allowed:
            return list(range(len(prediction.llms)))
        known = {llm.llm_id: i for i, llm in enumerate(prediction.llms)}
        unknown = [llm for llm in allowed if llm not in known]
        if unknown:
            raise NotFound(f"{prediction.service.name} does not know the LLM '{unknown[0]}'.")
        return sorted({known[llm] for llm in allowed})

    def _picked(self, probability: Floats, order: NDArray[np.intp]) -> tuple[list[int], list[float]]:
        """The column picked for each query, and with which probability it would be picked again."""
        share = self._exploration
        picked, propensity = [], []
        for row, best in zip(probability, order[:, 0].tolist(), strict=True):
            pick = best
            if share and self._rng.random() < share:
                pick = min(int(np.searchsorted(np.cumsum(row), self._rng.random())), len(row) - 1)
            picked.append(pick)
            propensity.append((1 - share) * (pick == best) + share * float(row[pick]))
        return picked, propensity

    def _tokens(self) -> Mapping[LLMId, float]:
        """How long responses usually are: read once and then every so often, because it moves slowly."""
        now = time.monotonic()
        if self._lengths is None or now - self._lengths[0] > LENGTHS_FOR:
            self._lengths = now, reply_tokens(self._database)
        return self._lengths[1]
