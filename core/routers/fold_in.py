"""Folding a person in: the weights that explain their ratings best, given features that were learned without them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.routers.calibration import log_loss
from core.routers.win_rates import sigmoid

Floats = NDArray[np.float64]

NEWTON_STEPS = 25
CONVERGED = 1e-5  # Newton's step: what is left after it is of the order of its square


class Contrast(NamedTuple):
    """N comparisons in features: `delta` [N, D] = x(q, a) - x(q, b), `offset` [N] = s0(q, a) - s0(q, b), `label` [N] in
    {0, 1/2, 1}.
    """

    delta: Floats
    offset: Floats
    label: Floats


def fold_in(said: Contrast, precision: float, weight: Floats | None = None) -> Floats:
    """[D]: the mode of w ~ N(0, I / precision) under P(A over B) = sigma(offset + delta . w), by damped Newton.

    `weight` [N] counts each comparison; 1 without it. Ridge is blind to rotations and the mode lies in the span of the
    deltas, so with fewer comparisons than features the solve is of size N.
    """
    delta, offset, label = said
    if len(delta) < delta.shape[1]:
        basis, triangle = np.linalg.qr(delta.T)  # delta = triangle' basis'
        inner: Floats = basis @ fold_in(Contrast(triangle.T, offset, label), precision, weight)
        return inner
    weight = np.ones(len(label)) if weight is None else weight

    def objective(w: Floats) -> float:
        margin = offset + delta @ w
        return float(weight @ (np.logaddexp(0, margin) - label * margin) + precision / 2 * (w @ w))

    w, prior = np.zeros(delta.shape[1]), precision * np.eye(delta.shape[1])
    value = objective(w)
    for _ in range(NEWTON_STEPS):
        p = sigmoid(offset + delta @ w)
        gradient = delta.T @ (weight * (p - label)) + precision * w
        step = np.linalg.solve((delta * (weight * p * (1 - p))[:, None]).T @ delta + prior, gradient)
        size, proposed = 1.0, objective(w - step)
        while proposed > value + 1e-12 * max(abs(value), 1) and size > 1e-6:
            size /= 2
            proposed = objective(w - size * step)
        w, value = w - size * step, proposed
        if np.abs(step).max(initial=0) < CONVERGED:
            break
    return w


def best_precision(persons: Iterable[tuple[Contrast, Contrast]], precisions: Sequence[float]) -> tuple[float, float]:
    """The precision (the first of equals) at which people folded in from what they said fit their held-out ratings
    best; and its loss.

    `persons` are pairs (said, held out).
    """
    persons = list(persons)
    label = np.concatenate([held_out.label for _, held_out in persons]) if persons else np.zeros(0)

    def loss(precision: float) -> float:
        margins = [held_out.offset + held_out.delta @ fold_in(said, precision) for said, held_out in persons]
        return log_loss(np.concatenate(margins), label) if margins else 0.0

    losses = [loss(precision) for precision in precisions]
    best = int(np.argmin(losses))
    return precisions[best], losses[best]
