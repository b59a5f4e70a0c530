"""Routers that fold a person in: everyone's features and weights, and for each person their own weights beside them,
solved for from what they said.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import Query
from core.routers.fold_in import Contrast, fold_in_each
from core.routers.own_ratings import OwnRatings, everyones_ratings, people
from core.routers.stored import StoredRouter
from core.routers.win_rates import Floats

PEOPLE_AT_ONCE = 64  # whose comparisons in features are in memory


class FoldedRouter(StoredRouter, ABC):
    """What such routers have in common; `precision` is that of people's weights around none."""

    precision: float

    @abstractmethod
    def _inputs(self, queries: Sequence[Query]) -> Floats:
        """[Q, F]: what is known of queries."""

    @abstractmethod
    def _contrast(self, said: OwnRatings, inputs: Floats) -> Contrast:
        """Ratings in features, given the inputs of `said.queries`, offset by what everyone's weights say."""

    @property
    @abstractmethod
    def _features(self) -> int:
        """How many weights a person has."""

    def persons(
        self, train_part: PreferenceDataset, held_out: PreferenceDataset
    ) -> Iterator[tuple[Contrast, Contrast]]:
        """What people said and held out, as contrasts."""
        for person in people(train_part, held_out, self.llms):
            yield self._read(person.own), self._read(person.held_out)

    def pair_margins(self, asked: PreferenceDataset, history: PreferenceDataset) -> Floats:
        """[N]: score of LLM a minus score of LLM b for each of `asked`, ratings between `llms` by the users of
        `history`, each known by their own ratings there. Many people in one call.
        """
        rated, query = np.unique(asked.query, return_inverse=True)
        queries = tuple(asked.queries[i] for i in rated)
        a, b = asked.llm_a.astype(np.int64), asked.llm_b.astype(np.int64)
        every = OwnRatings(queries, query, a, b, asked.label, asked.stage, asked.weight, asked.items)
        delta, offset, *_ = self._read(every)
        weights = self._weights_of(history.where(np.isin(history.user, asked.user)))
        margin: Floats = offset + (delta * weights[asked.user]).sum(-1)
        return margin

    def _weights_of(self, history: PreferenceDataset) -> Floats:
        """[U, D]: the weights of each of `history.users`, beside everyone's."""
        said = everyones_ratings(history, self.llms)
        inputs = self._inputs(said[0].queries) if said else np.zeros((0, 0))
        found = [np.zeros((0, self._features))]
        for first in range(0, len(said), PEOPLE_AT_ONCE):
            some = [self._contrast(own, inputs) for own in said[first : first + PEOPLE_AT_ONCE]]
            found.append(fold_in_each(some, self.precision, self._features))
        return np.concatenate(found)

    def _read(self, said: OwnRatings) -> Contrast:
        return self._contrast(said, self._inputs(said.queries))
