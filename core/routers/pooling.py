"""Pooling routers on validation: s = sum_k w_k log p_k with w >= 0, by Bradley-Terry log-loss, shrunk towards the
population as far as validation leaves in doubt that more than the population helps.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.routers.calibration import calibrate, log_loss
from core.routers.win_rates import Floats, sigmoid

# What the prior is worth, in ratings: the shares that are thought likely before, all at one scale, the best for them
# together. Few ratings tell neither which router is best nor, of one fold's router, how far to believe it, so whoever
# is best on them is not to be believed much. With each router at its own best scale, 12 worlds of nine other simulated
# users x 20 lost .6030 on held-out queries, at one scale .6005, and .5995 with the network's share twice the others'; 9
# worlds x 50 .5400, .5385 and .5366. Of 30, 100 and 300 ratings, 100 was best with 500 users.
PRIOR_RATINGS = 100.0
SWEEPS = 100
PARTS = 5  # of the held-out queries, to judge weights on queries they were not fitted to


class Pool(NamedTuple):
    """The weights [K] of K routers, the validation log-loss of each at its own best scale [K], and that of the pool."""

    weights: Floats
    single: Floats
    loss: float


def fit_pool(margins: Floats, label: Floats, shares: Floats | None = None) -> Pool:
    """`margins` [N, K] is log p_k(A) - log p_k(B) of N held-out ratings, `label` [N] 1 for A, 0 for B, 1/2 for neither;
    `shares` [K] are the prior's, by default equal ones. Without any rating the weights are the shares.
    """
    weights = _weights(margins, label, shares)
    single = [calibrate(margins[:, k], label).loss for k in range(margins.shape[1])]
    return Pool(weights, np.array(single), log_loss(margins @ weights, label))


def _weights(margins: Floats, label: Floats, shares: Floats | None = None) -> Floats:
    """[K]: the loss is convex in them; coordinates are solved for in turn by a Newton step cut off at 0."""
    size = margins.shape[1]
    likely = np.ones(size) if shares is None or not shares.any() else shares
    prior: Floats = likely / likely.sum()
    if not len(label):
        return prior
    prior *= calibrate(margins @ prior, label).scale
    # A rung of larger margins bends the loss more: the prior is worth the same number of ratings for each.
    precision = PRIOR_RATINGS * ((margins**2).mean(0) / 4 + 1e-9)
    weights: Floats = prior.copy()
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
    return weights


def fit_trusted_pool(margins: Floats, label: Floats, query: NDArray[np.generic], shares: Floats) -> Pool:
    """The pool of all K routers drawn towards that of the routers who tell everyone the same: those without a part in
    `shares` [K], the prior of how the others share the weight.

    How far is told by its gain d in log-loss over them on held-out queries (weights fitted to other queries), and that
    gain's standard error e over whole queries, for ratings of one query share luck: the pool has max(0, 1 - e^2 / d^2)
    of the weight, the positive part of James and Stein's rule (1961), and none without a gain. `query` [N] groups the
    ratings.
    """
    pool, population = fit_pool(margins, label, shares), np.flatnonzero(shares == 0)
    _, group = np.unique(query, return_inverse=True)
    several = int(group.max(initial=-1)) + 1
    everyone = np.zeros(margins.shape[1])
    everyone[population] = _weights(margins[:, population], label)
    if several < 2:
        return pool
    # Rows of `margins` come in the order of people or time; spreading the groups over the parts in turn is arbitrary
    # and the same each time.
    part = group % min(PARTS, several)
    gain = np.empty(len(label))
    for k in range(min(PARTS, several)):
        learned, judged = part != k, part == k
        both = _weights(margins[learned], label[learned], shares)
        alone = _weights(margins[learned][:, population], label[learned])
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
