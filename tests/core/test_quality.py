from math import log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import UserId
from core.errors import InvalidInput
from core.quality import (
    BOUNDS_FDR,
    Part,
    Rater,
    Shared,
    Surprise,
    agreement,
    at_most,
    clamped,
    discoveries,
    fisher,
    judged,
    two_sided,
)


def rater(name, **facts):
    return Rater(UserId(name), simulated=False, ratings=100, seconds=9.0, too_quick=0, **facts)


def surprise(*p_values):
    return Surprise(len(p_values), sum(map(log, p_values)))


def shared(first, second):
    """Of two users who answered the same units."""
    return [
        Shared(user, value, 1, float(value != other))
        for user, (mine, others) in enumerate(((first, second), (second, first)))
        for value, other in zip(mine, others, strict=True)
    ]


def test_exact_p_values_are_those_of_the_tables():
    assert two_sided(5, 10) == 1
    assert two_sided(1, 10) == pytest.approx(0.021484375)
    assert two_sided(9, 10) == pytest.approx(two_sided(1, 10))
    assert two_sided(300, 1000) < 1e-30
    assert at_most(0, 3, 0.5) == pytest.approx(0.125)


def test_fishers_method_agrees_with_chi_square():
    # chi-square with 4 degrees: the tail of x is exp(-x / 2) (1 + x / 2)
    assert fisher(surprise(0.1, 0.2)) == pytest.approx(0.02 * (1 + 3.912023005428146))
    assert fisher(surprise(1.0, 1.0)) == 1
    assert 0 <= fisher(surprise(*[1e-200] * 50)) < 1e-100


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.01, 0.2))
def test_benjamini_hochberg_rejects_at_least_bonferronis_and_keeps_the_order(p_values, rate):
    found = discoveries(p_values, rate)
    for p, rejected in zip(p_values, found, strict=True):
        if p <= rate / len(p_values):
            assert rejected
        assert rejected or all(not hit or other <= p for other, hit in zip(p_values, found, strict=True))


def test_benjamini_hochbergs_own_example():
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
         0.7590, 1.0]  # fmt: skip
    assert sum(discoveries(p, 0.05)) == 4


def test_krippendorffs_alpha_of_a_worked_example():
    """Krippendorff (2011), two coders, ten binary units: observed 14 and 26, alpha .095."""
    first, second = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0), (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    found = agreement(shared(first, second), 10)
    assert found.alpha == pytest.approx(0.095, abs=0.001)
    assert found.units == 10
    assert found.by_user[0][0] == pytest.approx(found.alpha)
    assert found.by_user[0][1] == 10


def test_agreement_needs_overlap_and_is_unknown_where_all_say_the_same():
    assert agreement([], 0).alpha is None
    assert agreement(shared("a", "a"), 1).alpha is None


def test_one_who_always_clicks_left_is_flagged_and_careful_people_are_not():
    rng = Random(0)
    careful = [rater(f"c{i}", left=Part(sum(rng.random() < 0.5 for _ in range(60)), 60)) for i in range(40)]
    found = {one.rater.user: one for one in judged([*careful, rater("left", left=Part(58, 60))])}
    assert "58 of 60" in found[UserId("left")].flags["side"]
    assert sum(bool(one.flags) for one in found.values()) == 1


def test_few_ratings_are_never_flagged_however_odd():
    (one,) = judged([rater("few", left=Part(19, 19), surprise=surprise(*[0.001] * 19), gold=Part(0, 4))])
    assert one.left_p is one.anomaly_p is one.gold_p is None
    assert not one.flags


def test_wrong_gold_answers_and_unlike_everyone_are_flags_with_their_reason():
    (one,) = judged([rater("odd", gold=Part(1, 10), surprise=surprise(*[0.01] * 30))])
    assert set(one.flags) == {"gold", "anomaly"}
    assert "1 of 10 gold items" in one.flags["gold"]
    assert "by taste" in one.flags["anomaly"]


def test_thresholds_out_of_bounds_are_clamped_with_a_message_and_refused_otherwise():
    assert clamped(0.05, BOUNDS_FDR, "The share") == (0.05, None)
    value, message = clamped(3, BOUNDS_FDR, "The share")
    assert value == 0.2
    assert "0.2 is used" in str(message)
    assert clamped(float("nan"), BOUNDS_FDR, "The share")[0] == 0.001
    with pytest.raises(InvalidInput):
        judged([], minimum=1)
