"""`core.costs`: cases worked out by hand, and what must hold for any router."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import costs
from core.costs import Curve
from core.errors import InvalidInput

STRONG, WEAK = np.array([1.0, 1, 1, 0]), np.array([1.0, 0, 0, 0])  # means .75 and .25

unit = st.floats(0, 1, allow_subnormal=False)
points = st.lists(st.tuples(unit, unit), min_size=1, max_size=12).map(lambda p: Curve(*np.array(p).T))


def test_the_curve_of_calls_goes_from_the_weak_to_the_strong():
    curve = costs.call_curve(np.array([0.1, 0.9, 0.8, 0.2]), STRONG, WEAK)
    assert curve.cost.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curve.quality.tolist() == [0.25, 0.5, 0.75, 0.75, 0.75]


def test_gap_recovered_by_hand():
    curve = costs.call_curve(np.array([0.1, 0.9, 0.8, 0.2]), STRONG, WEAK)
    assert costs.performance_gap_recovered(curve.quality, 0.75, 0.25).tolist() == [0, 0.5, 1, 1, 1]
    assert costs.average_gap_recovered(curve) == pytest.approx(0.25 * (0.25 + 0.75 + 1 + 1))
    assert costs.call_share_for(curve, 0.5) == pytest.approx(0.25)
    assert costs.call_share_for(curve, 0.8) == pytest.approx(0.4)  # between the first and the second call
    assert costs.call_share_for(curve, 0) == 0


def test_a_constant_score_is_the_diagonal():
    curve = costs.call_curve(np.zeros(4), STRONG, WEAK)
    assert curve.cost.tolist() == [0, 1]
    assert costs.average_gap_recovered(curve) == pytest.approx(0.5)
    assert [costs.call_share_for(curve, x) for x in (0.5, 0.8)] == pytest.approx([0.5, 0.8])


def test_no_gap_and_no_query_are_said():
    with pytest.raises(InvalidInput, match="no gap"):
        costs.average_gap_recovered(costs.call_curve(np.arange(4.0), STRONG, STRONG))
    with pytest.raises(InvalidInput, match="at least one query"):
        costs.call_curve(np.zeros(0), np.zeros(0), np.zeros(0))


tables = st.integers(2, 25).flatmap(lambda n: st.lists(st.tuples(unit, unit, unit), min_size=n, max_size=n))


@given(tables)
def test_no_order_of_calls_beats_the_perfect_one(rows):
    score, strong, weak = np.array(rows).T
    any_curve, perfect = costs.call_curve(score, strong, weak), costs.call_curve(strong - weak, strong, weak)
    assert (perfect.at(any_curve.cost) >= any_curve.quality - 1e-9).all()
    if strong.mean() > weak.mean() + 1e-6:
        assert costs.average_gap_recovered(perfect) >= max(costs.average_gap_recovered(any_curve), 0.5) - 1e-6
        gains = np.concatenate(([0], np.cumsum(np.sort(strong - weak)[::-1])))  # the ideal, by hand
        ideal = np.trapezoid(gains / gains[-1], dx=1 / len(rows))
        assert costs.average_gap_recovered(perfect) == pytest.approx(ideal, abs=1e-6)


@given(tables, st.floats(0, 1), st.floats(0, 1))
def test_more_recovered_needs_no_fewer_calls(rows, some, more):
    score, strong, weak = np.array(rows).T
    if strong.mean() > weak.mean() + 1e-6:
        curve = costs.call_curve(score, strong, weak)
        low, high = (costs.call_share_for(curve, x) for x in sorted((some, more)))
        assert 0 <= low <= high <= 1 + 1e-9


def test_the_hull_by_hand():
    curve = costs.hull(Curve(np.array([1.0, 2, 3, 4, 5]), np.array([0.2, 0.3, 0.7, 0.6, 0.8])))
    assert curve.cost.tolist() == [1, 3, 5]  # 2 lies under the line from 1 to 3, 4 is worse than 3
    assert curve.quality.tolist() == [0.2, 0.7, 0.8]
    assert costs.quality_improvement(curve, 1, 5) == pytest.approx((0.45 * 2 + 0.75 * 2) / 4)
    assert costs.quality_improvement(curve, 1, 9) == pytest.approx((0.45 * 2 + 0.75 * 2 + 0.8 * 4) / 8)  # flat beyond


@given(points)
def test_the_hull_is_concave_never_falls_and_covers_every_point(curve):
    found = costs.hull(curve)
    assert (np.diff(found.cost) > 0).all()
    assert (np.diff(found.quality) > 0).all()
    slope = np.diff(found.quality) / np.diff(found.cost)
    assert (np.diff(slope) <= 1e-6 * np.maximum(slope[:-1], 1)).all()
    within = curve.cost >= found.cost[0]
    assert (found.at(curve.cost[within]) >= curve.quality[within] - 1e-9).all()
    assert set(zip(*found, strict=True)) <= set(zip(*curve, strict=True))


@given(points)
def test_the_hull_of_a_hull_is_itself(curve):
    once = costs.hull(curve)
    assert np.array_equal(once, costs.hull(once))


@given(st.integers(0, 10_000))
def test_what_a_perfect_router_gains_lies_between_the_zero_router_and_the_oracle(seed):
    random = np.random.default_rng(seed)
    quality, cost = random.random((30, 4)), np.tile(random.random(4) + 0.1, (30, 1))
    curve = costs.deferral_curve(quality, quality, cost)
    single_cost, single_quality = cost.mean(axis=0), quality.mean(axis=0)
    low, high = single_cost.min(), single_cost.max()
    zero = costs.quality_improvement(costs.zero_router(single_cost, single_quality), low, high)
    aiq = costs.quality_improvement(curve, low, high)
    assert zero - 1e-2 <= aiq <= quality.max(axis=1).mean() + 1e-9
    assert costs.deferral_area(curve, low, high) <= aiq + 1e-9
    neutral = costs.quality_neutral_cost(curve, single_cost, single_quality)
    assert neutral is not None
    assert neutral <= 1 + 1e-9
    assert (np.diff(curve.cost) > 0).all()
    assert curve.quality[-1] == pytest.approx(quality.max(axis=1).mean())


def test_deferral_by_hand():
    predicted, cost = np.array([[0.5, 0.9], [0.5, 0.6]]), np.array([[1.0, 3], [1, 3]])
    quality = np.array([[0.0, 1], [1, 1]])
    assert costs.deferral_picks(predicted, cost, np.inf).tolist() == [0, 0]
    assert costs.deferral_picks(predicted, cost, 0.1).tolist() == [1, 0]
    assert costs.deferral_picks(predicted, cost, 0.0).tolist() == [1, 1]
    curve = costs.deferral_curve(predicted, quality, cost)
    assert curve.cost.tolist() == [1, 2, 3]
    assert curve.quality.tolist() == [0.5, 1, 1]
    assert costs.quality_neutral_cost(curve, np.array([1.0, 3]), np.array([0.5, 1])) == pytest.approx(2 / 3)
    assert costs.deferral_area(curve, 1, 3) == pytest.approx(0.875)


def test_a_router_that_never_is_as_good_has_no_neutral_cost():
    curve = Curve(np.array([1.0, 3]), np.array([0.2, 0.4]))
    assert costs.quality_neutral_cost(curve, np.array([1.0, 3]), np.array([0.2, 0.5])) is None


def test_llms_of_one_price_leave_no_range():
    curve = costs.deferral_curve(np.eye(3), np.eye(3), np.ones((3, 3)))
    assert curve.cost.tolist() == [1]
    assert costs.quality_improvement(curve, 1, 1) == costs.deferral_area(curve, 1, 1) == 1


def test_value_and_entropy_by_hand():
    assert costs.value_over_best(0.6, np.array([0.3, 0.5])) == pytest.approx(1.2)
    assert costs.pick_entropy(np.array([0, 0, 0]), 3) == 0
    assert costs.pick_entropy(np.array([0, 1, 2, 3]), 4) == pytest.approx(2)
    assert costs.pick_entropy(np.array([0, 0, 1, 2]), 3) == pytest.approx(1.5)
    with pytest.raises(InvalidInput):
        costs.value_over_best(0.6, np.zeros(2))
