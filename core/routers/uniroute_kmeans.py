"""UniRoute, clusters: an LLM is its mean loss on each cluster of representative queries; a query takes its nearest
cluster's.

Jitkrittum et al., 2025, arXiv 2502.08773, section 5.1: Psi_k(m) is the mean loss of LLM m on the representative queries
in cluster k, and the query is routed to argmin_m Psi_k(q)(m). The loss here is one of comparisons: the share that m
lost, shrunk towards its share overall.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.errors import NotEnoughData
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
    """Centres [K, dim] and the scores [K, L] of the LLMs in each cluster: the logit of the win rate, 1 - Psi, scaled on
    validation.
    """

    centre: Floats
    score: Floats
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
                tried.append((fitted.loss, clusters.centre, fitted.scale * score))
        _, centre, score = min(tried, key=lambda candidate: candidate[0])
        return cls(tuple(m.llm_id for m in train_part.llms), centre, score, encoder)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same for every user."""
        return softmax(self.score[nearest(query_vectors(queries, self.encoder), self.centre)])


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
