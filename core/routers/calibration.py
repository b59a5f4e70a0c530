"""Choosing a router's knobs on validation, each candidate at its own best scale of scores."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.routers.factors import Factors

Floats = NDArray[np.float64]
Knobs = TypeVar("Knobs")

# A normal prior on the scale, of mean 1 and this precision in ratings: without errors on validation the best scale
# would be infinite.
PRIOR_PRECISION = 1.0
LARGEST_SCALE = 50.0
CONVERGED = 1e-5  # Newton's step: what is left after it is of the order of its square


class Calibrated(NamedTuple):
    """The scale at which margins fit best, and the mean log-loss there."""

    scale: float
    loss: float


def calibrate(
    margin: Floats, label: Floats, stage: NDArray[np.integer] | None = None, prior: float = PRIOR_PRECISION
) -> Calibrated:
    """The scale c in 0..50 with the least log-loss of P(A over B) = sigma(c * margin), by Newton; 1 without any rating.

    `margin` [N] is the score of A minus that of B, `label` [N] 1 for A, 0 for B, 1/2 for neither. Ratings of one
    `stage` [N] are one choice among several (see `PreferenceDataset`). `prior` is the precision of the scale around 1.
    """
    if not len(label):
        return Calibrated(1.0, 0.0)
    scale, said = 1.0, Factors.of(label, stage)
    for _ in range(30):
        gradient = margin @ said.slope(scale * margin) + prior * (scale - 1)
        curvature = said.curvature(scale * margin, margin[:, None]).item() + prior
        # Never more than double or a tenth at once: far out the curve is flat and a full step would overshoot.
        proposed = float(np.clip(scale - gradient / curvature, scale / 10, 2 * scale + 0.1))
        step, scale = proposed - scale, min(proposed, LARGEST_SCALE)
        if abs(step) < CONVERGED:
            break
    return Calibrated(scale, said.mean_loss(scale * margin))


def log_loss(margin: Floats, label: Floats) -> float:
    """Mean Bradley-Terry log-loss: of sigma(margin) against labels in {0, 1/2, 1}; 0 without any rating."""
    return float((np.logaddexp(0, margin) - label * margin).mean()) if len(label) else 0.0


def least_loss(candidates: Iterable[Knobs], loss: Callable[[Knobs], float]) -> Knobs:
    """The candidate with the least loss, the first of equals: so the first is the default when there is no validation
    rating.
    """
    return min(candidates, key=loss)
