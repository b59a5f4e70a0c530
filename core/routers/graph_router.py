"""GraphRouter: a graph of tasks, queries and LLMs, whose query-LLM edges carry how well the LLM did there; no person in
it.

Feng et al., 2025, arXiv 2410.03834: a heterogeneous GNN trained by predicting hidden query-LLM edges, inductive in the
queries. In every step a random part of the queries shows its edges and the others are predicted, as an asked query is:
from its text and its task alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
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
    network_of,
    noisy,
    pair_log_loss,
    pair_margins,
    seeded,
    tensor,
)
from core.routers.stored import StoredRouter
from core.routers.uniroute_kmeans import POPULATION_STRENGTH
from core.routers.vectors import EncodedOnce, llm_vectors, query_vectors, task_names, task_rows
from core.routers.win_rates import Floats, WinCounts, logit

NOISES = (2.0, 0.0, 4.0)  # standard deviations of the query vectors
HIDDEN = 32
LAYERS = 2
STRENGTH = 4.0  # games that the population's win rate is worth on one query
SCALE = 8.0
PLAN = Descent(epochs=40, steps=10, learning_rate=4e-3, weight_decay=0.1, patience=6)


class Edges(NamedTuple):
    """E query-LLM edges: `query`, `llm` [E] rows, `gain` [E, 1] the logit of the win rate there less the
    population's.
    """

    query: Tensor
    llm: Tensor
    gain: Tensor

    def where(self, visible: Tensor) -> "Edges":
        """The edges of the queries marked in `visible` [Q]."""
        return Edges(*(column[visible[self.query]] for column in self))


class States(NamedTuple):
    """Hidden states after one layer: task [T, H], query [Q, H], LLM [L, H]."""

    task: Tensor
    query: Tensor
    llm: Tensor


class GraphLayer(nn.Module):
    """One GATConv (Velickovic et al., 2018) for each relation, summed with a linear map of the node's own state."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.ModuleDict({name: nn.Linear(HIDDEN, HIDDEN) for name in States._fields})
        self.query_to_llm, self.llm_to_query = gat(edge_dim=1), gat(edge_dim=1)
        self.query_to_task, self.task_to_query = gat(), gat()

    def forward(self, states: States, task: Tensor, edges: Edges) -> States:
        """The next states; `task` [Q] is each query's task row, T where it has none."""
        has = (task < len(states.task)).nonzero()[:, 0]
        in_task, seen = torch.stack([has, task[has]]), torch.stack([edges.query, edges.llm])
        size = {"q": len(states.query), "t": len(states.task), "l": len(states.llm)}
        to_task = self.query_to_task((states.query, states.task), in_task, size=(size["q"], size["t"]))
        from_task = self.task_to_query((states.task, states.query), in_task.flip(0), size=(size["t"], size["q"]))
        from_llm = self.llm_to_query((states.llm, states.query), seen.flip(0), edges.gain, size=(size["l"], size["q"]))
        to_llm = self.query_to_llm((states.query, states.llm), seen, edges.gain, size=(size["q"], size["l"]))
        return States(
            torch.relu(self.own["task"](states.task) + to_task),
            torch.relu(self.own["query"](states.query) + from_task + from_llm),
            torch.relu(self.own["llm"](states.llm) + to_llm),
        )


def gat(edge_dim: int | None = None) -> GATConv:
    """A GATConv between two kinds of nodes of width `HIDDEN`."""
    return GATConv((HIDDEN, HIDDEN), HIDDEN, add_self_loops=False, edge_dim=edge_dim)


class GraphNetwork(nn.Module):
    """Two layers over the graph; the score of an edge is <h_q, h_m> + b_m."""

    def __init__(self, dim: int, tasks: int, llms: int) -> None:
        super().__init__()
        self.task = nn.Parameter(torch.randn(tasks, HIDDEN) * 0.3)
        self.query, self.llm = nn.Sequential(nn.Dropout(0.2), nn.Linear(dim, HIDDEN)), nn.Linear(dim, HIDDEN)
        self.llm_free = nn.Parameter(torch.randn(llms, HIDDEN) * 0.3)
        self.bias = nn.Parameter(torch.zeros(llms))
        self.layers = nn.ModuleList(GraphLayer() for _ in range(LAYERS))

    def first(self, vectors: Tensor, llm_vectors: Tensor) -> States:
        """States before any layer."""
        return States(self.task, self.query(vectors), self.llm(llm_vectors) + self.llm_free)

    def forward(self, vectors: Tensor, task: Tensor, llm_vectors: Tensor, edges: Edges) -> list[States]:
        """States before and after each layer, given the vectors [Q, dim], [L, dim] and the edges that may be seen."""
        found = [self.first(vectors, llm_vectors)]
        for layer in self.layers:
            found.append(layer(found[-1], task, edges))
        return found

    def scores(self, states: States) -> Tensor:
        """[Q, L]."""
        scores: Tensor = states.query @ states.llm.T / HIDDEN**0.5 + self.bias
        return scores

    def asked(self, vectors: Tensor, task: Tensor, known: Sequence[States]) -> Tensor:
        """[Q, L] scores of new queries, which hear of their task and send nothing: `known` are the graph's states at
        each layer.
        """
        none = torch.zeros(0, dtype=torch.long)
        query = self.query(vectors)
        for layer, (before, _) in zip(self.layers, pairwise(known), strict=True):
            query = layer(before._replace(query=query), task, Edges(none, none, torch.zeros(0, 1))).query
        return self.scores(known[-1]._replace(query=query))


@dataclass(frozen=True, eq=False)
class GraphRouter(StoredRouter):
    """The network's weights as arrays, and the states [LAYERS + 1, T or L, H] of tasks and LLMs, which stand for the
    whole graph.
    """

    tasks: tuple[str, ...]
    weights: dict[str, Floats]
    task_states: Floats
    llm_states: Floats
    encoder: TextEncoder

    kind: ClassVar[str] = "graph_router"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """Noise on the queries' vectors and the epoch are chosen on validation."""
        check_both_parts(train_part, validation)
        graph = _Graph(train_part, validation, EncodedOnce(encoder))
        tried = [graph.fitted(noise, seed) for noise in NOISES]
        network = min(tried, key=lambda candidate: candidate[0])[1]
        with torch.no_grad():
            states = graph.states(network)
        task, llm = (np.stack([getattr(s, name).detach().numpy() for s in states]) for name in ("task", "llm"))
        return cls(tuple(m.llm_id for m in train_part.llms), graph.tasks, arrays(network), task, llm, encoder)

    def __post_init__(self) -> None:
        self._network  # noqa: B018  (weights that do not fit are found out when the router is made, not when it is asked)

    @cached_property
    def _network(self) -> GraphNetwork:
        network = GraphNetwork(self.weights["llm.weight"].shape[1], len(self.tasks), len(self.llms))
        return network_of(network, self.weights)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The same for every user."""
        vectors = tensor(query_vectors(queries, self.encoder) * SCALE)
        task, nobody = tensor(task_rows(queries, self.tasks)), torch.zeros(0, HIDDEN)
        states = [States(tensor(t), nobody, tensor(m)) for t, m in zip(self.task_states, self.llm_states, strict=True)]
        with torch.no_grad():
            return softmax(self._network.asked(vectors, task, states).numpy())


class _Graph:
    """The graph of one fit and the ratings to predict."""

    def __init__(self, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder) -> None:
        self.tasks = task_names(train_part.queries)
        self.vectors, self.held_out_vectors, self.llms = (
            tensor(vectors * SCALE)
            for vectors in (
                query_vectors(train_part.queries, encoder), query_vectors(validation.queries, encoder),
                llm_vectors(train_part.llms, encoder) / SCALE,
            )
        )  # fmt: skip
        self.task, self.held_out_task = (tensor(task_rows(p.queries, self.tasks)) for p in (train_part, validation))
        self.said, self.held_out = Columns.of(train_part), Columns.of(validation)
        self.edges = query_llm_edges(train_part)
        self.rated = self.said.query.unique()

    def states(self, network: GraphNetwork) -> list[States]:
        """With every edge seen."""
        found: list[States] = network(self.vectors, self.task, self.llms, self.edges)
        return found

    def fitted(self, noise: float, seed: int) -> tuple[float, GraphNetwork]:
        """Validation loss and network at one level of noise."""
        with seeded(seed):
            network = GraphNetwork(self.vectors.shape[1], len(self.tasks), len(self.llms))

            def loss() -> Tensor:
                visible = torch.rand(len(self.vectors)) < 0.1 + 0.8 * torch.rand(())
                visible[self.rated[torch.randint(len(self.rated), ())]] = False  # there is always one to predict
                states = network(noisy(self.vectors, noise), self.task, self.llms, self.edges.where(visible))[-1]
                targets = Columns(*(column[~visible[self.said.query]] for column in self.said))
                return pair_log_loss(network.scores(states), targets)

            def validation_loss() -> float:
                scores = network.asked(self.held_out_vectors, self.held_out_task, self.states(network))
                margin = pair_margins(scores, self.held_out)
                return at_best_scale(margin, self.held_out.label, self.held_out.stage).loss

            return descend(network, loss, validation_loss, PLAN), network


def query_llm_edges(ratings: PreferenceDataset) -> Edges:
    """One edge for each query and LLM that was compared there."""
    counts = WinCounts.by_group(
        ratings.query,
        len(ratings.queries),
        ratings.llm_a,
        ratings.llm_b,
        ratings.label,
        len(ratings.llms),
        ratings.weight,
    )
    population = population_counts(ratings).rate(0.5, POPULATION_STRENGTH)
    query, llm = np.nonzero(counts.games)
    gain = (logit(counts.rate(population, STRENGTH)) - logit(population))[query, llm]
    return Edges(tensor(query), tensor(llm), tensor(gain[:, None]))
