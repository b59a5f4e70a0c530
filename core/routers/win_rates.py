"""Win rates: how often each LLM was preferred in the comparisons it took part in, shrunk towards what is known without
them.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.integer]

LEAST_LOGIT = -700.0  # below, e^-x is no number any more


class WinCounts(NamedTuple):
    """Wins and games [..., L] of L LLMs; a tie or both bad is half a win for either side."""

    wins: Floats
    games: Floats

    @classmethod
    def by_group(cls, group: Rows, groups: int, a: Rows, b: Rows, label: Floats, llms: int, weight: Floats) -> Self:
        """[groups, L] counts of the ratings in each group; `group`, `a`, `b`, `label` and `weight`, how often each
        counts, are [N].
        """
        size = groups * llms
        side_a, side_b = group.astype(np.int64) * llms + a, group.astype(np.int64) * llms + b
        wins = np.bincount(side_a, weight * label, size) + np.bincount(side_b, weight * (1 - label), size)
        games = np.bincount(side_a, weight, size) + np.bincount(side_b, weight, size)
        return cls(wins.astype(float).reshape(groups, llms), games.reshape(groups, llms).astype(float))

    def total(self, axis: int | tuple[int, ...] = 0) -> Self:
        """Counts summed over groups."""
        return self._replace(wins=self.wins.sum(axis), games=self.games.sum(axis))

    def rate(self, prior: Floats | float, strength: float) -> Floats:
        """[..., L] in (0, 1): the posterior mean under a Beta prior of mean `prior` that is worth `strength` > 0
        games.
        """
        return (self.wins + strength * prior) / (self.games + strength)


def logit(rate: Floats) -> Floats:
    """log(rate / (1 - rate)): against an average opponent, a strength."""
    return np.log(rate) - np.log1p(-rate)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^-x), without overflow."""
    rate: Floats = 1 / (1 + np.exp(-np.maximum(x, LEAST_LOGIT)))
    return rate
