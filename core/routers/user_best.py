"""A person's best LLM: their own win rates, shrunk towards the population's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.best_llm import population_counts
from core.routers.calibration import Calibrated, calibrate
from core.routers.own_ratings import own_ratings
from core.routers.stored import StoredRouter
from core.routers.win_rates import Floats, WinCounts, logit

STRENGTHS = (
    8.0,
    2.0,
    4.0,
    16.0,
    32.0,
    64.0,
    256.0,
)  # games that the population's rate is worth; the first without validation
POPULATION_STRENGTH = 4.0


@dataclass(frozen=True, eq=False)
class UserBestRouter(StoredRouter):
    """Win rates [L] of the population, the games they are worth, and the scale of scores. People come from the
    history.
    """

    population: Floats
    strength: float
    scale: float

    kind: ClassVar[str] = "user_best"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """Shrinkage and scale are chosen on validation. Texts and the seed are not used."""
        population = population_counts(train_part).rate(0.5, POPULATION_STRENGTH)
        counts = WinCounts.by_group(
            train_part.user,
            len(train_part.users),
            train_part.llm_a,
            train_part.llm_b,
            train_part.label,
            len(train_part.llms),
            train_part.weight,
        )  # [U, L]

        def calibrated(strength: float) -> Calibrated:
            score = logit(counts.rate(population, strength))  # [U, L]
            margin = score[validation.user, validation.llm_a] - score[validation.user, validation.llm_b]
            return calibrate(margin, validation.label)

        tried = [(calibrated(strength), strength) for strength in STRENGTHS]
        best, strength = min(tried, key=lambda pair: pair[0].loss)
        return cls(tuple(m.llm_id for m in train_part.llms), population, strength, best.scale)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same row for every query of one user."""
        own = own_ratings(user, history, self.llms)
        columns = own.a, own.b, own.label, len(self.llms), own.weight
        counts = WinCounts.by_group(np.zeros_like(own.query), 1, *columns).total()
        score = self.scale * logit(counts.rate(self.population, self.strength))
        return np.tile(softmax(score), (len(queries), 1))
