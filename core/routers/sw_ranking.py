"""Similarity-weighted ranking: Bradley-Terry refitted for every asked query, ratings on similar queries weighing most.

RouteLLM (Ong et al., 2024, arXiv 2406.18665), section 4.1: the weight of a comparison on query q' for the asked query q
is 10 * 10^(cos(q, q') / max cos).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.calibration import least_loss, log_loss
from core.routers.stored import StoredRouter
from core.routers.vectors import query_vectors
from core.routers.win_rates import sigmoid
from core.strengths import Floats

NEWTON_STEPS = 30
LARGEST_STEP = 2.0  # logits


class Sharpness(NamedTuple):
    """`exponent` multiplies cos / max cos in the weight's exponent (1 in the paper); `precision` is that of strengths
    around 0.
    """

    exponent: float
    precision: float


# The first is the default when there is no validation rating.
CANDIDATES = [
    Sharpness(1.0, 10.0),
    *(Sharpness(*knobs) for knobs in product((0.5, 1.0, 2.0, 3.0, 4.0, 6.0), (1.0, 10.0, 100.0, 1e3, 1e4, 1e5))),
]


class Games(NamedTuple):
    """C rows: the query, LLM a and LLM b > a, how many games they played there and how many a won (a tie is half); each
    counts by its weight.
    """

    row: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    games: Floats
    wins: Floats

    @classmethod
    def of(cls, query: NDArray[np.integer], ratings: PreferenceDataset, llms: int) -> Self:
        """Each query and pair once, whoever rated it; `query` [N] is the rated query's row."""
        low, high = np.minimum(ratings.llm_a, ratings.llm_b), np.maximum(ratings.llm_a, ratings.llm_b)
        won = np.where(ratings.llm_a == low, ratings.label, 1 - ratings.label)
        key, place = np.unique((query.astype(np.int64) * llms + low) * llms + high, return_inverse=True)
        games, wins = (np.bincount(place, x, len(key)).astype(float) for x in (ratings.weight, ratings.weight * won))
        return cls(key // (llms * llms), key // llms % llms, key % llms, games, wins)


@dataclass(frozen=True, eq=False)
class SWRankingRouter(StoredRouter):
    """Vectors [R, dim] of rated queries; C rows (query, a, b) of how often a met b there and won. Who rated is not
    kept.
    """

    vectors: Floats
    row: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    games: Floats
    wins: Floats
    exponent: float
    precision: float
    encoder: TextEncoder

    kind: ClassVar[str] = "sw_ranking"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """The exponent of the weights and the precision of strengths are chosen on validation. The seed is not used."""
        llms = tuple(m.llm_id for m in train_part.llms)
        rated, query = np.unique(train_part.query, return_inverse=True)
        vectors = query_vectors([train_part.queries[i] for i in rated], encoder)
        games = Games.of(query, train_part, len(llms))
        held_out, row = np.unique(validation.query, return_inverse=True)
        asked = query_vectors([validation.queries[i] for i in held_out], encoder)

        def loss(router: Self) -> float:
            strength = router._strengths(asked)
            return log_loss(strength[row, validation.llm_a] - strength[row, validation.llm_b], validation.label)

        return least_loss([cls(llms, vectors, *games, *knobs, encoder) for knobs in CANDIDATES], loss)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same for every user."""
        return softmax(self._strengths(query_vectors(queries, self.encoder)))

    def _strengths(self, asked: Floats) -> Floats:
        """[Q, L] strengths of the asked queries, from their vectors [Q, dim]; batched Newton over [Q, L, L] tables of
        games.
        """
        size, queries = len(self.llms), len(asked)
        weight = self._weights(asked)[:, self.row]  # [Q, C]
        pair = self.a * size + self.b
        games, wins = (
            np.array([np.bincount(pair, w * column, size * size) for w in weight]).reshape(queries, size, size)
            for column in (self.games, self.wins)
        )
        games, wins = games + games.mT, wins + (games - wins).mT  # both ways round
        strength = np.zeros((queries, size))
        for _ in range(NEWTON_STEPS):
            p = sigmoid(strength[:, :, None] - strength[:, None, :])
            gradient = (games * p - wins).sum(-1) + self.precision * strength
            information = games * p * (1 - p)
            curvature = (information.sum(-1) + self.precision)[..., None] * np.eye(size) - information
            step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
            strength = strength - np.clip(step, -LARGEST_STEP, LARGEST_STEP)
            if np.abs(step).max(initial=0) < 1e-9:
                break
        return strength

    def _weights(self, asked: Floats) -> Floats:
        """[Q, R]: 10 * 10^(exponent * cos / max cos), the maximum over the rated queries."""
        cosine = asked @ self.vectors.T
        # Where nothing is similar at all, the ratio to the maximum means nothing: everything weighs the same then.
        largest = np.maximum(cosine.max(axis=1, initial=0, keepdims=True), 1e-3)
        weight: Floats = 10.0 * 10.0 ** (self.exponent * np.maximum(cosine / largest, -1))
        return weight
