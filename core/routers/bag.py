"""One kind of router fitted to several folds, as one: the mean of the log-probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import LLMId, Query, UserId
from core.encoders import TextEncoder
from core.routers.artifact import pack, unpack
from core.routers.base import Probabilities, answers, softmax


def mean_of_logs(told: Sequence[Probabilities]) -> Probabilities:
    """[..., L]: the softmax of the mean of what several tell, in logs."""
    total = np.log(np.maximum(told[0], 1e-300))
    for each in told[1:]:  # a few small arrays: to stack them would cost more than to add them
        total += np.log(np.maximum(each, 1e-300))
    return softmax(total / len(told))


@dataclass(frozen=True, eq=False)
class Bag:
    """Finished routers of one kind over the same LLMs, at least one."""

    members: tuple[Any, ...]

    @property
    def kind(self) -> str:
        return str(self.members[0].kind)

    @property
    def llms(self) -> tuple[LLMId, ...]:
        return tuple(self.members[0].llms)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`."""
        return mean_of_logs([member.predict_proba(user, queries, history) for member in self.members])

    def predict_everyone(self, queries: Sequence[Query], history: PreferenceDataset) -> Probabilities:
        """See `Batched`."""
        return mean_of_logs([answers(member, queries, history) for member in self.members])

    def to_bytes(self) -> bytes:
        """An npz of the members' own bytes."""
        members = {f"member{i}": np.frombuffer(m.to_bytes(), np.uint8) for i, m in enumerate(self.members)}
        return pack({"kind": f"bag of {self.kind}", "members": len(self.members)}, **members)

    @classmethod
    def from_bytes(cls, data: bytes, kind: Any, encoder: TextEncoder) -> Self:
        """The bag of routers of class `kind` that `to_bytes` wrote. Raises as their `from_bytes` does."""
        header, arrays = unpack(data, f"bag of {kind.kind}")
        names = [f"member{i}" for i in range(int(header["members"]))]
        return cls(tuple(kind.from_bytes(arrays[name].tobytes(), encoder) for name in names))
