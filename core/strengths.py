"""Bradley-Terry strengths: the maximum a posteriori fit that baselines and the leaderboard share."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEWTON_STEPS = 50
CONVERGED = 1e-10
WEAK_PRIOR = 1e-3  # sd 32 on the logit scale: 30 ratings outweigh it several thousand times


class Strengths(NamedTuple):
    """Strengths [L] on the logit scale and the negative log-posterior's curvature [L, L] there (its inverse is the
    Laplace covariance).
    """

    value: Floats
    curvature: Floats


def bradley_terry(
    llm_a: NDArray[np.integer], llm_b: NDArray[np.integer], label: Floats, prior_mean: Floats, prior_precision: float,
    weight: Floats | None = None,
) -> Strengths:  # fmt: skip
    """MAP of P(a over b) = sigma(s_a - s_b) with s ~ N(prior_mean, I / prior_precision), by damped Newton.

    `llm_a`, `llm_b` [N] index L strengths; `label` [N] is 1 for A, 0 for B, 1/2 for neither. The prior's precision must
    be above 0: it keeps LLMs that never lose, were never compared or lie in disconnected components finite. Bradley and
    Terry (1952).
    """
    size = len(prior_mean)
    # Ratings of the same LLMs on the same sides are as one of their summed weight and mean label.
    key = llm_a.astype(np.int64) * size + llm_b
    total = np.bincount(key, weight, size * size)
    seen = np.flatnonzero(total)
    label = np.bincount(key, label if weight is None else weight * label, size * size)[seen] / total[seen]
    weight = total[seen].astype(float)
    design = np.zeros((len(seen), size))
    design[np.arange(len(seen)), seen // size] = 1
    design[np.arange(len(seen)), seen % size] -= 1

    def objective(s: Floats) -> float:
        margin = design @ s
        likelihood = weight @ (np.logaddexp(0, margin) - label * margin)
        return float(likelihood + prior_precision / 2 * ((s - prior_mean) ** 2).sum())

    def derivatives(s: Floats) -> tuple[Floats, Floats]:
        p = 1 / (1 + np.exp(-design @ s))
        gradient = design.T @ (weight * (p - label)) + prior_precision * (s - prior_mean)
        return gradient, (design * (weight * p * (1 - p))[:, None]).T @ design + prior_precision * np.eye(size)

    s = prior_mean.astype(float).copy()
    for _ in range(NEWTON_STEPS):
        gradient, curvature = derivatives(s)
        step, size_of_step, before = np.linalg.solve(curvature, gradient), 1.0, objective(s)
        while objective(s - size_of_step * step) > before + 1e-12 * max(abs(before), 1) and size_of_step > 1e-6:
            size_of_step /= 2
        s = s - size_of_step * step
        if np.abs(step).max(initial=0) < CONVERGED:
            break
    return Strengths(s, derivatives(s)[1])


class RobustFit(NamedTuple):
    """Strengths [L] and effects [K] on the logit scale with two covariances [L + K, L + K], strengths first.

    `sandwich` is H^-1 G H^-1, right even where ratings do not follow the Bradley-Terry form; `laplace` is H^-1 of the
    posterior, which stays honest where the ratings alone leave a strength without a limit.
    """

    strength: Floats
    effect: Floats
    sandwich: Floats
    laplace: Floats


def bradley_terry_robust(
    llm_a: NDArray[np.integer], llm_b: NDArray[np.integer], label: Floats, effects: Floats, size: int,
    weight: Floats, weight_squared: Floats, prior_precision: float = WEAK_PRIOR,
) -> RobustFit:  # fmt: skip
    """MAP of P(a over b) = sigma(s_a - s_b + effects . e) over counted rows, by damped Newton.

    A row stands for equal ratings: `weight` [N] sums their weights and `weight_squared` [N] the squares of these.
    `effects` [N, K] is what else differed between the sides; a column of ones is the advantage of side A. The prior
    gives LLMs that were never compared, even indirectly, strengths that sum to 0 in each group of those that were.
    """
    theta = np.zeros(size + effects.shape[1])

    def margin(t: Floats) -> Floats:
        return np.asarray(t[llm_a] - t[llm_b] + effects @ t[size:])

    def objective(t: Floats) -> float:
        m = margin(t)
        return float(weight @ (np.logaddexp(0, m) - label * m) + prior_precision / 2 * (t @ t))

    def gradient(t: Floats) -> Floats:
        residual = weight * (_sigma(margin(t)) - label)
        by_llm = np.bincount(llm_a, residual, size) - np.bincount(llm_b, residual, size)
        return np.concatenate([by_llm, effects.T @ residual]) + prior_precision * t

    def curvature(t: Floats) -> Floats:
        p = _sigma(margin(t))
        return _gram(llm_a, llm_b, effects, weight * p * (1 - p), size) + prior_precision * np.eye(len(t))

    for _ in range(NEWTON_STEPS):
        step, length, before = np.linalg.solve(curvature(theta), gradient(theta)), 1.0, objective(theta)
        while objective(theta - length * step) > before + 1e-12 * abs(before) and length > 1e-6:
            length /= 2
        theta = theta - length * step
        if np.abs(step).max(initial=0) < CONVERGED:
            break
    laplace: Floats = np.asarray(np.linalg.inv(curvature(theta)), float)
    squared = weight_squared * (_sigma(margin(theta)) - label) ** 2
    sandwich = laplace @ _gram(llm_a, llm_b, effects, squared, size) @ laplace
    return RobustFit(theta[:size], theta[size:], sandwich, laplace)


def _sigma(margin: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(margin, -500, 500))))


def _gram(
    llm_a: NDArray[np.integer], llm_b: NDArray[np.integer], effects: Floats, weight: Floats, size: int
) -> Floats:  # fmt: skip
    """X' diag(weight) X [L + K, L + K] of the design +1 at A, -1 at B, then the effects, without building X."""
    pairs = np.bincount(llm_a * size + llm_b, weight, size * size).reshape(size, size)
    pairs = pairs + pairs.T
    weighted = effects * weight[:, None]
    cross = np.array([
        np.bincount(llm_a, column, size) - np.bincount(llm_b, column, size) for column in weighted.T
    ]).reshape(-1, size)  # fmt: skip
    return np.block([[np.diag(pairs.sum(1)) - pairs, cross.T], [cross, effects.T @ weighted]])


def versus_average(strengths: Strengths) -> tuple[Floats, Floats, Floats]:
    """P(an LLM over an average one of these LLMs) [L], and the bounds of its 95 % Laplace interval.

    Each strength is taken as its difference from the mean of all: the level they share is the prior's, not the data's.
    """
    size = len(strengths.value)
    centring = np.eye(size) - 1 / size
    covariance = centring @ np.linalg.inv(strengths.curvature) @ centring
    centred = centring @ strengths.value
    half = 1.959963984540054 * np.sqrt(np.clip(np.diag(covariance), 0, None))
    low, value, high = (1 / (1 + np.exp(-margin)) for margin in (centred - half, centred, centred + half))
    return value, low, high
