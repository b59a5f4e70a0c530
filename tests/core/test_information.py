from itertools import combinations

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import UserId
from core.information import Pairs, arena_gain, decision_gain, shortlist, worth_asking
from core.routers.base import softmax
from tests.planted import LLMS, queries

ANN = UserId("ann")


def every_pair(rows, llms):
    found = [(q, a, b) for q in range(rows) for a, b in combinations(range(llms), 2)]
    return Pairs(*np.array(found, np.int64).T)


def draws(spread, n=400, seed=0):
    """[n, Q, L]: scores around 0 with the standard deviations of `spread` [Q, L], each draw apart."""
    spread = np.asarray(spread, float)
    return softmax(np.random.default_rng(seed).standard_normal((n, *spread.shape)) * spread)


def test_a_pair_between_likely_winners_tells_more_than_one_between_losers():
    scores = np.random.default_rng(0).standard_normal((400, 1, 4)) * 0.5 + np.array([3, 3, -3, -3])
    pairs = every_pair(1, 4)
    gain = decision_gain(softmax(scores), pairs, [0])
    best = int(gain.argmax())
    assert (pairs.llm_a[best], pairs.llm_b[best]) == (0, 1)


def test_where_everything_is_known_nothing_is_worth_asking():
    certain = softmax(np.tile(np.array([[3.0, 2.0, 1.0]]), (50, 1, 1)))
    pairs = every_pair(1, 3)
    gain = decision_gain(certain, pairs, [0])
    assert (gain == 0).all()
    assert len(shortlist(pairs, gain)) == 0


def test_a_query_of_which_the_router_is_sure_is_not_asked():
    found = draws([[0.01, 0.01, 0.01], [1, 1, 1]])
    found[:, 0] = softmax(np.array([4.0, 0.0, -4.0]))
    pairs = every_pair(2, 3)
    gain = decision_gain(found, pairs, [0, 1])
    assert pairs.query[gain.argmax()] == 1
    assert gain[pairs.query == 0].max() < gain[pairs.query == 1].min()


def test_the_expected_gain_is_the_linear_gaussian_one():
    random = np.random.default_rng(3)
    margin = random.normal(0, 0.5, 40_000)  # of two LLMs around 0: the leader's rival is best in half of the draws
    found = softmax(np.stack([margin, np.zeros_like(margin)], -1)[:, None])
    gain = decision_gain(found, every_pair(1, 2), [0])[0]
    answer = 1 / (1 + np.exp(-margin))
    expected = 0.5 * 0.25**2 / (0.25 + 1 / (answer * (1 - answer)).mean())
    assert gain == pytest.approx(expected, rel=0.05)


def test_pairs_never_compared_come_first_and_those_this_person_rated_last():
    compared = np.full((3, 3), 20.0)
    compared[0, 1] = compared[1, 0] = 0
    own = np.zeros((3, 3))
    own[0, 2] = own[2, 0] = 3
    gain = arena_gain(compared, compared / 2, own)
    assert gain[0, 1] > gain[1, 2] > gain[0, 2] > 0
    assert gain[0, 0] == 0
    assert (gain == gain.T).all()


def test_the_shortlist_has_each_query_once_best_first():
    pairs = every_pair(3, 3)
    gain = np.array([1, 5, 2, 9, 8, 7, 0, 0, 0], float)
    assert shortlist(pairs, gain).tolist() == [3, 1]
    assert shortlist(pairs, gain, most=1).tolist() == [3]


class Unsure:
    """Knows all LLMs but the first."""

    llms = tuple(llm.llm_id for llm in LLMS[1:])

    def predict_draws(self, _user, asked, _history, n, seed):
        return draws(np.ones((len(asked), 3)), n, seed)


def test_an_llm_the_router_does_not_know_is_left_to_uniform_draws():
    asked = queries(4)
    history = PreferenceDataset.from_comparisons([], [], LLMS, [ANN])
    pairs = every_pair(4, 4)
    found = worth_asking(Unsure(), ANN, asked, pairs, history)  # type: ignore[arg-type]
    assert len(found.positions) == 4
    assert (pairs.llm_a[found.positions] > 0).all()
    assert (found.weights > 0).all()
    again = worth_asking(Unsure(), ANN, asked, pairs, history)  # type: ignore[arg-type]
    assert (found.positions == again.positions).all()
