"""How much an answer to a pair would tell: about which LLM one person should get, or about the LLMs over everyone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.routers.base import Personal

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHORTLIST = 8  # pairs that are drawn from: enough that one seldom runs dry between two scorings, few enough to matter
DRAWS = 128  # from the posterior: a covariance is then known to a tenth of the two standard deviations
LEAST_VARIANCE = 1e-3  # of an answer: what is all but certain still has a finite variance on the logit scale


class Pairs(NamedTuple):
    """C pairs: row of the query, and columns of the two LLMs, [C] each."""

    query: Ints
    llm_a: Ints
    llm_b: Ints


def decision_gain(draws: Floats, pairs: Pairs, references: Sequence[int]) -> Floats:
    """[C]: how much an answer to each pair is expected to narrow the margins that decide what this person gets.

    `draws` [n, Q, L] are probabilities under n draws of a person's posterior. A margin stands between the LLM that
    leads for a query of `references` and a rival, and counts with the probability that the rival is the best there
    (Thompson's): so both queries and LLMs matter as much as they may change a choice. Given a Gaussian posterior over
    margins, observing a pair of logit variance v with an answer of variance 1 / E[p(1 - p)] lessens the variance of a
    margin by cov^2 / (v + 1 / E[p(1 - p)]), the linear-Gaussian rule of Bayesian experimental design (MacKay 1992).
    """
    logs = np.log(np.maximum(draws, 1e-12))
    asked = logs[:, pairs.query, pairs.llm_a] - logs[:, pairs.query, pairs.llm_b]  # [n, C]
    answer = 1 / (1 + np.exp(-asked))
    noise = 1 / np.maximum((answer * (1 - answer)).mean(0), LEAST_VARIANCE)
    margins, chances = _rival_margins(logs[:, list(references)])
    if not chances.size:
        return np.zeros(len(pairs.query))
    covariance = (margins - margins.mean(0)).T @ (asked - asked.mean(0)) / len(logs)  # [M, C]
    return np.asarray(chances @ covariance**2 / (asked.var(0) + noise))


def _rival_margins(logs: Floats) -> tuple[Floats, Floats]:
    """The margins [n, M] between each query's leader and every LLM that is best in some draw, and how often it is."""
    leader = logs.mean(0).argmax(-1)  # [R]
    best = logs.argmax(-1)  # [n, R]
    chance = (best[..., None] == np.arange(logs.shape[-1])).mean(0)  # [R, L]
    chance[np.arange(len(leader)), leader] = 0.0
    query, rival = np.nonzero(chance)
    return logs[:, query, leader[query]] - logs[:, query, rival], chance[query, rival]


def arena_gain(compared: Floats, won: Floats, own: Floats) -> Floats:
    """[L, L]: how much one more rating of each pair of LLMs narrows its win rate, more where this person has said less.

    Chatbot Arena's rule (Chiang et al. 2024): sqrt(S / n) - sqrt(S / (n + 1)), S the variance of a rating of the pair.
    `compared` [L, L] counts everyone's ratings, `won` those the row won with ties half, `own` this person's ratings;
    one rating of either outcome is added to all, so that pairs never compared come first and none is infinite.
    """
    n = compared + 2.0
    share = (won + 1.0) / n
    variance = share * (1 - share)
    gain = np.sqrt(variance / n) - np.sqrt(variance / (n + 1))
    np.fill_diagonal(gain, 0.0)
    return np.asarray(gain / (1.0 + own))


def shortlist(pairs: Pairs, gain: Floats, most: int = SHORTLIST) -> NDArray[np.intp]:
    """The positions of the best pairs, best first: the best of each query, so that answers to one pair do not make the
    others superfluous, and none without a gain.
    """
    order = np.argsort(-gain, kind="stable")
    order = order[gain[order] > 0]
    _, first = np.unique(pairs.query[order], return_index=True)
    return np.asarray(order[np.sort(first)][:most])


class Asked(NamedTuple):
    """Positions of the pairs worth asking, best first, and their weights for a draw."""

    positions: NDArray[np.intp]
    weights: Floats


def worth_asking(
    router: Personal, user: UserId, queries: Sequence[Query], pairs: Pairs, history: PreferenceDataset, seed: int = 0
) -> Asked:
    """The shortlist of `pairs` for this person by `decision_gain`; `pairs.llm_*` are rows of `history.llms`.

    Pairs with an LLM that the router does not know are left to the uniform draws. Same seed, same answer.
    """
    column = {llm: i for i, llm in enumerate(router.llms)}
    to_column = np.array([column.get(llm.llm_id, -1) for llm in history.llms], np.int64)
    known = np.flatnonzero((to_column[pairs.llm_a] >= 0) & (to_column[pairs.llm_b] >= 0))
    asked = Pairs(pairs.query[known], to_column[pairs.llm_a[known]], to_column[pairs.llm_b[known]])
    draws = router.predict_draws(user, queries, history, DRAWS, seed)
    gain = decision_gain(draws, asked, range(len(queries)))
    best = shortlist(asked, gain)
    return Asked(known[best], gain[best])
