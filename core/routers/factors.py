"""The likelihood of ratings in margins, for routers without a network: pairs as Bradley and Terry's, a choice among
several as Luce's (see `core.luce`, which is the same for a network).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from core.routers.win_rates import Floats, Rows, sigmoid


@dataclass(frozen=True, eq=False)
class Factors:
    """N ratings with labels in {0, 1/2, 1} and weights [N]. `several` are those that are one stage with others, stage
    by stage, from the places `starts` of it on; `row` is the stage of each of them.
    """

    label: Floats
    weight: Floats
    several: Rows
    starts: Rows
    row: Rows

    @classmethod
    def of(cls, label: Floats, stage: Rows | None = None, weight: Floats | None = None) -> Self:
        """Ratings of equal `stage` [N], if it is not negative, are one factor; what stands alone counts by `weight`."""
        weight = np.ones(len(label)) if weight is None else weight
        several = np.zeros(0, np.int64) if stage is None else np.flatnonzero(stage >= 0)
        if stage is None or not len(several):
            return cls(label, weight, several, several, several)
        several = several[np.argsort(stage[several], kind="stable")]
        _, starts, row = np.unique(stage[several], return_index=True, return_inverse=True)
        return cls(label, weight, several, starts, row)

    @property
    def total(self) -> float:
        """What all tell together, in pairs: see `PreferenceDataset.weight`."""
        size = np.bincount(self.row)
        return float(self.weight.sum() - len(self.several) + (2 * size / (size + 1)).sum())

    def losses(self, margin: Floats) -> Floats:
        """[N]: the log-loss of each, from margins [N] of A over B; that of a stage in equal shares."""
        each: Floats = self.weight * (np.logaddexp(0, margin) - self.label * margin)
        if len(self.several):
            each[self.several] = (self._stages(margin)[2] / np.bincount(self.row))[self.row]
        return each

    def loss(self, margin: Floats) -> float:
        """The log-loss of all."""
        return float(self.losses(margin).sum())

    def mean_loss(self, margin: Floats) -> float:
        """The log-loss by what they tell; 0 without any rating."""
        return self.loss(margin) / self.total if len(self.label) else 0.0

    def slope(self, margin: Floats) -> Floats:
        """[N]: the derivative of the log-loss in each margin."""
        slope: Floats = self.weight * (sigmoid(margin) - self.label)
        if len(self.several):
            side, p, _ = self._stages(margin)
            slope[self.several] = -side * p
        return slope

    def curvature(self, margin: Floats, delta: Floats) -> Floats:
        """[D, D]: the Hessian of the log-loss in weights that move the margins by `delta` [N, D]."""
        p = sigmoid(margin)
        own = self.weight * p * (1 - p)
        if not len(self.several):
            return _gram(delta, own)
        side, p, _ = self._stages(margin)
        own[self.several] = p
        mean = np.add.reduceat(delta[self.several] * (side * p)[:, None], self.starts, axis=0)
        return np.asarray(_gram(delta, own) - mean.T @ mean)

    def _stages(self, margin: Floats) -> tuple[Floats, Floats, Floats]:
        """Of `several`: 1 where A was preferred and -1 for B, and the probability of what was not; the log-loss of each
        stage.
        """
        side = 2 * self.label[self.several] - 1
        beaten = -side * margin[self.several]
        largest = np.maximum(np.maximum.reduceat(beaten, self.starts), 0)
        power = np.exp(beaten - largest[self.row])
        total = np.exp(-largest) + np.add.reduceat(power, self.starts)
        return side, power / total[self.row], largest + np.log(total)


def _gram(delta: Floats, weight: Floats) -> Floats:
    """[D, D]: delta' diag(weight) delta, as a matrix [N, D] times itself, which BLAS does in half the time."""
    half = delta * np.sqrt(weight)[:, None]
    return np.asarray(half.T @ half)
