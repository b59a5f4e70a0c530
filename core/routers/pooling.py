"""Pooling routers on validation: s = sum_k w_k log p_k with w >= 0, by Bradley-Terry log-loss, shrunk towards the
population as far as validation leaves in doubt that more than the population helps.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.routers.calibration import calibrate
from core.routers.factors import Factors
from core.routers.win_rates import Floats, Rows, sigmoid

# What the prior is worth, in ratings: the shares that are thought likely before, all at one scale, the best for them
# together. Few ratings tell neither which router is best nor, of one fold's router, how far to believe it, so whoever
# is best on them is not to be believed much. With each router at its own best scale, 12 worlds of nine other simulated
# users x 20 lost .6030 on held-out queries, at one scale .6005, and .5995 with the network's share twice the others'; 9
# worlds x 50 .5400, .5385 and .5366. Of 100, 150, 200 and 300, all are alike there (.601, .600, .599 and .599); with
# the best of ten 150 picks as well as 100 (.632 of the queries), and 300 less well (.629).
PRIOR_RATINGS = 150.0
# Pairs alone, where there are choices among several too, tell the scale; it is thought 1 before, as if so many had
# said so.
PRIOR_PAIRS = 30.0
STEPS, SWEEPS, CONVERGED = 50, 1000, 1e-5
PARTS = 5  # of the held-out queries, to judge weights on queries they were not fitted to


class Pool(NamedTuple):
    """The weights [K] of K routers, the validation log-loss of each at its own best scale [K], and that of the pool."""

    weights: Floats
    single: Floats
    loss: float


def fit_pool(margins: Floats, label: Floats, shares: Floats | None = None, stage: Rows | None = None) -> Pool:
    """`margins` [N, K] is log p_k(A) - log p_k(B) of N held-out ratings, `label` [N] 1 for A, 0 for B, 1/2 for neither;
    `shares` [K] are the prior's, by default equal ones. Without any rating the weights are the shares. Ratings of one
    `stage` [N], if there are any (see `PreferenceDataset`), are one choice.
    """
    weights = _weights(margins, label, shares, stage)
    single = [calibrate(margins[:, k], label, stage).loss for k in range(margins.shape[1])]
    return Pool(weights, np.array(single), Factors.of(label, stage).mean_loss(margins @ weights))


def _weights(margins: Floats, label: Floats, shares: Floats | None = None, stage: Rows | None = None) -> Floats:
    """[K]: the loss is convex in them; Newton's steps, each to the best weights that are not below 0."""
    size = margins.shape[1]
    likely = np.ones(size) if shares is None or not shares.any() else shares
    prior: Floats = likely / likely.sum()
    if not len(label):
        return prior
    prior *= calibrate(margins @ prior, label, stage).scale
    said, weights = Factors.of(label, stage), prior.copy()
    # The prior is worth the same number of ratings for each rung: the information that these have, on average, at the
    # prior (Kass and Wasserman, 1995). A rung of larger margins bends the loss more; a choice that is clear, less.
    precision = PRIOR_RATINGS * (np.diag(said.curvature(margins @ prior, margins)) / said.total + 1e-9)

    def objective(w: Floats) -> float:
        return said.loss(margins @ w) + float(precision @ (w - prior) ** 2) / 2

    value = objective(weights)
    for _ in range(STEPS):
        margin = margins @ weights
        gradient = margins.T @ said.slope(margin) + precision * (weights - prior)
        curvature = said.curvature(margin, margins) + np.diag(precision)
        step = _nonnegative(curvature, curvature @ weights - gradient, weights) - weights
        while (proposed := objective(weights + step)) > value + 1e-9 * abs(value) and np.abs(step).max() > CONVERGED:
            step = step / 2
        weights, value = weights + step, proposed
        if np.abs(step).max() < CONVERGED:
            break
    return weights


def _nonnegative(curvature: Floats, towards: Floats, start: Floats) -> Floats:
    """The w >= 0 [K] of least w' curvature w / 2 - towards . w, one coordinate after the other."""
    w = start.copy()
    for _ in range(SWEEPS):
        before = w.copy()
        for k in range(len(w)):
            w[k] = max(w[k] + (towards[k] - curvature[k] @ w) / curvature[k, k], 0.0)
        if np.abs(w - before).max() < CONVERGED / 10:
            break
    return w


def fit_trusted_pool(
    margins: Floats, label: Floats, query: NDArray[np.generic], shares: Floats, stage: Rows | None = None
) -> Pool:
    """The pool of all K routers drawn towards that of the routers who tell everyone the same: those without a part in
    `shares` [K], the prior of how the others share the weight.

    How far is told by its gain d in log-loss over them on held-out queries (weights fitted to other queries), and that
    gain's standard error e over whole queries, for ratings of one query share luck: the pool has max(0, 1 - e^2 / d^2)
    of the weight, the positive part of James and Stein's rule (1961), and none without a gain. `query` [N] groups the
    ratings.

    Where there are choices among several beside pairs, the pairs alone then tell the scale: see `_scaled_by_pairs`. The
    pool's `loss` is that before.
    """
    stage = np.full(len(label), -1) if stage is None else stage
    pool, population = fit_pool(margins, label, shares, stage), np.flatnonzero(shares == 0)
    _, group = np.unique(query, return_inverse=True)
    several = int(group.max(initial=-1)) + 1
    everyone = np.zeros(margins.shape[1])
    everyone[population] = _weights(margins[:, population], label, None, stage)
    if several < 2:
        return pool
    # Rows of `margins` come in the order of people or time; spreading the groups over the parts in turn is arbitrary
    # and the same each time.
    part = group % min(PARTS, several)
    gain = np.empty(len(label))
    for k in range(min(PARTS, several)):
        learned, judged = part != k, part == k
        both = _weights(margins[learned], label[learned], shares, stage[learned])
        alone = _weights(margins[learned][:, population], label[learned], None, stage[learned])
        asked = Factors.of(label[judged], stage[judged])
        gain[judged] = asked.losses(margins[judged][:, population] @ alone) - asked.losses(margins[judged] @ both)
    mean = float(gain.mean())
    by_query = np.bincount(group, gain - mean)
    squared_error = float(by_query @ by_query) / len(gain) ** 2 * several / (several - 1)
    share = max(0.0, 1 - squared_error / mean**2) if mean > 0 else 0.0
    weights = share * pool.weights + (1 - share) * everyone
    loss = Factors.of(label, stage).mean_loss(margins @ weights)
    return Pool(_scaled_by_pairs(weights, margins, label, stage), pool.single, loss)


def _scaled_by_pairs(weights: Floats, margins: Floats, label: Floats, stage: Rows) -> Floats:
    """The weights [K] at the scale at which pairs that were rated as such fit best, if there are choices among several
    too: those say well which LLM wins, and too loudly who is better of two that both lost, which nobody was asked.
    """
    alone = stage < 0
    if alone.all() or not alone.any():
        return weights
    margin = margins[alone] @ weights
    p = sigmoid(margin)
    thought = PRIOR_PAIRS * float((margin**2 * p * (1 - p)).mean())
    return weights * calibrate(margin, label[alone], prior=thought + 1e-9).scale
