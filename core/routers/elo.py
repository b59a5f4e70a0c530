"""Elo: strengths moved a little after every rating, in the order given."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import ClassVar, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.calibration import least_loss, log_loss
from core.routers.stored import StoredRouter
from core.strengths import Floats

# K-factors in Elo points (Chatbot Arena used 4); the first without validation.
K_FACTORS = (4.0, 0.5, 1.0, 2.0, 8.0, 16.0, 32.0)
POINTS = 400 / np.log(10)  # Elo points of one logit


@dataclass(frozen=True, eq=False)
class EloRouter(StoredRouter):
    """Strengths [L] of the population, in logits around 0."""

    strength: Floats

    kind: ClassVar[str] = "elo"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """The K-factor is chosen on validation. Texts and the seed are not used."""

        def loss(strength: Floats) -> float:
            return log_loss(strength[validation.llm_a] - strength[validation.llm_b], validation.label)

        best = least_loss([_played(train_part, k) for k in K_FACTORS], loss)
        return cls(tuple(m.llm_id for m in train_part.llms), best)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same row for every user and query."""
        return np.tile(softmax(self.strength), (len(queries), 1))


def _played(ratings: PreferenceDataset, k_factor: float) -> Floats:
    """[L] logits after all ratings by time: r_a += K (label - sigma(r_a - r_b)), and r_b as much the other way (Elo,
    1978); K times the rating's weight.
    """
    strength = [0.0] * len(ratings.llms)
    order = np.argsort(ratings.time, kind="stable")
    steps = ratings.weight[order] * k_factor / POINTS
    columns = (ratings.llm_a[order].tolist(), ratings.llm_b[order].tolist(), ratings.label[order].tolist())
    for a, b, label, step in zip(*columns, steps.tolist(), strict=True):
        change = step * (label - 1 / (1 + exp(strength[b] - strength[a])))
        strength[a] += change
        strength[b] -= change
    return np.array(strength)
