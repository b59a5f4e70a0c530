"""The network behind PersonalizedRouter: user, task, query and LLM nodes, one GATConv for each relation, two layers of
width 32.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.routers.descent import Columns
from core.routers.graph_router import HIDDEN, LAYERS, gat

STRENGTH = 4.0  # games that a win rate of a half is worth on an edge


class PersonStates(NamedTuple):
    """Hidden states of all nodes: user [U, H], task [T, H], query [Q, H], LLM [L, H]."""

    user: Tensor
    task: Tensor
    query: Tensor
    llm: Tensor


class Ties(NamedTuple):
    """The edges: `task` [Q] each query's task row (T: none); `user_llm`, `query_llm`, `user_query` [2, E] of those that
    met in a rating.

    `user_gain`, `query_gain` [E, 1] are the LLM's logit win rate with that user or on that query, shrunk towards 0.
    """

    task: Tensor
    user_llm: Tensor
    user_gain: Tensor
    query_llm: Tensor
    query_gain: Tensor
    user_query: Tensor

    @classmethod
    def of(cls, task: Tensor, said: Columns, users: int, llms: int) -> Self:
        """The edges that some ratings make."""
        user_llm, user_gain = _gains(said.user, users, said, llms)
        query_llm, query_gain = _gains(said.query, len(task), said, llms)
        met = torch.unique(said.user * max(len(task), 1) + said.query)
        user_query = torch.stack([met // max(len(task), 1), met % max(len(task), 1)])
        return cls(task, user_llm, user_gain, query_llm, query_gain, user_query)


def _gains(group: Tensor, groups: int, said: Columns, llms: int) -> tuple[Tensor, Tensor]:
    """Edges [2, E] between groups and the LLMs compared in them, and the gains [E, 1] on these."""
    places = torch.cat([group * llms + said.a, group * llms + said.b])
    wins = torch.bincount(places, torch.cat([said.label, 1 - said.label]), groups * llms)
    games = torch.bincount(places, minlength=groups * llms)
    present = games.nonzero()[:, 0]
    rate = (wins[present] + STRENGTH / 2) / (games[present] + STRENGTH)
    return torch.stack([present // llms, present % llms]), torch.logit(rate).float()[:, None]


class PersonLayer(nn.Module):
    """One GATConv for each relation and direction, summed with a linear map of the node's own state."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.ModuleDict({name: nn.Linear(HIDDEN, HIDDEN) for name in PersonStates._fields})
        self.query_to_task, self.task_to_query, self.query_to_user = gat(), gat(), gat()
        self.query_to_llm, self.user_to_llm, self.llm_to_user = gat(edge_dim=1), gat(edge_dim=1), gat(edge_dim=1)

    def forward(self, states: PersonStates, ties: Ties) -> PersonStates:
        """The next states. Queries hear of their task only, so that one asked anew is like one that was rated."""
        user, task, query, llm = states
        users, tasks, queries, llms = map(len, states)
        has = (ties.task < tasks).nonzero()[:, 0]
        in_task = torch.stack([has, ties.task[has]])
        to_task = self.query_to_task((query, task), in_task, size=(queries, tasks))
        to_query = self.task_to_query((task, query), in_task.flip(0), size=(tasks, queries))
        to_user = self.query_to_user((query, user), ties.user_query.flip(0), size=(queries, users))
        to_user = to_user + self.llm_to_user((llm, user), ties.user_llm.flip(0), ties.user_gain, size=(llms, users))
        to_llm = self.user_to_llm((user, llm), ties.user_llm, ties.user_gain, size=(users, llms))
        to_llm = to_llm + self.query_to_llm((query, llm), ties.query_llm, ties.query_gain, size=(queries, llms))
        heard = PersonStates(to_user, to_task, to_query, to_llm)
        return PersonStates(
            *(F.elu(self.own[name](getattr(states, name)) + getattr(heard, name)) for name in states._fields)
        )


class PersonGraph(nn.Module):
    """Learned features of users and tasks, text features of queries and LLMs, two layers, and the score of the paper:

    s(u, t, q, m) = <h_u, h_t, h_q concatenated, M h_m> + b_m.
    """

    def __init__(self, dim: int, tasks: int, llms: int) -> None:
        super().__init__()
        self.anyone = nn.Parameter(torch.zeros(HIDDEN))
        self.task = nn.Parameter(torch.randn(tasks, HIDDEN) * 0.3)
        self.query, self.llm = nn.Sequential(nn.Dropout(0.2), nn.Linear(dim, HIDDEN)), nn.Linear(dim, HIDDEN)
        self.llm_free = nn.Parameter(torch.randn(llms, HIDDEN) * 0.3)
        self.layers = nn.ModuleList(PersonLayer() for _ in range(LAYERS))
        self.matched, self.bias = nn.Linear(HIDDEN, 3 * HIDDEN, bias=False), nn.Parameter(torch.zeros(llms))

    def forward(self, users: Tensor, vectors: Tensor, llm_vectors: Tensor, ties: Ties) -> list[PersonStates]:
        """States before and after each layer; `users` [U, H] are people's own features, added to `anyone`'s."""
        llm = self.llm(llm_vectors) + self.llm_free
        found = [PersonStates(self.anyone + users, self.task, self.query(vectors), llm)]
        for layer in self.layers:
            found.append(layer(found[-1], ties))
        return found

    def person(self, user: Tensor, vectors: Tensor, ties: Ties, known: Sequence[PersonStates]) -> PersonStates:
        """The last states of one user [1, H] and some queries, which only listen: `known` has tasks' and LLMs' states
        at each layer.
        """
        user, query = self.anyone + user, self.query(vectors)
        for layer, (before, _) in zip(self.layers, pairwise(known), strict=True):
            after = layer(before._replace(user=user, query=query), ties)
            user, query = after.user, after.query
        return known[-1]._replace(user=user, query=query)

    def margins(self, states: PersonStates, ties: Ties, said: Columns) -> Tensor:
        """[N]: s_a - s_b of each rating."""
        llm = self.matched(states.llm)
        joined = self._joined(states, ties, said.user, said.query)
        margin: Tensor = (joined * (llm[said.a] - llm[said.b])).sum(-1) + self.bias[said.a] - self.bias[said.b]
        return margin

    def scores(self, states: PersonStates, ties: Ties, asked: Tensor) -> Tensor:
        """[Q, L] scores of the first user for the queries in rows `asked` [Q]."""
        joined = self._joined(states, ties, torch.zeros_like(asked), asked)
        scores: Tensor = joined @ self.matched(states.llm).T + self.bias
        return scores

    def rescale(self, scale: float) -> None:
        """All scores times `scale`, in place."""
        self.matched.weight.mul_(scale)
        self.bias.mul_(scale)

    def _joined(self, states: PersonStates, ties: Ties, user: Tensor, query: Tensor) -> Tensor:
        task = torch.cat([states.task, states.task.new_zeros(1, HIDDEN)])  # no task: nothing
        return torch.cat([states.user[user], task[ties.task[query]], states.query[query]], -1)
