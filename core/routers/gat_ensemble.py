"""A few GATs that differ by their seed and by the queries they never saw, as one rung: the mean of their
log-probabilities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import LLM, LLMId, Query, UserId
from core.encoders import TextEncoder
from core.optimisation import Epoch, FitReport, TrainConfig
from core.routers.artifact import pack, unpack
from core.routers.bag import mean_of_logs
from core.routers.base import Probabilities, States
from core.routers.folds import folds_of
from core.routers.gat import GatRouter
from core.routers.win_rates import Floats

# (at most so many ratings, networks): where ratings are few, a network costs seconds and its seed matters most.
SIZES = ((5_000, 3),)
LEAST = 2
SEED_STEP = 1000


def networks_for(ratings: int) -> int:
    """How many networks are fitted to so many ratings."""
    return next((networks for most, networks in SIZES if ratings <= most), LEAST)


@dataclass(frozen=True, eq=False)
class GatEnsemble:
    """One or more finished GATs over the same LLMs."""

    members: tuple[GatRouter, ...]

    kind: ClassVar[str] = "gat"

    @classmethod
    def fit_with_report(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder,
        config: TrainConfig, on_epoch: Callable[[Epoch], None] | None = None,
    ) -> tuple[Self, FitReport]:  # fmt: skip
        """Fit the networks one after the other, each on its own fold of `folds_of`. Epochs are numbered through;
        `best_epoch` is that of the best.
        """
        members: list[GatRouter] = []
        curve: list[Epoch] = []
        seconds = 0.0
        networks = networks_for(train_part.items)
        device = ""
        for i, fold in enumerate(folds_of(train_part, validation, networks, config.seed)):
            before = len(curve)

            def heard(epoch: Epoch, before: int = before) -> None:
                curve.append(epoch._replace(number=before + epoch.number, epochs=networks * config.epochs))
                if on_epoch:
                    on_epoch(curve[-1])

            seed = config.seed + SEED_STEP * i
            member, report = GatRouter.fit_with_report(
                fold.train, fold.held_out, encoder, replace(config, seed=seed), heard
            )
            members.append(member)
            seconds, device = seconds + report.cpu_seconds, report.device
        best = min(curve, key=lambda epoch: epoch.validation_loss)
        return cls(tuple(members)), FitReport(tuple(curve), best.number, device, seconds)

    def reading(self, encoder: TextEncoder) -> Self:
        """The same networks with another encoder of the same vectors."""
        return replace(self, members=tuple(replace(member, encoder=encoder) for member in self.members))

    @property
    def llms(self) -> tuple[LLMId, ...]:
        return self.members[0].llms

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`."""
        return _pooled([member.predict_proba(user, queries, history) for member in self.members])

    def predict_draws(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None, n: int,
        seed: int,
    ) -> Probabilities:  # fmt: skip
        """[n, Q, L]: each draw takes a network in turn and draws the person's weights from its posterior, so that what
        the networks disagree on widens the intervals.
        """
        each = -(-n // len(self.members))
        draws = [m.predict_draws(user, queries, history, each, seed + i) for i, m in enumerate(self.members)]
        return np.stack(draws, 1).reshape(-1, *draws[0].shape[1:])[:n]

    def own_ratings(self, user: UserId, history: PreferenceDataset | None) -> PreferenceDataset:
        """See `Personal`."""
        return self.members[0].own_ratings(user, history)

    def attention(self, user: UserId, history: PreferenceDataset) -> Floats:
        """[N]: the networks' mean; sums to 1."""
        mean: Floats = np.mean([member.attention(user, history) for member in self.members], axis=0)
        return mean

    def leave_one_out(self, user: UserId, query: Query, history: PreferenceDataset) -> Probabilities:
        """See `Personal`."""
        return _pooled([member.leave_one_out(user, query, history) for member in self.members])

    def with_llm(self, llm: LLM, history: PreferenceDataset) -> Self:
        """See `Onboards`: every network finds the newcomer's place for itself."""
        return replace(self, members=tuple(member.with_llm(llm, history) for member in self.members))

    def predict_everyone(self, queries: Sequence[Query], history: PreferenceDataset) -> Probabilities:
        """See `Batched`."""
        return _pooled([member.predict_everyone(queries, history) for member in self.members])

    def states(self, queries: Sequence[Query], history: PreferenceDataset) -> States:
        """See `Embeds`. The networks' spaces side by side, so that an inner product is the mean of theirs."""
        each = [member.states(queries, history) for member in self.members]
        scale = len(each) ** -0.5
        return States(*(scale * np.concatenate(columns, 1) for columns in zip(*each, strict=True)))

    def to_bytes(self) -> bytes:
        """An npz of the networks' own bytes."""
        networks = {f"network{i}": np.frombuffer(m.to_bytes(), np.uint8) for i, m in enumerate(self.members)}
        return pack({"kind": self.kind, "networks": len(self.members)}, **networks)

    @classmethod
    def from_bytes(cls, data: bytes, encoder: TextEncoder) -> Self:
        """See `RouterClass`."""
        header, arrays = unpack(data, cls.kind)
        names = [f"network{i}" for i in range(int(header["networks"]))]
        return cls(tuple(GatRouter.from_bytes(arrays[name].tobytes(), encoder) for name in names))


def _pooled(probabilities: list[Probabilities]) -> Probabilities:
    if len(probabilities) == 1:
        return probabilities[0]
    return mean_of_logs(probabilities)
