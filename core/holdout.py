"""Which queries a training keeps for validation and test, so that the next training keeps the same ones.

A query's place in [0, 1) comes from its own words and the seed, not from the other queries: when queries are added, one
that was held out stays held out but for a few at the edge. So two versions of a router, trained months apart, can be
measured on ratings that neither was fitted on.
"""

import hashlib
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset


class Holdout(NamedTuple):
    """Where validation and test begin, as places in [0, 1), under a seed."""

    validation_from: float
    test_from: float
    seed: int

    @classmethod
    def from_card(cls, card: Any) -> Self | None:
        """What a router's card says of its training; None on a card from before this was kept."""
        held = card.get("holdout") if hasattr(card, "get") else None
        return cls(float(held["validation_from"]), float(held["test_from"]), int(held["seed"])) if held else None

    def unseen(self, ratings: PreferenceDataset) -> NDArray[np.bool_]:
        """[N]: whether the rating's query was in the test part, fitted on by nothing."""
        return _places(ratings, self.seed)[ratings.query] >= self.test_from


def hold_out(
    ratings: PreferenceDataset, shares: tuple[float, float, float], seed: int
) -> tuple[tuple[PreferenceDataset, PreferenceDataset, PreferenceDataset], Holdout]:
    """Train, validation and test parts in the given shares of the rated queries, and the rule that made them.

    Queries that begin alike are one conversation judged at several turns: they share a place, so they stay together.
    """
    place = _places(ratings, seed)
    rated = np.unique(place[ratings.query])
    edges = np.rint(np.cumsum(shares)[:2] * len(rated)).astype(int)
    validation_from, test_from = (float(rated[i]) if i < len(rated) else 1.0 for i in edges)
    own = place[ratings.query]
    parts = (own < validation_from, (own >= validation_from) & (own < test_from), own >= test_from)
    train, validation, test = (ratings.where(part) for part in parts)
    return (train, validation, test), Holdout(validation_from, test_from, seed)


def _places(ratings: PreferenceDataset, seed: int) -> NDArray[np.float64]:
    """[Q]: the place of each query."""
    digests = (hashlib.sha256(f"{seed}\x1f{query.turns[0]}".encode()).digest() for query in ratings.queries)
    return np.array([int.from_bytes(digest[:6], "big") / 2**48 for digest in digests])
