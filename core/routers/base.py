"""What every router is: a fitted thing that says, for one person and some queries, how likely each LLM is the one they
like best.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import LLM, LLMId, Query, UserId
from core.encoders import TextEncoder

Probabilities = NDArray[np.float64]


class Router(Protocol):
    """A finished router: `fit` and `from_bytes` are classmethods that return one; there is no unfitted router.

    A router holds no person's ratings. What a person has said comes in as `history`, all of it, as it stands now: a
    rating counts the moment it is given and stops counting the moment it is withdrawn, with no gradient step and
    nothing to erase from an artifact.
    """

    @property
    def kind(self) -> str:
        """Its name in `ROUTERS`."""
        ...

    @property
    def llms(self) -> tuple[LLMId, ...]:
        """Column order of every prediction."""
        ...

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """[Q, L]: the probability that `user` likes LLM `l` best for query `q` among all L; rows sum to 1.

        A softmax of scores, so that "A over B" is p_a / (p_a + p_b) for every router. `history` may hold other people's
        ratings; only this user's are read. A stranger gets the population's answer, never an error.
        """
        ...

    def to_bytes(self) -> bytes:
        """The router as safetensors or npz; never pickle."""
        ...


@runtime_checkable
class Personal(Router, Protocol):
    """A router that ends in a posterior over the person and can say which of their ratings did what."""

    def predict_draws(
        self,
        user: UserId,
        queries: Sequence[Query],
        history: PreferenceDataset | None = None,
        n: int = 400,
        seed: int = 0,
    ) -> Probabilities:
        """[n, Q, L]: predictions under n draws from the person's posterior."""
        ...

    def own_ratings(self, user: UserId, history: PreferenceDataset) -> PreferenceDataset:
        """The N ratings of this user that the router can use."""
        ...

    def attention(self, user: UserId, history: PreferenceDataset) -> Probabilities:
        """[N]: where the network looked among `own_ratings`; sums to 1."""
        ...

    def leave_one_out(self, user: UserId, query: Query, history: PreferenceDataset) -> Probabilities:
        """[N, L]: the prediction without the n-th of `own_ratings`."""
        ...


@runtime_checkable
class Pooled(Router, Protocol):
    """A router that pools several and says how much each had to do with a choice."""

    @property
    def names(self) -> tuple[str, ...]:
        """The K rungs, by kind of router."""
        ...

    def rungs(self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None) -> Probabilities:
        """[Q, K]: the share of each of `names` in the choice for each query; rows sum to 1."""
        ...


@runtime_checkable
class Onboards(Router, Protocol):
    """A router that can take in an LLM it was not trained on."""

    def with_llm(self, llm: LLM, history: PreferenceDataset) -> Router:
        """The same router with a further column, the last, for `llm`: from its description and from what people said
        of it so far. `history` is all that everyone said, of it and of the others. No gradient step. Raises
        InvalidInput for an LLM that the router knows.
        """
        ...


class States(NamedTuple):
    """People [U, D], queries [Q, D] and LLMs [L, D] in one space of tastes, whose origin is a person without ratings.

    The inner product of a person and an LLM is how far this person's score of it departs from a stranger's, on average
    over the queries and beside the other LLMs. A query stands where a person would stand who likes everywhere what the
    average person likes there.
    """

    users: Probabilities
    queries: Probabilities
    llms: Probabilities


@runtime_checkable
class Batched(Router, Protocol):
    """A router that answers for many people in one call, for much less than one call each."""

    def predict_everyone(self, queries: Sequence[Query], history: PreferenceDataset) -> Probabilities:
        """[U, Q, L]: `predict_proba` of each of `history.users`, each from their own ratings there and no others."""
        ...


def answers(router: Router, queries: Sequence[Query], history: PreferenceDataset) -> Probabilities:
    """[U, Q, L]: what any router tells each of `history.users` about the queries."""
    if isinstance(router, Batched):
        return router.predict_everyone(queries, history)
    told = [router.predict_proba(user, queries, history.of_user(user)) for user in history.users]
    return np.stack(told) if told else np.zeros((0, len(queries), len(router.llms)))


@runtime_checkable
class Embeds(Batched, Protocol):
    """A router with a vector for each person, query and LLM: what a map can show."""

    def states(self, queries: Sequence[Query], history: PreferenceDataset) -> States:
        """The states of `history.users`, of `queries` and of `llms`. Each person's comes from their own ratings only,
        so that it is the same whoever else is asked about.
        """
        ...


class RouterClass(Protocol):
    """What stands in `ROUTERS`: how a kind of router is made. Every kind takes the same arguments, used or not."""

    kind: str

    def fit(
        self, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Router:
        """A finished router. Knobs are chosen on `validation` (other queries, same users) and never on a test part.

        Same data and seed, same numbers. Raises NotEnoughData that says what is missing, or else gives finite
        probabilities.
        """
        ...

    def from_bytes(self, data: bytes, encoder: TextEncoder) -> Router:
        """The router that `to_bytes` wrote. Raises CorruptArtifact, or InvalidInput when it needs another encoder."""
        ...


def softmax(scores: NDArray[np.floating]) -> Probabilities:
    """Softmax over the last axis, in float64."""
    scores = np.asarray(scores, np.float64)
    # The ufuncs themselves: what `max` and `sum` do around them is most of what one decision's few numbers cost.
    shifted = np.exp(scores - np.maximum.reduce(scores, axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(shifted / np.add.reduce(shifted, axis=-1, keepdims=True))
