"""Why this LLM for this user and query, and what would change it: the person's own ratings that moved the choice and by
how much, the rated queries most like this one, and the smallest cost weight or single rating that flips it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.costs import alpha_of
from core.dataset import PreferenceDataset
from core.domain import LLMId, Outcome, Query, UserId
from core.encoders import TextEncoder
from core.routers.base import Personal

Floats = NDArray[np.float64]

# Leaving each rating out in turn costs the square of their number; the newest are the ones a person remembers.
MOST_RATINGS = 300


@dataclass(frozen=True)
class Reason:
    """One own rating and its weight in a choice.

    `effect` is the probability of the chosen LLM with this rating minus without it, all others kept: what the rating
    did. `attention` is where the network looked when it formed the prior (shares sum to 1 over the person's ratings):
    not proof of cause. `instead` is the LLM that would be chosen without this rating, None where it is the same.
    """

    comparison: int  # the store's comparison id
    query: Query
    llm_a: LLMId
    llm_b: LLMId
    outcome: Outcome
    effect: float
    attention: float
    instead: LLMId | None


class Nearest(NamedTuple):
    """A rating of a query that reads like the one asked: how alike (cosine of the text vectors), and what was said."""

    query: Query
    llm_a: LLMId
    llm_b: LLMId
    outcome: Outcome
    cosine: float


class CostFlip(NamedTuple):
    """The smallest cost weight at which another LLM is served, and the column of that LLM."""

    alpha: float
    llm: int


def explain(router: Personal, user: UserId, query: Query, history: PreferenceDataset) -> tuple[Reason, ...]:
    """The user's ratings by how much each moved the probability of the LLM chosen for this query, strongest first."""
    own = router.own_ratings(user, history)
    own = own.where(np.arange(max(len(own) - MOST_RATINGS, 0), len(own)))
    if not len(own):
        return ()
    probability = router.predict_proba(user, [query], own)[0]
    chosen = int(probability.argmax())
    without = router.leave_one_out(user, query, own)
    effect, instead = probability[chosen] - without[:, chosen], without.argmax(1)
    attention = router.attention(user, own)
    return tuple(
        Reason(
            int(own.ids[i]), own.queries[own.query[i]], own.llms[own.llm_a[i]].llm_id, own.llms[own.llm_b[i]].llm_id,
            own.outcome_of(i), float(effect[i]), float(attention[i]),
            router.llms[instead[i]] if instead[i] != chosen else None,
        )
        for i in np.argsort(-np.abs(effect), kind="stable")
    )  # fmt: skip


def nearest_rated(query: Query, own: PreferenceDataset, encoder: TextEncoder, most: int) -> tuple[Nearest, ...]:
    """The newest rating of each of the person's rated queries that read most like this one, most alike first."""
    if not len(own):
        return ()
    rated = np.unique(own.query)
    vectors = np.asarray(encoder.encode([query.text, *(own.queries[q].text for q in rated)]), np.float64)
    length = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
    cosine = vectors[1:] @ vectors[0] / (length[1:] * length[0])
    found = []
    for i in np.argsort(-cosine, kind="stable")[:most]:
        newest = int(np.flatnonzero(own.query == rated[i])[-1])
        llm_a, llm_b = own.llms[own.llm_a[newest]].llm_id, own.llms[own.llm_b[newest]].llm_id
        found.append(Nearest(own.queries[rated[i]], llm_a, llm_b, own.outcome_of(newest), float(cosine[i])))
    return tuple(found)


def flip_by_cost(probability: Sequence[float] | Floats, cost: Sequence[float] | Floats) -> CostFlip | None:
    """The least alpha above which `core.costs.priced_scores` serves another LLM than the one liked best; None where
    that is already the cheapest. Both are [L]; a cost that is not a number counts as the dearest known.
    """
    liking = np.log(np.maximum(np.asarray(probability, np.float64), 1e-12))
    dollars = np.asarray(cost, np.float64)
    dollars = np.where(np.isnan(dollars), np.nanmax(dollars), dollars) if np.isfinite(dollars).any() else dollars * 0
    chosen = int(liking.argmax())
    cheaper = np.flatnonzero(dollars < dollars[chosen])
    if not len(cheaper):
        return None
    weight = (liking[chosen] - liking[cheaper]) / (dollars[chosen] - dollars[cheaper])
    first = int(weight.argmin())
    return CostFlip(alpha_of(float(weight[first])), int(cheaper[first]))
