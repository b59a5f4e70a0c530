"""Metrics by hand and beside scikit-learn, and intervals that draw users and not ratings."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score

from core.calibration import (
    calibrated,
    calibration_bins,
    expected_calibration_error,
    inverse_temperature,
)
from core.dataset import PreferenceDataset
from core.domain import LLM, LLMId, Outcome
from core.encoders import TextEncoder
from core.errors import InvalidInput, NotEnoughData
from core.evaluation import (
    Predictions,
    evaluate,
    log_loss_gain,
    over_users,
    predict_pairs,
    standings,
    top_one_credit,
    utility_gained,
)
from core.routers.best_llm import BestLLMRouter
from tests.planted import LLMS, HashEncoder, comparison, queries

ENCODER: TextEncoder = HashEncoder()


def predictions(n: int = 400, users: int = 25, seed: int = 0) -> Predictions:
    """Decisive ratings, told well and not perfectly; users rate unequally much."""
    random = np.random.default_rng(seed)
    user = np.minimum(random.geometric(0.08, n) - 1, users - 1).astype(np.int32)
    margin = random.normal(size=n) * 2
    label = (random.random(n) < 1 / (1 + np.exp(-margin))).astype(float)
    return Predictions(1 / (1 + np.exp(-margin - 0.3 * random.normal(size=n))), label, user)


def test_accuracy_and_log_loss_are_those_of_scikit_learn() -> None:
    told = predictions()
    found = evaluate(told)
    assert found.accuracy.value == pytest.approx(accuracy_score(told.label, told.probability > 0.5))
    assert found.log_loss.value == pytest.approx(log_loss(told.label, told.probability))
    each = [told.where(told.user == user) for user in np.unique(told.user)]
    accuracies = [accuracy_score(own.label, own.probability > 0.5) for own in each]
    losses = [log_loss(own.label, own.probability, labels=[0, 1]) for own in each]
    assert found.user_accuracy.value == pytest.approx(np.mean(accuracies)) != found.accuracy.value
    assert found.user_log_loss.value == pytest.approx(np.mean(losses)) != found.log_loss.value
    assert found.ratings == 400 and found.accuracy.users == len(each)
    for estimate in (found.accuracy, found.log_loss, found.user_accuracy, found.user_log_loss):
        assert estimate.low < estimate.value < estimate.high


def test_ties_are_half_for_either_side_in_the_loss_and_do_not_count_in_the_accuracy() -> None:
    told = Predictions(np.array([0.9, 0.5, 0.2, 0.7]), np.array([1.0, 0, 1, 0.5]), np.array([0, 0, 1, 2], np.int32))
    found = evaluate(told)
    assert found.accuracy.value == pytest.approx(1.5 / 3)  # an even call counts half
    assert found.user_accuracy.value == pytest.approx((0.75 + 0) / 2)  # the third user prefers no side
    assert (found.accuracy.users, found.log_loss.users) == (2, 3)
    losses = -np.log([0.9, 0.5, 0.2]).sum() - (np.log(0.7) + np.log(0.3)) / 2
    assert found.log_loss.value == pytest.approx(losses / 4)
    with pytest.raises(NotEnoughData, match="prefers a side"):
        evaluate(replace(told, label=np.full(4, 0.5)))


def test_intervals_draw_users_so_that_many_ratings_of_few_people_do_not_narrow_them() -> None:
    random = np.random.default_rng(0)
    right = np.repeat(random.random(30) < 0.6, 50)  # each of 30 users is always told rightly, or never
    alike = Predictions(np.full(1500, 0.8), right.astype(float), np.repeat(np.arange(30, dtype=np.int32), 50))
    apart = replace(alike, user=np.arange(1500, dtype=np.int32))
    wide, narrow = (evaluate(x).accuracy for x in (alike, apart))
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(50**0.5, rel=0.15)
    share = right.mean()
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * (share * (1 - share) / 1500) ** 0.5, rel=0.1)


def test_a_difference_is_paired_so_that_what_is_hard_for_both_does_not_widen_it() -> None:
    told = predictions()
    worse = calibrated(told, 0.8)
    found = log_loss_gain(told, worse)
    assert found.value == pytest.approx(
        log_loss(told.label, worse.probability) - log_loss(told.label, told.probability)
    )
    alone = evaluate(told).log_loss
    assert found.high - found.low < (alone.high - alone.low) / 2
    assert log_loss_gain(told, told)[:3] == (0, 0, 0)
    first, second = standings({"own": told, "all": worse}, "all")
    assert first.gain == found and second.gain.value == 0
    assert first.to_dict()["user_log_loss"] == first.evaluation.user_log_loss._asdict()


def test_one_user_has_no_interval_to_speak_of_and_says_so_by_its_number() -> None:
    found = over_users(np.array([0.4]), np.array([1.0]))
    assert found == (0.4, 0.4, 0.4, 1)


def test_top_one_is_that_of_scikit_learn_and_what_is_level_shares_the_pick() -> None:
    random = np.random.default_rng(0)
    p, label = random.dirichlet(np.ones(5), size=60), random.integers(5, size=60)
    assert top_one_credit(p, label).mean() == pytest.approx(top_k_accuracy_score(label, p, k=1, labels=range(5)))
    level = np.array([[0.4, 0.4, 0.2]])
    assert top_one_credit(np.repeat(level, 3, 0), np.arange(3)).tolist() == [0.5, 0.5, 0]


def test_utility_is_nothing_for_a_random_pick_and_all_for_the_best_one() -> None:
    utility = np.random.default_rng(0).normal(size=(7, 5, 4))
    for p, share in ((utility, 1), (np.ones_like(utility), 0)):
        gained, gainable = utility_gained(p, utility)
        assert gained.sum() / gainable.sum() == pytest.approx(share)
    gained, gainable = utility_gained(np.array([0.1, 0.7, 0.2]), np.array([3.0, 1.0, 2.0]))
    assert float(gained) == pytest.approx(-1) and float(gainable) == pytest.approx(1)


def test_the_temperature_is_the_logistic_regression_of_scikit_learn_without_an_intercept() -> None:
    told = predictions(2000)
    overdone = calibrated(told, 3.0)
    margin = np.log(overdone.probability) - np.log1p(-overdone.probability)
    reference = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10).fit(margin[:, None], told.label)
    inverse = inverse_temperature(overdone)
    assert inverse == pytest.approx(reference.coef_.item(), rel=1e-4)
    again = calibrated(overdone, inverse)
    assert expected_calibration_error(again) < expected_calibration_error(overdone) / 2
    assert evaluate(again).log_loss.value < evaluate(overdone).log_loss.value
    assert evaluate(again).accuracy == evaluate(overdone).accuracy
    assert inverse_temperature(replace(told, probability=np.full(2000, 0.5))) == 1


def test_the_calibration_error_is_the_gap_of_each_bin_by_its_size() -> None:
    told = predictions(3000)
    confidence = np.maximum(told.probability, 1 - told.probability)
    right = np.where(told.probability >= 0.5, told.label, 1 - told.label)
    won, claimed = calibration_curve(right, 2 * confidence - 1, n_bins=15)  # confidence from a half to 1
    size = np.histogram(2 * confidence - 1, np.linspace(0, 1, 16))[0]
    expected = float((size[size > 0] * np.abs(won - (claimed + 1) / 2)).sum() / 3000)
    assert expected_calibration_error(told) == pytest.approx(expected)
    turned = Predictions(1 - told.probability, 1 - told.label, told.user)  # which is called A must not matter
    assert expected_calibration_error(turned) == pytest.approx(expected)
    by_user = calibration_bins(told.probability, told.label, told.user)
    assert by_user.error() == pytest.approx(expected)
    only = told.where(told.user == 3)
    assert by_user.error((np.arange(len(by_user.count)) == 3) * 1.0) == pytest.approx(expected_calibration_error(only))


def test_held_out_ratings_are_asked_one_user_at_a_time_whatever_the_order_of_llms() -> None:
    asked = queries(4)
    said = [
        comparison(user, asked[q], LLMS[a], LLMS[b], Outcome.A, f"{user}{q}")
        for q, (user, a, b) in enumerate([("ann", 0, 1), ("ben", 1, 2), ("ann", 2, 0), ("cat", 3, 1)])
    ]
    ratings = PreferenceDataset.from_comparisons(said, asked, LLMS)
    router = BestLLMRouter.fit(ratings, ratings, ENCODER)
    told = predict_pairs(router, ratings, None)
    p = router.predict_proba(ratings.users[0], asked[:1])[0]
    np.testing.assert_allclose(told.probability, p[ratings.llm_a] / (p[ratings.llm_a] + p[ratings.llm_b]))
    order = np.array([2, 0, 3, 1])
    moved = replace(
        ratings, llms=tuple(LLMS[i] for i in order), llm_a=np.argsort(order)[ratings.llm_a].astype(np.int32),
        llm_b=np.argsort(order)[ratings.llm_b].astype(np.int32),
    )  # fmt: skip
    np.testing.assert_allclose(predict_pairs(router, moved, None).probability, told.probability)
    unknown = replace(ratings, llms=(LLM(LLMId("unheard of")), *LLMS[1:]))
    with pytest.raises(InvalidInput, match="does not know"):
        predict_pairs(router, unknown, None)
