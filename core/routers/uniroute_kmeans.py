"""UniRoute, clusters: an LLM is its mean loss on each cluster of representative queries; a query takes its nearest
cluster's.

Jitkrittum et al., 2025, arXiv 2502.08773, section 5.1: Psi_k(m) is the mean loss of LLM m on the representative queries
in cluster k, and the query is routed to argmin_m Psi_k(q)(m). The loss here is one of comparisons: the share that m
lost, shrunk towards its share overall. An LLM that joins later needs only its own losses on rated queries: the clusters
stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import LLM, LLMId, Query, UserId
from core.encoders import TextEncoder
from core.errors import InvalidInput, NotEnoughData
from core.routers.base import Probabilities, softmax
from core.routers.best_llm import population_counts
from core.routers.calibration import calibrate
from core.routers.stored import StoredRouter
from core.routers.vectors import query_vectors
from core.routers.win_rates import Floats, WinCounts, logit

CLUSTERS = (8, 2, 4, 16, 32, 64)  # the first without validation
STRENGTHS = (8.0, 2.0, 32.0, 128.0)  # games that an LLM's overall rate is worth in a cluster
POPULATION_STRENGTH = 4.0


class Clusters(NamedTuple):
    """Centres [K, dim] of the rated queries, and the wins and games [K, L] in each."""

    centre: Floats
    counts: WinCounts


@dataclass(frozen=True, eq=False)
class UniRouteKMeansRouter(StoredRouter):
    """Centres [K, dim] and the scores [K, L] of the LLMs in each cluster: the logit of the win rate, 1 - Psi, times a
    `scale` chosen on validation; `strength` is how many games an LLM's overall rate is worth in a cluster.
    """

    centre: Floats
    score: Floats
    strength: float
    scale: float
    encoder: TextEncoder

    kind: ClassVar[str] = "uniroute_kmeans"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """The number of clusters, the shrinkage and the scale are chosen on validation."""
        population = population_counts(train_part).rate(0.5, POPULATION_STRENGTH)
        held_out, row = np.unique(validation.query, return_inverse=True)
        asked = query_vectors([validation.queries[i] for i in held_out], encoder)
        tried = []
        for clusters in clusterings(train_part, encoder, seed):
            place = nearest(asked, clusters.centre)[row]
            for strength in STRENGTHS:
                score = logit(clusters.counts.rate(population, strength))
                fitted = calibrate(score[place, validation.llm_a] - score[place, validation.llm_b], validation.label)
                tried.append((fitted.loss, clusters.centre, fitted.scale * score, strength, fitted.scale))
        _, centre, score, strength, scale = min(tried, key=lambda candidate: candidate[0])
        return cls(tuple(m.llm_id for m in train_part.llms), centre, score, strength, scale, encoder)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same for every user."""
        return softmax(self.score[nearest(query_vectors(queries, self.encoder), self.centre)])

    def with_llm(self, llm: LLM, history: PreferenceDataset) -> Self:
        """See `Onboards`. Its description is not read."""
        rate = newcomers_rate(llm, history, self.llms, self.centre, self.strength, self.encoder)
        score = np.column_stack([self.score, self.scale * logit(rate)])
        return replace(self, llms=(*self.llms, llm.llm_id), score=score)


def clusterings(train_part: PreferenceDataset, encoder: TextEncoder, seed: int) -> list[Clusters]:
    """K-means of the rated queries for every K in `CLUSTERS` that there are queries for. Raises NotEnoughData without a
    rating.
    """
    from sklearn.cluster import KMeans

    rated, query = np.unique(train_part.query, return_inverse=True)
    if not len(rated):
        raise NotEnoughData("There is no rating to learn from. Rate some pairs, or import ratings.")
    vectors = query_vectors([train_part.queries[i] for i in rated], encoder)
    distinct = len(np.unique(vectors, axis=0))
    found = []
    for size in dict.fromkeys(min(size, distinct) for size in CLUSTERS):
        fitted = KMeans(size, n_init=4, random_state=seed).fit(vectors)
        counts = WinCounts.by_group(
            fitted.labels_[query],
            size,
            train_part.llm_a,
            train_part.llm_b,
            train_part.label,
            len(train_part.llms),
            train_part.weight,
        )
        found.append(Clusters(fitted.cluster_centers_, counts))
    return found


def nearest(vectors: Floats, centre: Floats) -> np.ndarray:
    """[Q] the cluster whose centre [K, dim] is nearest to each vector [Q, dim]."""
    squared = (centre**2).sum(1) - 2 * vectors @ centre.T
    place: np.ndarray = squared.argmin(1)
    return place


def newcomers_rate(
    llm: LLM, history: PreferenceDataset, known: Sequence[LLMId], centre: Floats, strength: float, encoder: TextEncoder
) -> Floats:
    """[K]: the win rate in each cluster of an LLM that joined later, from its comparisons with those in `known`, shrunk
    as those of the fit are. Raises InvalidInput for one that is known.
    """
    if llm.llm_id in known:
        raise InvalidInput(f"This router knows the LLM '{llm.llm_id}' already.")
    column, others = history.llm_row.get(llm.llm_id, -1), np.array([m.llm_id in known for m in history.llms], bool)
    as_a, as_b = history.llm_a == column, history.llm_b == column
    its = history.where((as_a & others[history.llm_b]) | (as_b & others[history.llm_a]))
    rated, query = np.unique(its.query, return_inverse=True)
    place = nearest(query_vectors([history.queries[i] for i in rated], encoder), centre)[query]
    won = np.where(its.llm_a == column, its.label, 1 - its.label)
    wins, games = (np.bincount(place, x, len(centre)).astype(float) for x in (its.weight * won, its.weight))
    counts = WinCounts(wins, games)
    return counts.rate(counts.total().rate(0.5, POPULATION_STRENGTH), strength)
