"""Taste against money in `core.costs`: cases by hand, and what must hold for any table of likings and prices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import costs
from core.errors import InvalidInput

LIKED, PRICE = np.array([0.6, 0.3, 0.1]), np.array([0.004, 0.001, 0.0001])

# Whole millionths of a dollar: at alpha = 1 LLMs are equally cheap where they are within some billionths.
dollars = st.integers(0, 50_000).map(lambda n: n / 1e6)
tables = st.integers(1, 20).flatmap(
    lambda n: st.lists(st.lists(st.tuples(st.floats(0.01, 1), dollars), min_size=3, max_size=3), min_size=n, max_size=n)
)


def test_alpha_0_takes_the_best_liked_and_1_the_cheapest():
    assert costs.priced_scores(LIKED, PRICE, 0).argmax() == 0
    assert costs.priced_scores(LIKED, PRICE, 1).argmax() == 2


def test_at_one_half_a_tenth_of_a_cent_weighs_one_logit():
    even = np.array([np.e / (1 + np.e), 1 / (1 + np.e)])  # the first is liked one logit better
    assert costs.money_weight(0.5) == pytest.approx(1000)
    assert costs.priced_scores(even, np.array([0.00099, 0.0]), 0.5).argmax() == 0
    assert costs.priced_scores(even, np.array([0.00101, 0.0]), 0.5).argmax() == 1


def test_of_equally_cheap_llms_the_better_liked_is_taken():
    assert costs.priced_scores(LIKED, np.zeros(3), 1).argmax() == 0


def test_an_unknown_price_counts_as_the_dearest_known_and_none_known_as_nothing():
    unknown = np.array([np.nan, 0.001, 0.004])
    as_dearest = costs.priced_scores(LIKED, np.array([0.004, 0.001, 0.004]), 0.5)
    assert np.allclose(costs.priced_scores(LIKED, unknown, 0.5), as_dearest)
    assert costs.priced_scores(LIKED, np.full(3, np.nan), 0.9).argmax() == 0


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_no_other_alpha_is_taken(alpha):
    with pytest.raises(InvalidInput, match="from 0"):
        costs.priced_scores(LIKED, PRICE, alpha)


@given(st.floats(0, 0.999))
def test_alpha_and_the_weight_of_money_are_two_words_for_one_thing(alpha):
    assert costs.alpha_of(costs.money_weight(alpha)) == pytest.approx(alpha, abs=1e-9)


def test_what_a_call_costs():
    assert costs.query_cost(2.0, 10.0, 100, 300) == pytest.approx(0.0032)
    assert np.isnan(costs.query_cost(None, 10.0, 100, 300))
    assert costs.tokens_of("") == 1 and costs.tokens_of("x" * 400) == 100


@given(tables, st.floats(0, 1), st.floats(0, 1))
def test_a_greater_alpha_never_costs_more(rows, one, other):
    table = np.array(rows)
    low, high = sorted((one, other))
    cost = table[:, :, 1]
    assert costs.mean_cost(table[:, :, 0], cost, high) <= costs.mean_cost(table[:, :, 0], cost, low) + 1e-9


@given(tables, st.floats(0, 1))
def test_a_budget_is_kept_and_not_undercut_more_than_it_must(rows, share):
    liked, cost = np.array(rows)[:, :, 0], np.array(rows)[:, :, 1]
    least, most = cost.min(axis=1).mean(), costs.mean_cost(liked, cost, 0)
    budget = least + share * max(most - least, 0) + 1e-12
    alpha = costs.alpha_for_budget(liked, cost, budget)
    assert costs.mean_cost(liked, cost, alpha) <= budget + 1e-9
    if alpha > 1e-6:
        assert costs.mean_cost(liked, cost, alpha - 1e-6) >= budget - 1e-9 or alpha < 2e-6


def test_a_budget_below_the_cheapest_is_refused_with_the_least_there_is():
    with pytest.raises(InvalidInput, match=r"\$0\.000100"):
        costs.alpha_for_budget(LIKED[None], PRICE[None], 0.00005)
    with pytest.raises(InvalidInput, match="price is known"):
        costs.alpha_for_budget(LIKED[None], np.full((1, 3), np.nan), 1)


def test_the_threshold_sends_the_share_that_was_asked_for():
    rates = np.array([0.1, 0.9, 0.5, 0.7])
    assert costs.threshold_for_share(rates, 0.5) == 0.7
    assert (rates >= costs.threshold_for_share(rates, 0)).sum() == 0
    assert (rates >= costs.threshold_for_share(rates, 1)).sum() == 4
    with pytest.raises(InvalidInput, match="share"):
        costs.threshold_for_share(rates, 1.2)
    with pytest.raises(InvalidInput, match="at least one query"):
        costs.threshold_for_share(np.zeros(0), 0.5)


def test_the_win_rate_of_a_pair_leaves_the_others_out():
    assert costs.win_rate(LIKED[None], 0, 2)[0] == pytest.approx(6 / 7)
