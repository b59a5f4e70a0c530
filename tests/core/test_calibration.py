"""The scale of scores that validation likes best."""

import numpy as np
import pytest

from core.routers.calibration import LARGEST_SCALE, calibrate, least_loss, log_loss
from core.routers.win_rates import sigmoid


@pytest.mark.parametrize("truth", [0.2, 1.0, 4.0])
def test_the_true_scale_is_found(truth):
    random = np.random.default_rng(0)
    margin = random.normal(size=20_000)
    label = (random.random(20_000) < sigmoid(truth * margin)).astype(float)
    found = calibrate(margin, label)
    assert found.scale == pytest.approx(truth, rel=0.06)
    assert found.loss <= min(log_loss(c * margin, label) for c in (0.5 * truth, 0.9 * truth, 1.2 * truth)) + 1e-9


def test_without_ratings_scores_stay_as_they_are():
    assert calibrate(np.zeros(0), np.zeros(0)) == (1.0, 0.0)


def test_without_errors_the_scale_stays_finite():
    assert 1 < calibrate(np.full(1000, 0.01), np.ones(1000)).scale <= LARGEST_SCALE


def test_scores_that_are_always_wrong_are_ignored():
    assert calibrate(np.full(1000, 3.0), np.zeros(1000)).scale < 0.1


def test_the_first_of_equals_is_the_default():
    assert least_loss("abc", lambda letter: {"a": 0.5, "b": 0.5}.get(letter, 0.7)) == "a"
