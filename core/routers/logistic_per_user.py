"""Logistic regression per person: ridge weights on query x LLM features, the population's plus the person's own, shrunk
towards none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.errors import NotEnoughData
from core.routers.base import Probabilities, softmax
from core.routers.calibration import log_loss
from core.routers.fold_in import Contrast, best_precision, fold_in
from core.routers.folded import FoldedRouter
from core.routers.own_ratings import OwnRatings, own_ratings
from core.routers.remembered import remembered, remembered_queries
from core.routers.vectors import EncodedOnce, query_vectors, task_names, task_rows
from core.strengths import Floats

COMPONENTS = 16
# The first of each is the default when there is no validation rating.
TEXT_SCALES = (2.0, 1.0, 4.0)
POPULATION_PRECISIONS = (3.0, 1.0, 10.0, 30.0, 100.0)
PRECISIONS = (3.0, 0.3, 1.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True, eq=False)
class LogisticPerUserRouter(FoldedRouter):
    """Score (w + w_u)_l . z(q), with z(q) [D] = 1, the task, the text's components. A person's w_u comes from the
    history.

    `mean` [dim] and `components` [C, dim] are the principal components of the rated queries' vectors; `weights` [L, D]
    the population's.
    """

    tasks: tuple[str, ...]
    mean: Floats
    components: Floats
    text_scale: float
    weights: Floats
    precision: float
    encoder: TextEncoder

    kind: ClassVar[str] = "logistic_per_user"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """The scale of the text features and both precisions are chosen on validation. The seed is not used."""
        if not len(train_part):
            raise NotEnoughData("There is no rating to learn from. Rate some pairs, or import ratings.")
        once = EncodedOnce(encoder)
        llms, tasks = tuple(m.llm_id for m in train_part.llms), task_names(train_part.queries)
        vectors = query_vectors([train_part.queries[i] for i in np.unique(train_part.query)], once)
        mean = vectors.mean(0)
        components = np.linalg.svd(vectors - mean, full_matrices=False)[2][:COMPONENTS]
        empty = np.zeros((len(llms), 1 + len(tasks) + len(components)))
        tried = []
        for text_scale in TEXT_SCALES:
            blank = cls(llms, tasks, mean, components, text_scale, empty, PRECISIONS[0], once)
            pooled = blank._with_population(train_part, validation)
            precision, loss = best_precision(pooled.persons(train_part, validation), PRECISIONS)
            tried.append((loss, text_scale, pooled.weights, precision))
        _, text_scale, weights, precision = min(tried, key=lambda candidate: candidate[0])
        return cls(llms, tasks, mean, components, text_scale, weights, precision, encoder)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. A stranger gets the population's weights."""
        weights, own = self.weights, own_ratings(user, history, self.llms)
        if own:
            folded = remembered(history, self.weights, user, lambda: fold_in(self._read(own), self.precision))
            weights = weights + folded.reshape(weights.shape)
        (z,) = remembered_queries(self.weights, queries, lambda new: (self._inputs(new),))
        return softmax(z @ weights.T)

    def predict_everyone(self, queries: Sequence[Query], history: PreferenceDataset) -> Probabilities:
        """See `Batched`."""
        weights = self.weights + self._weights_of(history).reshape(-1, *self.weights.shape)  # [U, L, D]
        return softmax(self._inputs(queries) @ weights.mT)

    def _inputs(self, queries: Sequence[Query]) -> Floats:
        """[Q, D]: z(q)."""
        text = (query_vectors(queries, self.encoder) - self.mean) @ self.components.T * self.text_scale
        task = np.eye(len(self.tasks) + 1)[task_rows(queries, self.tasks)][:, :-1]  # none, or one never seen: zeros
        return np.concatenate([np.ones((len(queries), 1)), task, text], 1)

    def _contrast(self, said: OwnRatings, inputs: Floats) -> Contrast:
        """Ratings as rows e_a x z - e_b x z of [L * D] features, offset by what the population's weights say."""
        delta = _blocks(inputs[said.query], said.a, said.b, len(self.llms))
        return Contrast(delta, delta @ self.weights.ravel(), said.label, said.stage)

    @property
    def _features(self) -> int:
        return self.weights.size

    def _with_population(self, train_part: PreferenceDataset, validation: PreferenceDataset) -> Self:
        """The same router with the population's weights, their precision chosen on validation."""
        z, held_out = self._inputs(train_part.queries), self._inputs(validation.queries)[validation.query]
        size = len(self.llms)
        swapped = train_part.llm_a > train_part.llm_b
        key, place = np.unique(_pairs(train_part, size), return_inverse=True)  # each query and pair once
        games = np.bincount(place, train_part.weight).astype(float)
        query, a, b = key // (size * size), key // size % size, key % size
        label = (
            np.bincount(place, train_part.weight * np.where(swapped, 1 - train_part.label, train_part.label)) / games
        )
        said = Contrast(_blocks(z[query], a, b, size), np.zeros(len(key)), label)
        asked = _blocks(held_out, validation.llm_a, validation.llm_b, size)
        found: list[Floats] = []
        for precision in POPULATION_PRECISIONS:
            found.append(fold_in(said, precision, games, found[-1] if found else None))
        best = min(found, key=lambda weights: log_loss(asked @ weights, validation.label))
        return type(self)(
            self.llms, self.tasks, self.mean, self.components, self.text_scale,
            best.reshape(self.weights.shape), self.precision, self.encoder,
        )  # fmt: skip


def _pairs(ratings: PreferenceDataset, llms: int) -> np.ndarray:
    """[N] one number for each query and two LLMs, the first of them first."""
    first, second = np.minimum(ratings.llm_a, ratings.llm_b), np.maximum(ratings.llm_a, ratings.llm_b)
    key: np.ndarray = (ratings.query.astype(np.int64) * llms + first) * llms + second
    return key


def _blocks(z: Floats, a: np.ndarray, b: np.ndarray, llms: int) -> Floats:
    """[N, L * D]: z [N, D] in the block of LLM a, and -z in that of LLM b."""
    delta = np.zeros((len(z), llms, z.shape[1]))
    delta[np.arange(len(z)), a] = z
    delta[np.arange(len(z)), b] -= z
    return delta.reshape(len(z), llms * z.shape[1])
