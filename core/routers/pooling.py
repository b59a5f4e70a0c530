"""Pooling routers on validation: s = sum_k w_k log p_k with w >= 0, by Bradley-Terry log-loss, shrunk towards the
population as far as validation leaves in doubt that more than the population helps.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.routers.calibration import calibrate, log_loss
from core.routers.win_rates import Floats, sigmoid

# What the prior is worth, in ratings: equal shares of the routers that tell persons apart, each at its own best scale.
# Cross-validated within the held-out ratings of nine simulated users x 20 (seven fits, no test query) this lost .587, a
# prior half on the best single router .590, shares that cannot move .589, the best single router .599; the strength
# hardly mattered between 30 and 1000. Few ratings do not tell which router is best, so whoever is best on them is not
# to be believed much.
PRIOR_RATINGS = 100.0
SWEEPS = 100
PARTS = 5  # of the held-out queries, to judge weights on queries they were not fitted to


class Pool(NamedTuple):
    """The weights [K] of K routers, the validation log-loss of each at its own best scale [K], and that of the pool."""

    weights: Floats
    single: Floats
    loss: float


def fit_pool(margins: Floats, label: Floats, likely: NDArray[np.integer] | None = None) -> Pool:
    """`margins` [N, K] is log p_k(A) - log p_k(B) of N held-out ratings, `label` [N] 1 for A, 0 for B, 1/2 for neither;
    `likely` are the routers of which the prior holds equal shares, by default all.

    Without any rating all weigh the same. The loss is convex in the weights; coordinates are solved for in turn by a
    Newton step cut off at 0.
    """
    size = margins.shape[1]
    if not len(label):
        return Pool(np.full(size, 1 / size), np.zeros(size), 0.0)
    alone = [calibrate(margins[:, k], label) for k in range(size)]
    single = np.array([found.loss for found in alone])
    shares = np.arange(size) if likely is None or not len(likely) else likely
    prior = np.zeros(size)
    prior[shares] = [alone[k].scale / len(shares) for k in shares]
    prior *= calibrate(margins @ prior, label).scale
    # A rung of larger margins bends the loss more: the prior is worth the same number of ratings for each.
    precision = PRIOR_RATINGS * ((margins**2).mean(0) / 4 + 1e-9)
    weights = prior.copy()
    for _ in range(SWEEPS):
        before = weights.copy()
        for k in range(size):
            p = sigmoid(margins @ weights)
            gradient = margins[:, k] @ (p - label) + precision[k] * (weights[k] - prior[k])
            curvature = (margins[:, k] ** 2) @ (p * (1 - p)) + precision[k]
            # At most 1 at once: where everything is decided the curve is flat and a full step would overshoot.
            weights[k] = max(weights[k] - float(np.clip(gradient / curvature, -1, 1)), 0.0)
        if np.abs(weights - before).max() < 1e-5:
            break
    return Pool(weights, single, log_loss(margins @ weights, label))


def fit_trusted_pool(
    margins: Floats, label: Floats, query: NDArray[np.generic], population: NDArray[np.integer]
) -> Pool:
    """The pool of all K routers drawn towards that of the routers at `population`, who tell everyone the same.

    How far is told by its gain d in log-loss over them on held-out queries (weights fitted to other queries), and that
    gain's standard error e over whole queries, for ratings of one query share luck: the pool has max(0, 1 - e^2 / d^2)
    of the weight, the positive part of James and Stein's rule (1961), and none without a gain. `query` [N] groups the
    ratings.
    """
    personal = np.setdiff1d(np.arange(margins.shape[1]), population)
    pool = fit_pool(margins, label, personal)
    _, group = np.unique(query, return_inverse=True)
    several = int(group.max(initial=-1)) + 1
    everyone = np.zeros(margins.shape[1])
    everyone[population] = fit_pool(margins[:, population], label).weights
    if several < 2:
        return pool
    # Rows of `margins` come in the order of people or time; spreading the groups over the parts in turn is arbitrary
    # and the same each time.
    part = group % min(PARTS, several)
    gain = np.empty(len(label))
    for k in range(min(PARTS, several)):
        learned, judged = part != k, part == k
        both = fit_pool(margins[learned], label[learned], personal).weights
        alone = fit_pool(margins[learned][:, population], label[learned]).weights
        gain[judged] = _losses(margins[judged][:, population] @ alone, label[judged])
        gain[judged] -= _losses(margins[judged] @ both, label[judged])
    mean = float(gain.mean())
    by_query = np.bincount(group, gain - mean)
    squared_error = float(by_query @ by_query) / len(gain) ** 2 * several / (several - 1)
    share = max(0.0, 1 - squared_error / mean**2) if mean > 0 else 0.0
    weights = share * pool.weights + (1 - share) * everyone
    return Pool(weights, pool.single, log_loss(margins @ weights, label))


def _losses(margin: Floats, label: Floats) -> Floats:
    losses: Floats = np.logaddexp(0, margin) - label * margin
    return losses
