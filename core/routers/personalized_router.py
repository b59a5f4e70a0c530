"""PersonalizedRouter: the peer this project answers, in the paper's shape and repaired so that it does depend on the
user.

Dai, Feng & You, 2025, arXiv 2511.16883. Its released code ties edges to queries alone and gives everyone the same pick;
here users are nodes with learned features and edges of their own, GATConv has its attention, and the validation loss,
not the test score, picks the epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.calibration import Calibrated
from core.routers.descent import (
    Columns,
    Descent,
    arrays,
    at_best_scale,
    check_both_parts,
    descend,
    network_of,
    noisy,
    seeded,
    tensor,
)
from core.routers.graph_router import HIDDEN
from core.routers.own_ratings import own_ratings
from core.routers.person_graph import PersonGraph, PersonStates, Ties
from core.routers.stored import StoredRouter
from core.routers.vectors import EncodedOnce, llm_vectors, query_vectors, task_names, task_rows
from core.strengths import Floats

SCALE = 8.0


class Recipe(NamedTuple):
    """What is tried: noise on query vectors (in their standard deviations), learning rate and decay. The paper has 0,
    1e-3 and none.
    """

    noise: float
    plan: Descent


RECIPES = (
    Recipe(0.0, Descent(epochs=40, steps=10, learning_rate=1e-3, weight_decay=0.0, patience=5)),
    Recipe(2.0, Descent(epochs=40, steps=10, learning_rate=4e-3, weight_decay=0.1, patience=5)),
    Recipe(4.0, Descent(epochs=40, steps=10, learning_rate=4e-3, weight_decay=0.1, patience=5)),
)


@dataclass(frozen=True, eq=False)
class PersonalizedRouter(StoredRouter):
    """Weights as arrays, the states [LAYERS + 1, T or L, H] of tasks and LLMs, and the learned features [U, H] of the
    users it met.

    Unlike the other routers it has parameters by user id, as the paper has: `users` names them. Anyone else starts from
    the feature shared by all, and everyone's ratings come in as messages from the history, with no gradient step.
    Folding all in that way would be cleaner, but this shape needs the features: without them it fell from .331 to .273
    of picks right (50 simulated personas).
    """

    tasks: tuple[str, ...]
    users: tuple[str, ...]
    features: Floats
    weights: dict[str, Floats]
    task_states: Floats
    llm_states: Floats
    encoder: TextEncoder

    kind: ClassVar[str] = "personalized_router"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """The recipe and the epoch are chosen on validation."""
        check_both_parts(train_part, validation)
        fit = _Fit(train_part, validation, EncodedOnce(encoder))
        tried = [fit.run(recipe, seed) for recipe in RECIPES]
        trained = min(tried, key=lambda candidate: candidate[0])[1]
        with torch.no_grad():
            states = trained.states(fit.vectors, fit.llms, fit.ties(fit.said))
        task, llm = (np.stack([getattr(s, name).detach().numpy() for s in states]) for name in ("task", "llm"))
        return cls(
            tuple(m.llm_id for m in train_part.llms), fit.tasks, tuple(train_part.users),
            trained.users.detach().numpy(), arrays(trained.network), task, llm, encoder,
        )  # fmt: skip

    def __post_init__(self) -> None:
        self._network  # noqa: B018  (weights that do not fit are found out when the router is made, not when it is asked)

    @cached_property
    def _network(self) -> PersonGraph:
        network = PersonGraph(self.weights["llm.weight"].shape[1], len(self.tasks), len(self.llms))
        return network_of(network, self.weights)

    @cached_property
    def _user_row(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.users)}

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`."""
        own, row = own_ratings(user, history, self.llms), self._user_row.get(user)
        feature = self.features[[row]] if row is not None else np.zeros((1, HIDDEN))
        together = (*own.queries, *queries)
        vectors = tensor(query_vectors(together, self.encoder) * SCALE)
        said = Columns(
            *map(tensor, (np.zeros_like(own.query), own.query, own.a, own.b, own.label, own.weight, own.stage))
        )
        ties = Ties.of(tensor(task_rows(together, self.tasks)), said, 1, len(self.llms))
        nobody = torch.zeros(0, HIDDEN)
        known = [
            PersonStates(nobody, tensor(t), nobody, tensor(m))
            for t, m in zip(self.task_states, self.llm_states, strict=True)
        ]
        with torch.no_grad():
            states = self._network.person(tensor(feature), vectors, ties, known)
            asked = torch.arange(len(own.queries), len(together))
            return softmax(self._network.scores(states, ties, asked).numpy())


class _Trained(nn.Module):
    """The network with the users' own features beside it, to be descended together."""

    def __init__(self, network: PersonGraph, users: int) -> None:
        super().__init__()
        self.network, self.users = network, nn.Parameter(torch.randn(users, HIDDEN) * 0.1)

    def states(self, vectors: Tensor, llms: Tensor, ties: Ties) -> list[PersonStates]:
        found: list[PersonStates] = self.network(self.users, vectors, llms, ties)
        return found


class _Fit:
    """The graph of one fit: training queries first, then the held-out ones, which send no rating edges."""

    def __init__(self, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder) -> None:
        self.tasks, self.users = task_names(train_part.queries), len(train_part.users)
        self.llms = tensor(llm_vectors(train_part.llms, encoder))
        self.said, self.held_out = Columns.of(train_part), Columns.of(validation)
        self.vectors = tensor(query_vectors(train_part.queries, encoder) * SCALE)
        self.task = tensor(task_rows(train_part.queries, self.tasks))

    def ties(self, said: Columns) -> Ties:
        return Ties.of(self.task, said, self.users, len(self.llms))

    def run(self, recipe: Recipe, seed: int) -> tuple[float, _Trained]:
        """Validation loss and network of one recipe, its scores at the scale that suits validation best."""
        with seeded(seed):
            trained = _Trained(PersonGraph(self.vectors.shape[1], len(self.tasks), len(self.llms)), self.users)

            def loss() -> Tensor:
                # A rating never sees itself: a random 10-90 % of each user's carry messages, the others are predicted.
                visible = torch.rand(len(self.said.label)) < (0.1 + 0.8 * torch.rand(self.users))[self.said.user]
                visible[torch.randint(len(visible), ())] = False
                ties = self.ties(Columns(*(column[visible] for column in self.said)))
                states = trained.states(noisy(self.vectors, recipe.noise), self.llms, ties)[-1]
                return self._loss(trained, states, ties, Columns(*(column[~visible] for column in self.said)))

            def judged() -> Calibrated:
                ties = self.ties(self.said)
                states = trained.states(self.vectors, self.llms, ties)[-1]
                margin = trained.network.margins(states, ties, self.held_out)
                return at_best_scale(margin, self.held_out.label, self.held_out.stage)

            descend(trained, loss, lambda: judged().loss, recipe.plan)
            with torch.no_grad():
                found = judged()
                trained.network.rescale(found.scale)
            return found.loss, trained

    def _loss(self, trained: _Trained, states: PersonStates, ties: Ties, targets: Columns) -> Tensor:
        margin = trained.network.margins(states, ties, targets)
        return F.binary_cross_entropy_with_logits(margin, targets.label, targets.weight)
