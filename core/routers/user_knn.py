"""Nearest neighbours of one person: their own win rates, ratings on similar queries weighing most, shrunk towards the
pooled neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.calibration import calibrate
from core.routers.knn import KnnRouter
from core.routers.own_ratings import OwnRatings, Person, own_ratings, people
from core.routers.stored import StoredRouter
from core.routers.vectors import EncodedOnce, query_vectors
from core.routers.win_rates import Floats, WinCounts, logit

# The first of each is the default when there is no validation rating.
BANDWIDTHS = (0.25, 0.06, 0.12, 0.5, 1.0, 4.0)
STRENGTHS = (8.0, 0.5, 1.0, 2.0, 4.0, 16.0, 64.0, 256.0)


class _Tried(NamedTuple):
    loss: float
    bandwidth: float
    strength: float
    scale: float


@dataclass(frozen=True, eq=False)
class UserKnnRouter(StoredRouter):
    """What a pooled `KnnRouter` holds (see there), the bandwidth of similarity, the shrinkage in games, and a scale.

    A person has tens of ratings, so none is cut off: one on a query of cosine c to the asked one weighs exp((c - 1) /
    bandwidth).
    """

    pooled: dict[str, Floats]
    neighbours: int
    pooled_strength: float
    bandwidth: float
    strength: float
    scale: float
    encoder: TextEncoder

    kind: ClassVar[str] = "user_knn"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """Bandwidth, shrinkage and scale are chosen on validation, after the pooled neighbours' own. The seed is not
        used.
        """
        once = EncodedOnce(encoder)
        once.encode([q.text for q in train_part.queries])
        pooled = KnnRouter.fit(train_part, validation, once)
        persons = list(people(train_part, validation, pooled.llms))
        prior = [pooled.rates(person.held_out.queries) for person in persons]
        tried = [found for h in BANDWIDTHS for found in _tried(persons, prior, h, once)]
        best = min(tried, key=lambda candidate: candidate.loss)
        arrays = {name: getattr(pooled, name) for name in ("population", "vectors", "wins", "games")}
        return cls(
            pooled.llms, arrays, pooled.neighbours, pooled.strength, best.bandwidth, best.strength, best.scale, encoder
        )

    @cached_property
    def _everyone(self) -> KnnRouter:
        return KnnRouter(
            self.llms,
            **self.pooled,
            neighbours=self.neighbours,
            strength=self.pooled_strength,
            scale=1.0,
            encoder=self.encoder,
        )

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. A stranger gets the pooled neighbours' rates."""
        near = _near(own_ratings(user, history, self.llms), queries, len(self.llms), self.bandwidth, self.encoder)
        return softmax(self.scale * logit(near.rate(self._everyone.rates(queries), self.strength)))


def _near(own: OwnRatings, queries: Sequence[Query], llms: int, bandwidth: float, encoder: TextEncoder) -> WinCounts:
    """[Q, L] a person's wins and games, each game weighted by how similar its query is to the asked one."""
    counts = WinCounts.by_group(own.query, len(own.queries), own.a, own.b, own.label, llms, own.weight)  # [R, L]
    cosine = query_vectors(queries, encoder) @ query_vectors(own.queries, encoder).T  # [Q, R]
    weight = np.exp((cosine - 1) / bandwidth)
    return WinCounts(weight @ counts.wins, weight @ counts.games)


def _tried(persons: list[Person], prior: list[Floats], bandwidth: float, encoder: TextEncoder) -> list[_Tried]:
    """Every strength at one bandwidth, with the loss on what people held out."""
    nothing = WinCounts(np.zeros((0, 1)), np.zeros((0, 1)))
    near = [
        _near(person.own, person.held_out.queries, expected.shape[1], bandwidth, encoder)
        for person, expected in zip(persons, prior, strict=True)
    ]
    wins, games = (np.concatenate(column) for column in zip(*near, strict=True)) if near else nothing
    expected = np.concatenate(prior) if prior else np.zeros((0, 1))
    first = np.cumsum([0, *(len(p.held_out.queries) for p in persons)])
    row = np.concatenate(
        [start + p.held_out.query for start, p in zip(first, persons, strict=False)] or [np.zeros(0, int)]
    )
    a, b = (np.concatenate([p.held_out[side] for p in persons] or [np.zeros(0, int)]) for side in (2, 3))
    label = np.concatenate([p.held_out.label for p in persons] or [np.zeros(0)])
    found = []
    for strength in STRENGTHS:
        score = logit(WinCounts(wins, games).rate(expected, strength))
        fitted = calibrate(score[row, a] - score[row, b], label)
        found.append(_Tried(fitted.loss, bandwidth, strength, fitted.scale))
    return found
