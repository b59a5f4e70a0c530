"""How one person chooses: shares with Wilson intervals, and their own ranking of LLMs from counted pairs."""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

from core.domain import Outcome
from core.strengths import bradley_terry, versus_average

ENOUGH = 20  # below this many ratings a share says more about chance than about the person
Z = 1.959963984540054  # the normal quantile of a 95 % interval
PRIOR_PRECISION = 1.0  # of a strength around the average LLM, on the logit scale


class Share(NamedTuple):
    """`times` of `n`, with its 95 % interval."""

    times: int
    n: int
    value: float
    low: float
    high: float

    @property
    def enough(self) -> bool:
        """Whether `n` is large enough to show a number."""
        return self.n >= ENOUGH


def wilson(count: int, n: int) -> Share:
    """The share `count / n` with Wilson's 95 % score interval (1927), which stays within 0..1 and is right for small n.

    Of nothing the share is unknown: 1/2, anywhere from 0 to 1.
    """
    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is not a share.")
    if n == 0:
        return Share(0, 0, 0.5, 0.0, 1.0)
    share, weight = count / n, Z * Z / n
    middle = (share + weight / 2) / (1 + weight)
    half = Z * sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    # At the ends the bound is the share itself; rounding must not put it a hair beyond.
    low, high = max(0.0, middle - half) if count else 0.0, min(1.0, middle + half) if count < n else 1.0
    return Share(count, n, share, low, high)


class Habits(NamedTuple):
    """How one person chooses. `left` and `decisive` are shares of decisive ratings and of all; `longer` is of those
    decisive ratings whose two responses differ in length.
    """

    left: Share
    longer: Share
    decisive: Share


class PairCount(NamedTuple):
    """How often a person said one thing about two LLMs shown in this order."""

    llm_a: str
    llm_b: str
    outcome: Outcome
    times: int


class Ranked(NamedTuple):
    """An LLM's place for one person: how probably they like it better than an average one of these LLMs, with the 95 %
    interval, and how many of their ratings it was in.
    """

    llm: str
    probability: float
    low: float
    high: float
    ratings: int


def decisive(pairs: Sequence[PairCount]) -> int:
    """How many of the ratings prefer a side."""
    return sum(pair.times for pair in pairs if pair.outcome in (Outcome.A, Outcome.B))


def ranking(pairs: Sequence[PairCount]) -> list[Ranked]:
    """The LLMs a person has rated, best first: Bradley-Terry with intervals from the posterior's curvature."""
    names = sorted({pair.llm_a for pair in pairs} | {pair.llm_b for pair in pairs})
    row = {name: i for i, name in enumerate(names)}
    a, b = (
        np.array([row[name] for name in side], int) for side in zip(*((p.llm_a, p.llm_b) for p in pairs), strict=True)
    )
    times = np.array([pair.times for pair in pairs], float)
    label = np.array([pair.outcome.label for pair in pairs])
    strengths = bradley_terry(a, b, label, np.zeros(len(names)), PRIOR_PRECISION, times)
    value, low, high = versus_average(strengths)
    ratings = np.bincount(a, times, len(names)) + np.bincount(b, times, len(names))
    order = np.argsort(-value, kind="stable")
    return [Ranked(names[i], float(value[i]), float(low[i]), float(high[i]), int(ratings[i])) for i in order]
