"""Hierarchical Bradley-Terry: a person's strengths are the population's plus a deviation shrunk towards none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import LLMId, Query, UserId
from core.encoders import TextEncoder
from core.routers.artifact import pack, unpack
from core.routers.base import Probabilities, softmax
from core.routers.bradley_terry import BradleyTerryRouter
from core.strengths import Floats, bradley_terry

PRECISIONS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True, eq=False)
class UserBradleyTerryRouter:
    """Population strengths [L] and the precision of people around them."""

    llms: tuple[LLMId, ...]
    population: Floats
    precision: float

    kind: ClassVar[str] = "user_bradley_terry"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """The precision with the least log-loss on `validation` is taken."""
        population = BradleyTerryRouter.fit(train_part, validation, encoder)
        candidates = [cls(population.llms, population.strength, precision) for precision in PRECISIONS]
        return min(candidates, key=lambda router: router.log_loss(validation, train_part))

    def log_loss(self, held_out: PreferenceDataset, history: PreferenceDataset) -> float:
        """Summed Bradley-Terry log-loss on held-out ratings, knowing `history`."""
        loss = 0.0
        for row in np.unique(held_out.user):
            own = held_out.where(held_out.user == row)
            strength = self._strength(history.users[row], history)
            margin = strength[own.llm_a] - strength[own.llm_b]
            loss += float((np.logaddexp(0, margin) - own.label * margin).sum())
        return loss

    def _strength(self, user: UserId, history: PreferenceDataset | None) -> Floats:
        if history is None:
            return self.population
        column = {llm: i for i, llm in enumerate(self.llms)}
        to_column = np.array([column.get(m.llm_id, -1) for m in history.llms])
        own = history.of_user(user)
        a, b = to_column[own.llm_a], to_column[own.llm_b]
        known = (a >= 0) & (b >= 0)
        weight = own.weight[known]
        return bradley_terry(a[known], b[known], own.label[known], self.population, self.precision, weight).value

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same row for every query of one user."""
        return np.tile(softmax(self._strength(user, history)), (len(queries), 1))

    def to_bytes(self) -> bytes:
        return pack(
            {"kind": self.kind, "llms": list(self.llms), "precision": self.precision}, population=self.population
        )

    @classmethod
    def from_bytes(cls, data: bytes, encoder: TextEncoder) -> Self:
        header, arrays = unpack(data, cls.kind)
        return cls(tuple(LLMId(m) for m in header["llms"]), arrays["population"], float(header["precision"]))
