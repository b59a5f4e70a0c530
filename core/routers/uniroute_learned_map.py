"""UniRoute, learned map: as with clusters, but a query belongs to each cluster a little, as learned from the
comparisons.

Jitkrittum et al., 2025, arXiv 2502.08773, section 5.2: Phi_k(q) ~ exp(theta_k . phi(q)), and the score of LLM m is the
Phi-weighted mean of its cluster scores Psi_k(m); theta is fitted by log-loss with Psi fixed. The log-loss here is
Bradley-Terry's, as the labels are comparisons. An LLM that joins later needs only its Psi, counted in the clusters
that the fit began with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from core.dataset import PreferenceDataset
from core.domain import LLM, Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Probabilities, softmax
from core.routers.best_llm import population_counts
from core.routers.descent import (
    Columns,
    Descent,
    arrays,
    at_best_scale,
    check_both_parts,
    descend,
    noisy,
    pair_log_loss,
    pair_margins,
    seeded,
    tensor,
)
from core.routers.stored import StoredRouter
from core.routers.uniroute_kmeans import POPULATION_STRENGTH, STRENGTHS, Clusters, clusterings, newcomers_rate
from core.routers.vectors import EncodedOnce, query_vectors
from core.routers.win_rates import Floats, logit

NOISES = (2.0, 0.0)  # standard deviations of the query vectors
SHARPNESS = 10.0  # of the assignment by centres that the descent starts from
PLAN = Descent(epochs=40, steps=10, learning_rate=1e-2, weight_decay=0.0, patience=6)


class AssignmentMap(nn.Module):
    """theta [K, dim] from the clusters' centres, and one scale of the fixed cluster scores [K, L]."""

    def __init__(self, centre: Tensor, score: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(SHARPNESS * centre)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("score", score)

    def forward(self, vectors: Tensor) -> Tensor:
        """[Q, L] scores of the queries with these vectors [Q, dim]."""
        scores: Tensor = torch.softmax(vectors @ self.theta.T, -1) @ self.get_buffer("score") * self.log_scale.exp()
        return scores


class _Tried(NamedTuple):
    loss: float
    state: dict[str, Floats]
    centre: Floats
    strength: float


@dataclass(frozen=True, eq=False)
class UniRouteLearnedMapRouter(StoredRouter):
    """theta [K, dim] and the scores [K, L] of the LLMs in each cluster, times the learned `scale`; the centres [K, dim]
    of the clusters, and how many games an LLM's overall rate is worth in one.
    """

    theta: Floats
    score: Floats
    centre: Floats
    strength: float
    scale: float
    encoder: TextEncoder

    kind: ClassVar[str] = "uniroute_learned_map"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """The number of clusters, their shrinkage, the noise and the epoch are chosen on validation."""
        check_both_parts(train_part, validation)
        once = EncodedOnce(encoder)
        once.encode([q.text for q in (*train_part.queries, *validation.queries)])
        population = population_counts(train_part).rate(0.5, POPULATION_STRENGTH)
        best = min(
            (
                _fitted(
                    train_part,
                    validation,
                    once,
                    clusters,
                    population,
                    strength,
                    noise,
                    seed,
                )
                for clusters in clusterings(train_part, once, seed)
                for strength in STRENGTHS[::2]
                for noise in NOISES
            ),
            key=lambda tried: tried.loss,
        )
        theta, scale = best.state["theta"], float(np.exp(best.state["log_scale"]))
        llms = tuple(m.llm_id for m in train_part.llms)
        return cls(llms, theta, scale * best.state["score"], best.centre, best.strength, scale, encoder)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same for every user."""
        return softmax(softmax(query_vectors(queries, self.encoder) @ self.theta.T) @ self.score)

    def with_llm(self, llm: LLM, history: PreferenceDataset) -> Self:
        """See `Onboards`. Its description is not read."""
        rate = newcomers_rate(llm, history, self.llms, self.centre, self.strength, self.encoder)
        score = np.column_stack([self.score, self.scale * logit(rate)])
        return replace(self, llms=(*self.llms, llm.llm_id), score=score)


def _fitted(
    train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder,
    clusters: Clusters, population: Floats, strength: float, noise: float, seed: int,
) -> _Tried:  # fmt: skip
    vectors = tensor(query_vectors(train_part.queries, encoder))
    held_out_vectors = tensor(query_vectors(validation.queries, encoder))
    said, held_out = Columns.of(train_part), Columns.of(validation)
    with seeded(seed):
        network = AssignmentMap(tensor(clusters.centre), tensor(logit(clusters.counts.rate(population, strength))))

        def loss() -> Tensor:
            return pair_log_loss(network(noisy(vectors, noise)), said)

        def validation_loss() -> float:
            margin = pair_margins(network(held_out_vectors), held_out)
            return at_best_scale(margin, held_out.label, held_out.stage).loss

        least = descend(network, loss, validation_loss, PLAN)
    return _Tried(least, arrays(network), clusters.centre, strength)
