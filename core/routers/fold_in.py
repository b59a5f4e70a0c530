"""Folding a person in: the weights that explain their ratings best, given features that were learned without them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from core.routers.factors import Factors
from core.routers.win_rates import Floats, Rows, sigmoid

NEWTON_STEPS = 25
AT_ONCE = 2_000_000  # entries of a crowd's deltas: 16 MB
CONVERGED = 1e-5  # Newton's step: what is left after it is of the order of its square


class Contrast(NamedTuple):
    """N comparisons in features: `delta` [N, D] = x(q, a) - x(q, b), `offset` [N] = s0(q, a) - s0(q, b), `label` [N] in
    {0, 1/2, 1}, and which of them are one `stage` of a choice, if any are (see `PreferenceDataset`).
    """

    delta: Floats
    offset: Floats
    label: Floats
    stage: Rows | None = None


def fold_in(said: Contrast, precision: float, weight: Floats | None = None, start: Floats | None = None) -> Floats:
    """[D]: the mode of w ~ N(0, I / precision) under P(A over B) = sigma(offset + delta . w), by damped Newton; a
    choice among several has the likelihood of a softmax.

    `weight` [N] counts each comparison that stands alone; 1 without it. `start` [D] is where to begin, such as the mode
    at another precision. Ridge is blind to rotations and the mode lies in the span of the deltas, so with fewer
    comparisons than features the solve is of size N.
    """
    delta, offset, label, stage = said
    if len(delta) < delta.shape[1]:
        basis, triangle = np.linalg.qr(delta.T)  # delta = triangle' basis'
        begun = None if start is None else basis.T @ start
        inner: Floats = basis @ fold_in(Contrast(triangle.T, offset, label, stage), precision, weight, begun)
        return inner
    factors = Factors.of(label, stage, weight)

    def objective(w: Floats) -> float:
        return factors.loss(offset + delta @ w) + precision / 2 * float(w @ w)

    w = np.zeros(delta.shape[1]) if start is None else start
    prior, value = precision * np.eye(delta.shape[1]), objective(w)
    for _ in range(NEWTON_STEPS):
        margin = offset + delta @ w
        gradient = delta.T @ factors.slope(margin) + precision * w
        step = np.linalg.solve(factors.curvature(margin, delta) + prior, gradient)
        size, proposed = 1.0, objective(w - step)
        while proposed > value + 1e-12 * max(abs(value), 1) and size > 1e-6:
            size /= 2
            proposed = objective(w - size * step)
        w, value = w - size * step, proposed
        if np.abs(step).max(initial=0) < CONVERGED:
            break
    return w


@dataclass(frozen=True, eq=False)
class Crowd:
    """Several people's comparisons as one: `delta` [U, N, S], `offset` and `label` [U, N], where N is the most that one
    of them said and what is missing has a delta of 0, which moves nothing. With fewer comparisons than features,
    `basis` [U, D, S] leads from the span of each one's deltas back to the features.
    """

    delta: Floats
    offset: Floats
    label: Floats
    basis: Floats | None

    @classmethod
    def of(cls, persons: Sequence[Contrast]) -> Self:
        """The crowd of some people, at least one."""
        most, features = max(1, *(len(said.label) for said in persons)), persons[0].delta.shape[1]
        delta = np.zeros((len(persons), most, features))
        offset, label = np.zeros((len(persons), most)), np.zeros((len(persons), most))
        for row, said in enumerate(persons):
            n = len(said.label)
            delta[row, :n], offset[row, :n], label[row, :n], _ = said
        if most >= features:
            return cls(delta, offset, label, None)
        basis, triangle = np.linalg.qr(delta.mT)
        return cls(triangle.mT, offset, label, basis)

    def modes(self, precision: float) -> Floats:
        """[U, D]: `fold_in` of each."""
        delta, offset, label = self.delta, self.offset, self.label
        w = np.zeros((len(delta), delta.shape[2]))
        prior = precision * np.eye(delta.shape[2])

        def objective(w: Floats) -> Floats:
            margin = offset + (delta @ w[..., None])[..., 0]
            loss: Floats = (np.logaddexp(0, margin) - label * margin).sum(1) + precision / 2 * (w * w).sum(1)
            return loss

        value = objective(w)
        for _ in range(NEWTON_STEPS):
            p = sigmoid(offset + (delta @ w[..., None])[..., 0])
            gradient = (delta.mT @ (p - label)[..., None])[..., 0] + precision * w
            curvature = (delta * (p * (1 - p))[..., None]).mT @ delta + prior
            step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
            proposed, size = objective(w - step), 1.0
            while (worse := proposed > value + 1e-12 * np.maximum(np.abs(value), 1)).any() and size > 1e-6:
                size /= 2
                step[worse] /= 2
                proposed = objective(w - step)
            w, value = w - step, proposed
            if np.abs(step).max(initial=0) < CONVERGED:
                break
        return w if self.basis is None else (self.basis @ w[..., None])[..., 0]


class Chooser(NamedTuple):
    """One person some of whose comparisons are stages of choices: a crowd of their own."""

    said: Contrast

    def modes(self, precision: float) -> Floats:
        """[1, D]: their `fold_in`."""
        return fold_in(self.said, precision)[None]


def crowds(persons: Sequence[Contrast]) -> Iterator[tuple[list[int], Crowd | Chooser]]:
    """People who said about as much, with their positions: so many at once that their arrays stay small."""
    chose = [said.stage is not None and bool((said.stage >= 0).any()) for said in persons]
    yield from (([i], Chooser(persons[i])) for i in np.flatnonzero(chose).tolist())
    order = sorted(np.flatnonzero(~np.array(chose, bool)).tolist(), key=lambda i: len(persons[i].label))
    while order:
        most, features = persons[order[-1]].delta.shape
        at_once = max(AT_ONCE // max(most * features, 1), 1)
        order, some = order[:-at_once], order[-at_once:]
        yield some, Crowd.of([persons[i] for i in some])


def fold_in_each(persons: Sequence[Contrast], precision: float, features: int) -> Floats:
    """[U, D]: `fold_in` of each of some people, in far less time than one after the other."""
    w = np.zeros((len(persons), features))
    said = np.array([i for i, person in enumerate(persons) if len(person.label)], int)
    for some, crowd in crowds([persons[i] for i in said]):
        w[said[some]] = crowd.modes(precision)
    return w


def best_precision(persons: Iterable[tuple[Contrast, Contrast]], precisions: Sequence[float]) -> tuple[float, float]:
    """The precision (the first of equals) at which people folded in from what they said fit their held-out ratings
    best; and its loss.

    `persons` are pairs (said, held out).
    """
    persons = list(persons)
    together = list(crowds([said for said, _ in persons]))
    held_out = [persons[i][1] for some, _ in together for i in some]
    judged = [Factors.of(part.label, part.stage) for part in held_out]
    total = sum(factors.total for factors in judged)

    def loss(precision: float) -> float:
        modes = (w for _, crowd in together for w in crowd.modes(precision))
        margins = [part.offset + part.delta @ w for part, w in zip(held_out, modes, strict=True)]
        return sum(factors.loss(m) for factors, m in zip(judged, margins, strict=True)) / total if total else 0.0

    losses = [loss(precision) for precision in precisions]
    best = int(np.argmin(losses))
    return precisions[best], losses[best]
