"""Willingness to pay against planted people: what is fitted is what was planted, and the interval is honest."""

import numpy as np
import pytest

from core import costs
from core.errors import InvalidInput
from core.willingness import ENOUGH, LIKINGS, USUAL_WEIGHT, Tradeoff, fit, next_card


def asked(weight: float, n: int, random: np.random.Generator) -> list[Tradeoff]:
    """A person of this weight of money answers n cards, with the noise that the model speaks of."""
    answers: list[Tradeoff] = []
    for _ in range(n):
        liking, dollars = next_card(answers)
        yes = random.random() < 1 / (1 + np.exp(weight * dollars - liking))
        answers.append(Tradeoff(liking, dollars, bool(yes)))
    return answers


def test_the_interval_holds_the_planted_truth_as_often_as_it_says():
    random = np.random.default_rng(5)
    truths = np.exp(random.normal(np.log(USUAL_WEIGHT), 1.5, 300))
    found = [fit(asked(truth, 12, random)) for truth in truths]
    inside = np.mean([one.low <= truth <= one.high for one, truth in zip(found, truths, strict=True)])
    assert 0.92 <= inside <= 1.0


def test_more_answers_come_nearer_to_the_truth_and_narrow_the_interval():
    random = np.random.default_rng(6)
    truths = np.exp(random.normal(np.log(USUAL_WEIGHT), 1.5, 60))
    errors, widths = {}, {}
    for n in (5, 40):
        found = [fit(asked(truth, n, random)) for truth in truths]
        errors[n] = np.mean([abs(np.log(one.weight / truth)) for one, truth in zip(found, truths, strict=True)])
        widths[n] = np.mean([np.log(one.high / one.low) for one in found])
    assert errors[40] < 0.6 * errors[5] and widths[40] < 0.6 * widths[5]


def test_who_pays_has_a_smaller_weight_of_money_than_who_does_not():
    cards = [(liking, 0.003) for liking in LIKINGS] * 3
    generous = fit([Tradeoff(*card, True) for card in cards])
    thrifty = fit([Tradeoff(*card, False) for card in cards])
    assert generous.weight < USUAL_WEIGHT < thrifty.weight
    assert generous.alpha < thrifty.alpha
    assert generous.worth(1.0)[0] > thrifty.worth(1.0)[0]


def test_before_any_answer_the_prior_stands_and_too_few_are_called_so():
    nobody = fit([])
    assert nobody.weight == pytest.approx(USUAL_WEIGHT, rel=0.01) and nobody.low < nobody.weight < nobody.high
    assert not nobody.enough and fit([Tradeoff(1.0, 0.001, True)] * ENOUGH).enough


def test_one_slip_does_not_turn_the_figure_over():
    steady = [Tradeoff(np.log(4), dollars, dollars < 0.002) for dollars in (0.0005, 0.001, 0.0015, 0.003, 0.005, 0.01)]
    slipped = [*steady, Tradeoff(np.log(4), 0.1, True)]
    assert 0.4 < fit(slipped).weight / fit(steady).weight < 2.5


def test_the_setting_spends_as_the_person_would():
    one = fit([Tradeoff(np.log(4), 0.002, True), Tradeoff(np.log(4), 0.004, False)])
    liked, alpha = np.array([0.8, 0.2]), one.alpha  # liked better 4 times in 5
    middle = one.worth(np.log(4))[0]
    assert costs.priced_scores(liked, np.array([0.99 * middle, 0.0]), alpha).argmax() == 0
    assert costs.priced_scores(liked, np.array([1.01 * middle, 0.0]), alpha).argmax() == 1


@pytest.mark.parametrize("dollars", [0.0, -1.0, float("nan"), float("inf")])
def test_a_card_needs_a_dearer_side(dollars):
    with pytest.raises(InvalidInput, match="dearer"):
        fit([Tradeoff(1.0, dollars, True)])
