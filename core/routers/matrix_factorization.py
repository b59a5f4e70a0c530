"""Matrix factorisation: an LLM vector times a projected query, weighted by everyone's weights plus the person's own.

RouteLLM (Ong et al., 2024, arXiv 2406.18665), section 4.1, scores delta(m, q) = w . (v_m * (W q)); a person's factor
joins the weights: s(u, q, m) = (w + w_u) . (v_m * z_q) + b_m, z_q = W q + c + the task's vector. A person's factor is
learned together with the rest, to shape it, and then thrown away: for prediction it is solved for from the history
(ridge / MAP with W, v, w fixed). On the simulated personas that is better than the learned factors themselves (.460 v
.445 at 50 users, .422 v .399 at 200), and nothing of anyone is held.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.dropout import dropped
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.descent import (
    Columns,
    Descent,
    arrays,
    at_best_scale,
    check_both_parts,
    descend,
    noisy,
    seeded,
    tensor,
)
from core.routers.fold_in import Contrast, best_precision, fold_in
from core.routers.folded import FoldedRouter
from core.routers.own_ratings import OwnRatings, own_ratings
from core.routers.remembered import remembered, remembered_queries
from core.routers.vectors import EncodedOnce, query_vectors, task_names, task_rows
from core.strengths import Floats

# Standard deviations of the query vectors. Without any, held-out loss was worse in each of 13 worlds of 9 to 1,000.
NOISES = (2.0, 4.0)
PRECISIONS = (10.0, 0.3, 1.0, 3.0, 30.0, 100.0)
HIDDEN = 32
DROPOUT = 0.2
BATCH = 2048  # comparisons
SCALE = 8.0  # unit vectors over some hundred entries: times 8 they suit a linear layer
PLAN = Descent(epochs=60, steps=20, learning_rate=4e-3, weight_decay=0.1, patience=8)


class Factors(nn.Module):
    """v, W, the tasks' vectors, w, b, and one factor a user, which starts at nothing."""

    def __init__(self, dim: int, tasks: int, llms: int, users: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, HIDDEN)
        self.task = nn.Embedding(tasks + 1, HIDDEN, padding_idx=tasks)
        self.llm = nn.Parameter(torch.randn(llms, HIDDEN) * 0.3)
        self.weight = nn.Parameter(torch.randn(HIDDEN) * 0.3)
        self.bias = nn.Parameter(torch.zeros(llms))
        self.user = nn.Parameter(torch.randn(users, HIDDEN) * 0.1)

    def forward(self, vectors: Tensor, tasks: Tensor, said: Columns) -> Tensor:
        """[N] s_a - s_b, from the vectors [Q, dim] and task rows [Q] of all queries."""
        z = self.query(dropped(vectors, DROPOUT) if self.training else vectors) + self.task(tasks)
        v = self.llm.index_select(0, said.a) - self.llm.index_select(0, said.b)
        weight = self.weight + self.user.index_select(0, said.user)
        bias = self.bias.index_select(0, said.a) - self.bias.index_select(0, said.b)
        margin: Tensor = (weight * v * z.index_select(0, said.query)).sum(-1) + bias
        return margin


@dataclass(frozen=True, eq=False)
class MatrixFactorizationRouter(FoldedRouter):
    """The factors as arrays (see `Factors`, without users), and the precision of people's factors around 0."""

    tasks: tuple[str, ...]
    factors: dict[str, Floats]
    precision: float
    noise: float
    encoder: TextEncoder

    kind: ClassVar[str] = "matrix_factorization"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """Epoch, noise on the queries' vectors and people's precision are chosen on validation."""
        check_both_parts(train_part, validation)
        once = EncodedOnce(encoder)
        llms, tasks = tuple(m.llm_id for m in train_part.llms), task_names(train_part.queries)
        tried = []
        for noise in NOISES:
            factors = _fitted(train_part, validation, once, noise, seed)
            router = cls(llms, tasks, factors, PRECISIONS[0], noise, once)
            precision, loss = best_precision(router.persons(train_part, validation), PRECISIONS)
            tried.append((loss, factors, precision, noise))
        _, factors, precision, noise = min(tried, key=lambda candidate: candidate[0])
        return cls(llms, tasks, factors, precision, noise, encoder)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. A stranger gets everyone's weights."""
        own, weight = own_ratings(user, history, self.llms), self.factors["weight"].astype(np.float64)
        if own:
            weight = weight + remembered(
                history, self.factors["llm"], user, lambda: fold_in(self._read(own), self.precision)
            )
        (z,) = remembered_queries(self.factors["llm"], queries, lambda new: (self._inputs(new),))
        return softmax((z * weight) @ self.factors["llm"].T + self.factors["bias"])

    def predict_everyone(self, queries: Sequence[Query], history: PreferenceDataset) -> Probabilities:
        """See `Batched`."""
        weight = self.factors["weight"] + self._weights_of(history)[:, None]  # [U, 1, H]
        return softmax((self._inputs(queries) * weight) @ self.factors["llm"].T + self.factors["bias"])

    def _inputs(self, queries: Sequence[Query]) -> Floats:
        """[Q, H]: z."""
        text = (
            query_vectors(queries, self.encoder) * SCALE @ self.factors["query.weight"].T + self.factors["query.bias"]
        )
        z: Floats = text + self.factors["task.weight"][task_rows(queries, self.tasks)]
        return z

    def _contrast(self, said: OwnRatings, inputs: Floats) -> Contrast:
        llm, bias = self.factors["llm"].astype(np.float64), self.factors["bias"]
        delta = inputs[said.query] * (llm[said.a] - llm[said.b])
        offset = delta @ self.factors["weight"] + bias[said.a] - bias[said.b]
        return Contrast(delta, offset, said.label, said.stage)

    @property
    def _features(self) -> int:
        return HIDDEN


def _fitted(
    train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, noise: float, seed: int
) -> dict[str, Floats]:
    tasks = task_names(train_part.queries)
    vectors = tensor(query_vectors(train_part.queries, encoder) * SCALE)
    held_out_vectors = tensor(query_vectors(validation.queries, encoder) * SCALE)
    rows, held_out_rows = tensor(task_rows(train_part.queries, tasks)), tensor(task_rows(validation.queries, tasks))
    said, held_out = Columns.of(train_part), Columns.of(validation)
    with seeded(seed):
        network = Factors(vectors.shape[1], len(tasks), len(train_part.llms), len(train_part.users))

        def loss() -> Tensor:
            picked = torch.randint(len(said.label), (min(BATCH, len(said.label)),))
            batch = Columns(*(column.index_select(0, picked) for column in said))
            margin = network(noisy(vectors, noise), rows, batch)
            return F.binary_cross_entropy_with_logits(margin, batch.label, batch.weight)

        def validation_loss() -> float:
            return at_best_scale(
                network(held_out_vectors, held_out_rows, held_out), held_out.label, held_out.stage
            ).loss

        descend(network, loss, validation_loss, PLAN)
    return {name: array for name, array in arrays(network).items() if name != "user"}
