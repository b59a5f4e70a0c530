"""Global Bradley-Terry: one strength an LLM, the same for everyone. What is shown while there is no trained router."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import LLMId, Query, UserId
from core.encoders import TextEncoder
from core.routers.artifact import pack, unpack
from core.routers.base import Probabilities, softmax
from core.strengths import Floats, bradley_terry

PRIOR_PRECISION = 0.5  # weak: a spread of 1.4 logits among LLMs before any rating


@dataclass(frozen=True, eq=False)
class BradleyTerryRouter:
    """Strengths [L] of the population."""

    llms: tuple[LLMId, ...]
    strength: Floats

    kind: ClassVar[str] = "bradley_terry"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """Closed over `train_part`; without any rating every LLM is equal. Validation and texts are not used."""
        prior = np.zeros(len(train_part.llms))
        columns = train_part.llm_a, train_part.llm_b, train_part.label
        fitted = bradley_terry(*columns, prior, PRIOR_PRECISION, train_part.weight)
        return cls(tuple(m.llm_id for m in train_part.llms), fitted.value)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same row for every user and query."""
        return np.tile(softmax(self.strength), (len(queries), 1))

    def to_bytes(self) -> bytes:
        return pack({"kind": self.kind, "llms": list(self.llms)}, strength=self.strength)

    @classmethod
    def from_bytes(cls, data: bytes, encoder: TextEncoder) -> Self:
        header, arrays = unpack(data, cls.kind)
        return cls(tuple(LLMId(m) for m in header["llms"]), arrays["strength"])
