"""Why this LLM for this user and query: which of the person's own ratings moved the choice, by how much."""

from dataclasses import dataclass

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import LLMId, Outcome, Query, UserId
from core.routers.base import Personal

# Leaving each rating out in turn costs the square of their number; the newest are the ones a person remembers.
MOST_RATINGS = 300


@dataclass(frozen=True)
class Reason:
    """One own rating and its weight in a choice.

    `effect` is the probability of the chosen LLM with this rating minus without it, all others kept: what the rating
    did. `attention` is where the network looked when it formed the prior (shares sum to 1 over the person's ratings):
    not proof of cause.
    """

    comparison: int  # the store's comparison id
    query: Query
    llm_a: LLMId
    llm_b: LLMId
    outcome: Outcome
    effect: float
    attention: float


def explain(router: Personal, user: UserId, query: Query, history: PreferenceDataset) -> tuple[Reason, ...]:
    """The user's ratings by how much each moved the probability of the LLM chosen for this query, strongest first."""
    own = router.own_ratings(user, history)
    own = own.where(np.arange(max(len(own) - MOST_RATINGS, 0), len(own)))
    if not len(own):
        return ()
    probability = router.predict_proba(user, [query], own)[0]
    chosen = int(probability.argmax())
    effect = probability[chosen] - router.leave_one_out(user, query, own)[:, chosen]
    attention = router.attention(user, own)
    return tuple(
        Reason(
            int(own.ids[i]), own.queries[own.query[i]], own.llms[own.llm_a[i]].llm_id, own.llms[own.llm_b[i]].llm_id,
            own.outcome_of(i), float(effect[i]), float(attention[i]),
        )
        for i in np.argsort(-np.abs(effect), kind="stable")
    )  # fmt: skip
