"""Do probabilities mean what they say: one temperature fitted on validation, reliability bins, expected calibration
error.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.evaluation import EPSILON, Predictions

Floats = NDArray[np.float64]
BINS = 15
_COLDEST = 50.0  # the largest inverse temperature: perfectly separated ratings would ask for infinity


@dataclass(frozen=True, eq=False)
class CalibrationBins:
    """Sums per group (a user) and bin [G, B]: how many predictions, the confidence they claimed, how often they were
    right.
    """

    count: Floats
    confidence: Floats
    correct: Floats

    def error(self, weight: Floats | None = None) -> float:
        """Expected calibration error: sum over bins of n_b / N * |correct_b / n_b - confidence_b / n_b|.

        Naeini et al. (2015), Guo et al. (1706.04599). `weight` [G] counts each group so often (a bootstrap draw).
        """
        count, confidence, correct = (
            x.sum(axis=0) if weight is None else weight @ x for x in (self.count, self.confidence, self.correct)
        )
        return float(np.abs(correct - confidence).sum() / max(count.sum(), EPSILON))


def inverse_temperature(predictions: Predictions) -> float:
    """1/T that minimises the log-loss of sigma(margin / T), a tie counting half for either side.

    The loss is convex in 1/T, so bisection of its slope finds the minimum. 1 where nothing can be learned (every call
    is even). Fit it on validation, apply it with `calibrated`. Guo et al. (1706.04599), section 4.2.
    """
    margin, label = _logit(predictions.probability), predictions.label
    if not np.abs(margin).max(initial=0) > EPSILON:
        return 1.0
    low, high = 0.0, _COLDEST
    for _ in range(60):
        middle = (low + high) / 2
        slope = ((_sigmoid(middle * margin) - label) * margin).sum()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return (low + high) / 2


def calibrated(predictions: Predictions, inverse: float) -> Predictions:
    """The same predictions at temperature 1 / `inverse`."""
    p = _sigmoid(inverse * _logit(predictions.probability))
    return replace(predictions, probability=np.clip(p, EPSILON, 1 - EPSILON))


def calibration_bins(
    probability: Floats, label: Floats, group: NDArray[np.integer], bins: int = BINS
) -> CalibrationBins:
    """Equal-width bins of the confidence max(p, 1 - p) in 1/2..1.

    Which of a pair is called A must not matter, so a call for B is turned round. `label` [N] may be a known
    probability that A is preferred (simulated worlds) or 1, 0, 1/2; `group` [N] are small integers.
    """
    turned = probability < 0.5
    confidence = np.where(turned, 1 - probability, probability)
    correct = np.where(turned, 1 - label, label)
    column = np.minimum(((confidence - 0.5) * 2 * bins).astype(np.int64), bins - 1)
    cell, shape = group.astype(np.int64) * bins + column, (int(group.max(initial=-1)) + 1, bins)
    count, claimed, right = (
        np.bincount(cell, weight, minlength=shape[0] * bins).reshape(shape) for weight in (None, confidence, correct)
    )
    return CalibrationBins(count.astype(float), claimed.astype(float), right.astype(float))


def expected_calibration_error(predictions: Predictions, bins: int = BINS) -> float:
    """ECE of P(A over B) on held-out ratings, pooled over users."""
    users = np.zeros(len(predictions.label), np.int64)
    return calibration_bins(predictions.probability, predictions.label, users, bins).error()


def _logit(p: Floats) -> Floats:
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(p) - np.log1p(-p))


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))
