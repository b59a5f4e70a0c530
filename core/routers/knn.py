"""Nearest neighbours: an LLM's win rate on the queries nearest to the asked one, over everyone, each weighted by its
similarity.

The pooled "KNN router" of RouterBench (Hu et al., 2024, arXiv 2403.12031) with comparisons in place of scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.best_llm import population_counts
from core.routers.calibration import Calibrated, calibrate
from core.routers.stored import StoredRouter
from core.routers.vectors import query_vectors
from core.routers.win_rates import Floats, WinCounts, logit

POPULATION_STRENGTH = 4.0


class Neighbourhood(NamedTuple):
    """How many queries are near, and how many games the population's rate is worth against theirs."""

    neighbours: int
    strength: float


# The first is the default when there is no validation rating.
CANDIDATES = [
    Neighbourhood(20, 8.0),
    *(Neighbourhood(*knobs) for knobs in product((3, 5, 10, 20, 40, 80), (2.0, 8.0, 32.0, 128.0, 512.0))),
]


@dataclass(frozen=True, eq=False)
class KnnRouter(StoredRouter):
    """Vectors [R, dim] of the R queries that were rated, with everyone's wins and games [R, L] on them; who rated is
    not kept.
    """

    population: Floats
    vectors: Floats
    wins: Floats
    games: Floats
    neighbours: int
    strength: float
    scale: float
    encoder: TextEncoder

    kind: ClassVar[str] = "knn"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """The number of neighbours, the shrinkage and the scale are chosen on validation. The seed is not used."""
        rated, query = np.unique(train_part.query, return_inverse=True)
        vectors = query_vectors([train_part.queries[i] for i in rated], encoder)
        counts = WinCounts.by_group(
            query,
            len(rated),
            train_part.llm_a,
            train_part.llm_b,
            train_part.label,
            len(train_part.llms),
            train_part.weight,
        )  # [R, L]
        population = population_counts(train_part).rate(0.5, POPULATION_STRENGTH)
        held_out, row = np.unique(validation.query, return_inverse=True)
        similarity = query_vectors([validation.queries[i] for i in held_out], encoder) @ vectors.T

        def calibrated(knobs: Neighbourhood) -> Calibrated:
            score = logit(_rates(similarity, counts, population, knobs))
            return calibrate(score[row, validation.llm_a] - score[row, validation.llm_b], validation.label)

        tried = [(calibrated(knobs), knobs) for knobs in CANDIDATES]
        best, knobs = min(tried, key=lambda pair: pair[0].loss)
        llms = tuple(m.llm_id for m in train_part.llms)
        return cls(llms, population, vectors.astype(np.float32), *counts, *knobs, best.scale, encoder)

    def rates(self, queries: Sequence[Query]) -> Floats:
        """[Q, L] shrunk win rates on the neighbours of each query."""
        similarity = query_vectors(queries, self.encoder) @ self.vectors.T.astype(np.float64)
        knobs = Neighbourhood(self.neighbours, self.strength)
        return _rates(similarity, WinCounts(self.wins, self.games), self.population, knobs)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same for every user."""
        return softmax(self.scale * logit(self.rates(queries)))


def _rates(similarity: Floats, counts: WinCounts, population: Floats, knobs: Neighbourhood) -> Floats:
    """[Q, L] from the cosines [Q, R] to the rated queries and the counts [R, L] on them."""
    k = min(knobs.neighbours, similarity.shape[1])
    if k < similarity.shape[1]:
        kth = np.partition(similarity, -k, axis=1)[:, [-k]]
        similarity = np.where(similarity >= kth, similarity, 0)
    weight = np.maximum(similarity, 0)
    weight = weight / np.maximum(weight.max(axis=1, initial=0, keepdims=True), 1e-12)  # the nearest counts in full
    return WinCounts(weight @ counts.wins, weight @ counts.games).rate(population, knobs.strength)
