"""RouterDC: queries drawn towards the LLMs that do well on them and away from those that do badly, and towards queries
like them.

Chen et al., 2024, arXiv 2409.19886: query-LLM contrastive loss (each of the top LLMs of a query against its bottom
LLMs, summed over the top) plus query-query contrastive loss (one query of the same cluster against queries of others).
Scores here are win rates on the query, shrunk towards those in its cluster; the text encoder stays fixed and a linear
layer is learned on top, which is why cosines are divided by a temperature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.best_llm import population_counts
from core.routers.calibration import Calibrated, calibrate
from core.routers.descent import Descent, arrays, check_both_parts, descend, noisy, seeded, tensor
from core.routers.stored import StoredRouter
from core.routers.uniroute_kmeans import POPULATION_STRENGTH, nearest
from core.routers.vectors import EncodedOnce, query_vectors
from core.routers.win_rates import Floats, WinCounts


class Recipe(NamedTuple):
    """What is tried on validation."""

    noise: float  # on the query vectors, in their standard deviations
    share: float  # of the query-query loss; the paper's is 1
    strength: float  # games that a cluster's win rate is worth on one query


HIDDEN = 64
CLUSTERS = 8
TOP = 3  # LLMs drawn near, and as many pushed away
TEMPERATURE = 0.2
OTHERS = 8  # queries of other clusters in one contrast
SCALE = 8.0
PLAN = Descent(epochs=40, steps=10, learning_rate=4e-3, weight_decay=0.1, patience=6)
RECIPES = [Recipe(*knobs) for knobs in product((2.0, 0.0, 4.0), (1.0, 0.0), (4.0, 16.0))]


class Targets(NamedTuple):
    """R rated queries: vectors [R, dim], win rates [R, L], clusters [R]."""

    vectors: Tensor
    rate: Tensor
    cluster: Tensor


class DualContrast(nn.Module):
    """A projection of queries, and one vector for each LLM, on the same sphere."""

    def __init__(self, dim: int, llms: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, HIDDEN)
        self.llm = nn.Parameter(torch.randn(llms, HIDDEN) * 0.3)

    def project(self, vectors: Tensor) -> Tensor:
        """[Q, H] unit vectors."""
        return F.normalize(self.query(vectors), dim=-1)

    def forward(self, vectors: Tensor) -> Tensor:
        """[Q, L] cosines of the queries with these vectors [Q, dim] to the LLMs."""
        return self.project(vectors) @ F.normalize(self.llm, dim=-1).T


@dataclass(frozen=True, eq=False)
class RouterDCRouter(StoredRouter):
    """The projection and the LLMs' vectors as arrays (see `DualContrast`), and the scale of cosines, calibrated on
    validation.
    """

    state: dict[str, Floats]
    scale: float
    encoder: TextEncoder

    kind: ClassVar[str] = "router_dc"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """The recipe, the epoch and the scale are chosen on validation."""
        check_both_parts(train_part, validation)
        once = EncodedOnce(encoder)
        rated = _Rated(train_part, once, seed)
        tried = []
        for recipe in RECIPES:
            state, fitted = _fitted(rated.targets(recipe.strength), validation, once, recipe, seed)
            tried.append((fitted.loss, state, fitted.scale))
        _, state, scale = min(tried, key=lambda candidate: candidate[0])
        return cls(tuple(m.llm_id for m in train_part.llms), state, scale, encoder)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same for every user."""
        vectors = query_vectors(queries, self.encoder) * SCALE
        query = vectors @ self.state["query.weight"].T + self.state["query.bias"]
        llm = self.state["llm"]
        cosine = (query @ llm.T) / np.maximum(np.linalg.norm(query, axis=1, keepdims=True), 1e-12)
        return softmax(self.scale * cosine / np.maximum(np.linalg.norm(llm, axis=1), 1e-12))


class _Rated:
    """The rated queries of one fit, in clusters, with everyone's wins and games on each."""

    def __init__(self, train_part: PreferenceDataset, encoder: TextEncoder, seed: int) -> None:
        from sklearn.cluster import KMeans

        rated, query = np.unique(train_part.query, return_inverse=True)
        self.vectors = query_vectors([train_part.queries[i] for i in rated], encoder)
        size = min(CLUSTERS, len(np.unique(self.vectors, axis=0)))
        centre = KMeans(size, n_init=4, random_state=seed).fit(self.vectors).cluster_centers_
        self.cluster = nearest(self.vectors, centre)
        columns = (train_part.llm_a, train_part.llm_b, train_part.label, len(train_part.llms), train_part.weight)
        self.population = population_counts(train_part).rate(0.5, POPULATION_STRENGTH)
        self.in_cluster = WinCounts.by_group(self.cluster[query], size, *columns)
        self.on_query = WinCounts.by_group(query, len(rated), *columns)

    def targets(self, strength: float) -> Targets:
        expected = self.in_cluster.rate(self.population, strength)[self.cluster]  # [R, L]
        return Targets(
            tensor(self.vectors * SCALE), tensor(self.on_query.rate(expected, strength)), tensor(self.cluster)
        )


def _fitted(
    targets: Targets, validation: PreferenceDataset, encoder: TextEncoder, recipe: Recipe, seed: int
) -> tuple[dict[str, Floats], Calibrated]:
    held_out = tensor(query_vectors(validation.queries, encoder) * SCALE)

    def calibrated() -> Calibrated:
        score = network(held_out).numpy().astype(np.float64)
        margin = score[validation.query, validation.llm_a] - score[validation.query, validation.llm_b]
        return calibrate(margin, validation.label)

    with seeded(seed):
        network = DualContrast(targets.vectors.shape[1], targets.rate.shape[1])

        def loss() -> Tensor:
            hidden = network.project(noisy(targets.vectors, recipe.noise))
            cosine = hidden @ F.normalize(network.llm, dim=-1).T
            value = query_llm_loss(cosine / TEMPERATURE, targets.rate)
            if recipe.share:
                value = value + recipe.share * query_query_loss(hidden / TEMPERATURE**0.5, targets.cluster)
            return value

        descend(network, loss, lambda: calibrated().loss, PLAN)
        with torch.no_grad():
            return arrays(network), calibrated()


def query_llm_loss(logits: Tensor, rate: Tensor) -> Tensor:
    """Mean over queries of the sum over the top LLMs of -log of each one's share against the bottom LLMs; `logits` and
    `rate` are [R, L].
    """
    top = min(TOP, max(rate.shape[1] // 2, 1))
    order = rate.argsort(dim=1, descending=True)
    near, far = logits.gather(1, order[:, :top]), logits.gather(1, order[:, -top:])  # [R, top] each
    against = torch.cat([near[..., None], far[:, None, :].expand(-1, top, -1)], -1)  # [R, top, 1 + top]
    return -torch.log_softmax(against, -1)[..., 0].sum(1).mean()


def query_query_loss(hidden: Tensor, cluster: Tensor) -> Tensor:
    """Mean of -log share of another query of the same cluster (itself where it is alone) against `OTHERS` of other
    clusters, drawn anew; 0 with one cluster.
    """
    same = cluster[:, None] == cluster[None, :]  # [R, R]
    if bool(same.all()):
        return hidden.sum() * 0
    itself = torch.eye(len(same), dtype=torch.bool)
    fellows = same & ~itself
    friend = torch.multinomial(torch.where(fellows.any(1, keepdim=True), fellows, itself).float(), 1)
    others = torch.multinomial((~same).float(), OTHERS, replacement=True)
    drawn = hidden[torch.cat([friend, others], 1)]  # [R, 1 + OTHERS, H]
    return -torch.log_softmax((drawn * hidden[:, None]).sum(-1), -1)[:, 0].mean()
