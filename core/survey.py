"""A survey of a router: what it tells many people about the same queries, and where it sees them, the queries and the
LLMs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import LLMId, Query, UserId
from core.groups import groups
from core.layout import Layout, lay_out
from core.routers.base import Embeds, Router, States

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Empty(LookupError):
    """A survey was asked about queries of a task it did not ask about."""


@dataclass(frozen=True, eq=False)
class Survey:
    """U people asked about Q queries over L LLMs. `probability` [U, Q, L] and `average` [Q, L] (a stranger's) are
    `predict_proba`; `ratings` [U] is how many ratings of each person the answers rest on. `states` are of `users`, of
    `mapped` (more queries than were asked about) and of `llms`; None for a router that has none. `usual` [M] is the
    column of the LLM that a stranger gets for each of `mapped`.
    """

    users: tuple[UserId, ...]
    ratings: Ints
    queries: tuple[Query, ...]
    llms: tuple[LLMId, ...]
    probability: NDArray[np.float32]
    average: NDArray[np.float32]
    mapped: tuple[Query, ...]
    usual: Ints
    states: States | None

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """The tasks asked about, sorted."""
        return tuple(sorted({query.task for query in self.queries if query.task}))

    @cached_property
    def layout(self) -> Layout:
        """The picture of the states. Raises ValueError where there are none."""
        if self.states is None:
            raise ValueError("a router without states has no picture")
        return lay_out(self.states)

    @cached_property
    def groups(self) -> Ints:
        """[U]: people of like taste, by their states; 0 is the largest group."""
        if self.states is None:
            raise ValueError("a router without states has no groups")
        return groups(self.states.users)

    @cached_property
    def picks(self) -> Ints:
        """[U, Q]: column of the LLM that each person gets."""
        return np.asarray(self.probability.argmax(-1), np.int64)

    def shares(self, task: str | None = None) -> Floats:
        """[U, L]: the share of the queries (of one task) that is routed to each LLM."""
        return _shares(self.picks[:, self._asked(task)], len(self.llms))

    def average_shares(self, task: str | None = None) -> Floats:
        """[L]: the same for a stranger."""
        return np.asarray(_shares(self.average.argmax(-1)[None, self._asked(task)], len(self.llms))[0])

    def differs(self, task: str | None = None) -> Floats:
        """[U]: how personal: the share of the queries for which a person gets another LLM than a stranger would."""
        asked = self._asked(task)
        return np.asarray((self.picks[:, asked] != self.average.argmax(-1)[asked]).mean(1))

    def top(self, task: str | None = None) -> Ints:
        """[U]: column of the LLM that each person gets most often, the more probable one of equals."""
        asked = self._asked(task)
        # A mean probability is below 1, and one query more is worth more than any of them.
        score = self.shares(task) * asked.sum() + self.probability[:, asked].mean(1)
        return np.asarray(score.argmax(-1), np.int64)

    def _asked(self, task: str | None) -> NDArray[np.bool_]:
        """[Q]: the queries of a task. Raises Empty where there are none."""
        asked = np.array([task is None or query.task == task for query in self.queries], bool)
        if not asked.any():
            raise Empty(task or "all tasks")
        return asked


def _shares(picks: Ints, llms: int) -> Floats:
    return np.stack([(picks == column).mean(-1) for column in range(llms)], -1)


def states(router: Router, queries: Sequence[Query], history: PreferenceDataset) -> States | None:
    """Where a router sees `history.users`, the queries and its LLMs; None where it has no space for them."""
    return router.states(queries, history) if isinstance(router, Embeds) else None


def evenly(n: int, most: int) -> Ints:
    """At most so many of the positions 0..n-1, evenly spread, always the same."""
    return np.unique(np.linspace(0, max(n - 1, 0), min(n, most)).round().astype(np.int64))


def by_task(tasks: Sequence[str], most: int) -> Ints:
    """At most so many positions, rising, as many of each task as of the others where there are enough."""
    groups = [np.flatnonzero(np.array(tasks) == task) for task in sorted(set(tasks))]
    kept: list[Ints] = []
    left = most
    for i, group in enumerate(sorted(groups, key=len)):  # what a small task does not use goes to the larger ones
        kept.append(group[evenly(len(group), left // (len(groups) - i))])
        left -= len(kept[-1])
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)
