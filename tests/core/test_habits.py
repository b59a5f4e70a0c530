import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import Outcome
from core.habits import ENOUGH, PairCount, decisive, ranking, wilson
from core.strengths import bradley_terry, versus_average


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilsons_interval_is_the_published_one(count, n, low, high):
    share = wilson(count, n)
    assert share.value == count / n
    assert (share.low, share.high) == pytest.approx((low, high), abs=6e-5)


@given(st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_lies_in_0_to_1_and_mirrors(pair):
    count, n = pair
    share, other = wilson(count, n), wilson(n - count, n)
    assert 0 <= share.low <= share.value <= share.high <= 1
    assert (share.low, share.high) == pytest.approx((1 - other.high, 1 - other.low), abs=1e-12)


def test_a_share_of_nothing_is_unknown():
    assert wilson(0, 0)[2:] == (0.5, 0.0, 1.0)
    assert not wilson(0, 0).enough and not wilson(ENOUGH - 1, ENOUGH - 1).enough and wilson(0, ENOUGH).enough


@pytest.mark.parametrize(("count", "n"), [(-1, 3), (4, 3)])
def test_what_is_no_share_is_refused(count, n):
    with pytest.raises(ValueError, match="is not a share"):
        wilson(count, n)


def test_the_interval_covers_the_truth_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    for truth in (0.1, 0.5, 0.8):
        drawn = rng.binomial(60, truth, 4000)
        covered = np.mean([wilson(int(k), 60).low <= truth <= wilson(int(k), 60).high for k in drawn])
        assert 0.93 <= covered <= 0.97


def test_the_ranking_puts_the_llm_that_wins_first_and_is_surer_with_more_ratings():
    few = [PairCount("x", "y", Outcome.A, 4), PairCount("y", "z", Outcome.A, 4), PairCount("z", "x", Outcome.TIE, 2)]
    many = [pair._replace(times=pair.times * 10) for pair in few]
    places = ranking(few)
    assert [place.llm for place in places] == ["x", "y", "z"]
    assert [place.ratings for place in places] == [6, 8, 6]
    assert all(place.low < place.probability < place.high for place in places)
    for wide, narrow in zip(places, ranking(many), strict=True):
        assert wide.high - wide.low > narrow.high - narrow.low
    assert (decisive(few), decisive(many)) == (8, 80)


def test_the_order_of_sides_does_not_matter():
    one = ranking([PairCount("x", "y", Outcome.A, 3), PairCount("x", "y", Outcome.B, 1)])
    other = ranking([PairCount("y", "x", Outcome.B, 3), PairCount("y", "x", Outcome.A, 1)])
    for left, right in zip(one, other, strict=True):
        assert (left.llm, left.ratings) == (right.llm, right.ratings)
        assert left[1:4] == pytest.approx(right[1:4])


def test_the_interval_against_the_average_covers_the_truth():
    rng, covered = np.random.default_rng(1), []
    for _ in range(300):
        truth = rng.normal(0, 1, 4)  # the prior the intervals assume
        a = rng.integers(0, 4, 60)
        b = (a + rng.integers(1, 4, 60)) % 4
        label = (rng.random(60) < 1 / (1 + np.exp(truth[b] - truth[a]))).astype(float)
        _, low, high = versus_average(bradley_terry(a, b, label, np.zeros(4), 1.0))
        target = 1 / (1 + np.exp(truth.mean() - truth))
        covered.append((low <= target) & (target <= high))
    assert 0.93 <= np.mean(covered) <= 0.97
