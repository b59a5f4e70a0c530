"""Every LLM equally likely: the floor that any router must beat."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import LLMId, Query, UserId
from core.encoders import TextEncoder
from core.routers.artifact import pack, unpack
from core.routers.base import Probabilities


@dataclass(frozen=True, eq=False)
class UniformRouter:
    """Knows the LLMs and nothing else."""

    llms: tuple[LLMId, ...]

    kind: ClassVar[str] = "uniform"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """Nothing is learned."""
        return cls(tuple(m.llm_id for m in train_part.llms))

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. 1 / L everywhere."""
        return np.full((len(queries), len(self.llms)), 1 / len(self.llms))

    def to_bytes(self) -> bytes:
        return pack({"kind": self.kind, "llms": list(self.llms)})

    @classmethod
    def from_bytes(cls, data: bytes, encoder: TextEncoder) -> Self:
        return cls(tuple(LLMId(m) for m in unpack(data, cls.kind)[0]["llms"]))
