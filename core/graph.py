"""The user-query-LLM graph: who rated which query, which LLM they preferred there, and the text vectors of queries and
LLMs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import HeteroData

from core.dataset import PreferenceDataset
from core.domain import LLM, Query
from core.encoders import TextEncoder, Vectors
from core.errors import InvalidInput

# One rating is three edges at the same position: the query rated, the LLM on side A and the LLM on side B, all into the
# user.
RATED_BY = ("query", "rated_by", "user")
SIDE_A = ("llm", "side_a", "user")
SIDE_B = ("llm", "side_b", "user")


@dataclass(frozen=True, eq=False)
class RoutingGraph:
    """A PyG graph whose node rows are the dataset's rows: `users`, `queries`, `llms` map them back to ids.

    `data["query"].x` [Q, dim], `data["query"].task` [Q] (index into `tasks`, -1 where unknown), `data["llm"].x` [L,
    dim], `data["user"].num_nodes` = U. Each of the E ratings is one edge at the same position of `RATED_BY`, `SIDE_A`
    and `SIDE_B` (`edge_index` [2, E], sorted by user); `data[RATED_BY].label` [E] is 1 where A was preferred, 0 for B,
    1/2 for neither, `traits` [E, T] the traits of the answer by A minus those of the answer by B (not a number where
    unknown), `weight` [E] how much the rating tells, `choice` [E] which ratings were one choice, numbered from 0, and
    `stage` [E] which of them are one factor of the likelihood, each -1 for those that stand alone (see
    `PreferenceDataset`), and `row` [E] the rating's position in the dataset it came from.
    """

    data: HeteroData
    tasks: tuple[str, ...]

    def to(self, device: torch.device) -> "RoutingGraph":
        """The same graph on another device."""
        return RoutingGraph(self.data.clone().to(str(device)), self.tasks)


def build_graph(visible: PreferenceDataset, encoder: TextEncoder, tasks: Sequence[str] | None = None) -> RoutingGraph:
    """Message edges from `visible` and from nothing else: what a caller leaves out cannot leak. `tasks` fixes the task
    rows.
    """
    tasks = tuple(sorted({q.task for q in visible.queries if q.task})) if tasks is None else tuple(tasks)
    data = HeteroData()
    data["query"].x = torch.from_numpy(query_vectors(visible.queries, encoder))  # [Q, dim]
    data["query"].task = torch.from_numpy(task_rows(visible.queries, tasks))  # [Q]
    data["llm"].x = torch.from_numpy(llm_vectors(visible.llms, encoder))  # [L, dim]
    data["user"].num_nodes = len(visible.users)
    order = np.argsort(visible.user, kind="stable")
    for name, source in ((RATED_BY, visible.query), (SIDE_A, visible.llm_a), (SIDE_B, visible.llm_b)):
        data[name].edge_index = torch.from_numpy(
            np.stack([source[order], visible.user[order]]).astype(np.int64)
        )  # [2, E]
    edges = data[RATED_BY]
    edges.label = torch.from_numpy(visible.label[order].astype(np.float32))  # [E]
    edges.traits = torch.from_numpy(trait_differences(visible)[order])  # [E, T]
    edges.weight = torch.from_numpy(visible.weight[order].astype(np.float32))  # [E]
    edges.stage = torch.from_numpy(visible.stage[order])  # [E]
    several, number = np.unique(visible.choice[order], return_inverse=True)
    edges.choice = torch.from_numpy(number.astype(np.int64) - int((several < 0).any()))  # [E]
    edges.row = torch.from_numpy(order.astype(np.int64))  # [E]
    data.validate()
    return RoutingGraph(data, tasks)


def trait_differences(visible: PreferenceDataset) -> NDArray[np.float32]:
    """[N, T]: what differed between the two answers shown, NaN where one of them is unknown or not finite."""
    finite = np.append(np.isfinite(visible.traits).all(1), False)  # the last is what -1, unknown, points to
    known = finite[visible.response_a] & finite[visible.response_b]
    difference = np.full((len(visible), visible.traits.shape[1]), np.nan, np.float32)
    difference[known] = visible.traits[visible.response_a[known]] - visible.traits[visible.response_b[known]]
    return difference


def query_vectors(queries: Sequence[Query], encoder: TextEncoder) -> Vectors:
    """[Q, dim] text vectors of the queries."""
    return _finite(encoder.encode([q.text for q in queries]), "query")


def llm_vectors(llms: Sequence[LLM], encoder: TextEncoder) -> Vectors:
    """[L, dim] text vectors of the LLMs' descriptions."""
    return _finite(encoder.encode([m.text for m in llms]), "LLM")


def task_rows(queries: Sequence[Query], tasks: Sequence[str]) -> np.ndarray:
    """[Q] row of each query's task in `tasks`, -1 where it is unknown."""
    row = {name: i for i, name in enumerate(tasks)}
    return np.array([row.get(q.task, -1) for q in queries], np.int64)


def _finite(vectors: Vectors, what: str) -> Vectors:
    if not np.isfinite(vectors).all():
        bad = int((~np.isfinite(vectors).all(axis=1)).sum())
        raise InvalidInput(
            f"{bad} {what} vectors are not finite, so nothing can be learned or decided from them. "
            "Clear the cached text embeddings and try again."
        )
    return vectors
