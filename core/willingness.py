"""Willingness to pay: what a better liked answer is worth to one person, from what they chose when the price was shown.

A person who likes the dearer LLM better by `liking` logits takes it at `dollars` more a query with probability
sigma(liking - weight * dollars), but for a share of slips. The weight of money (logits per dollar) has a broad
log-normal prior; on one dimension the posterior is exact on a grid, so few answers give an honest interval.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.costs import alpha_of
from core.errors import InvalidInput

Floats = NDArray[np.float64]

SLIPS = 0.04  # share of answers that say nothing: a wrong click, a misread price
USUAL_WEIGHT = 300.0  # logits per dollar before any answer: a third of a cent weighs one logit
PRIOR_SD = 2.0  # of the logarithm: a factor of 50 either way is still likely
ENOUGH = 5  # answers below which the figure says more about the prior than about the person
LIKINGS = (np.log(2), np.log(4), np.log(9))  # liked better 2 times in 3, 4 in 5, 9 in 10
_WEIGHTS = np.exp(np.linspace(np.log(USUAL_WEIGHT) - 5 * PRIOR_SD, np.log(USUAL_WEIGHT) + 5 * PRIOR_SD, 2001))


class Tradeoff(NamedTuple):
    """One answer: whether the dearer LLM, liked better by `liking` logits, was taken at `dollars` more a query."""

    liking: float
    dollars: float
    dearer: bool


class Willingness(NamedTuple):
    """The weight of money in logits per dollar: posterior median with its central 95 % interval, from n answers."""

    n: int
    weight: float
    low: float
    high: float

    @property
    def enough(self) -> bool:
        """Whether there are answers enough to show a number."""
        return self.n >= ENOUGH

    @property
    def alpha(self) -> float:
        """The setting that spends as this person would."""
        return alpha_of(self.weight)

    def worth(self, liking: float) -> tuple[float, float, float]:
        """Dollars a query for being liked better by so many logits: the middle, and the ends of the interval."""
        return liking / self.weight, liking / self.high, liking / self.low


def fit(answers: Sequence[Tradeoff]) -> Willingness:
    """The posterior of one person. Raises InvalidInput for a difference in price that is not above 0."""
    logarithm = np.log(_WEIGHTS)
    density = -0.5 * ((logarithm - np.log(USUAL_WEIGHT)) / PRIOR_SD) ** 2  # [W], up to a constant
    for answer in answers:
        if not 0 < answer.dollars < float("inf") or not np.isfinite(answer.liking):
            raise InvalidInput("A trade-off needs a dearer side: its price must be higher by a number above 0.")
        taken = SLIPS / 2 + (1 - SLIPS) / (1 + np.exp(np.minimum(_WEIGHTS * answer.dollars - answer.liking, 500)))
        density += np.log(taken if answer.dearer else 1 - taken)
    share = np.cumsum(np.exp(density - density.max()))
    low, middle, high = np.interp(np.array([0.025, 0.5, 0.975]) * share[-1], share, logarithm)
    return Willingness(len(answers), float(np.exp(middle)), float(np.exp(low)), float(np.exp(high)))


def next_card(answers: Sequence[Tradeoff]) -> tuple[float, float]:
    """What to ask next, (liking, dollars): a price at which this person is as likely to say yes as no.

    That is where an answer tells most. The three likings take turns, so that one misjudged level does not decide.
    """
    liking = float(LIKINGS[len(answers) % len(LIKINGS)])
    dollars = liking / fit(answers).weight
    digits = 1 - int(np.floor(np.log10(dollars)))  # two digits that count: a price a person would meet
    return liking, round(dollars, digits)
