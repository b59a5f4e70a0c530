"""Best LLM: the share of its comparisons that each LLM won, over everyone, shrunk towards a half."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.calibration import calibrate
from core.routers.stored import StoredRouter
from core.routers.win_rates import Floats, WinCounts, logit

STRENGTHS = (4.0, 1.0, 16.0, 64.0)  # in games; the first without validation


@dataclass(frozen=True, eq=False)
class BestLLMRouter(StoredRouter):
    """Scores [L]: the logit of the population's win rate, scaled on validation."""

    score: Floats

    kind: ClassVar[str] = "best_llm"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """Shrinkage and scale are chosen on validation. Texts and the seed are not used."""
        counts = population_counts(train_part)
        candidates = []
        for strength in STRENGTHS:
            score = logit(counts.rate(0.5, strength))
            fitted = calibrate(score[validation.llm_a] - score[validation.llm_b], validation.label)
            candidates.append((fitted.loss, fitted.scale * score))
        best = min(candidates, key=lambda candidate: candidate[0])
        return cls(tuple(m.llm_id for m in train_part.llms), best[1])

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same row for every user and query."""
        return np.tile(softmax(self.score), (len(queries), 1))


def population_counts(ratings: PreferenceDataset) -> WinCounts:
    """[L] wins and games of each LLM over everyone."""
    nobody = np.zeros(len(ratings), np.int64)
    return WinCounts.by_group(
        nobody, 1, ratings.llm_a, ratings.llm_b, ratings.label, len(ratings.llms), ratings.weight
    ).total()
