"""The likelihood of what people said: Bradley and Terry's for a pair, Luce's for a choice among several.

Whoever took w among K answers preferred it to K - 1 others at once: with margins m_j = s_w - s_j the log-loss is
log(1 + sum_j exp(-m_j)), a softmax, whose gradient in the margins is -p_j, p_j = exp(-m_j) / (1 + sum), and whose
Hessian is diag(p) - p p'. The choice of a worst one, among others that are not, has the same form. With one other it is
Bradley and Terry's. By independence of irrelevant alternatives (McFadden, 1978) a choice of which some losers are left
out is still one of those that remain.
"""

from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor


class Said(NamedTuple):
    """What people said, laid out by person [U, K]: `side` is 1 where A was preferred or neither, -1 for B, and 0 where
    there is no rating; `tied` 1/2 for neither, else 0; `slot` which stage a rating belongs to, of `slots`; the last of
    them are those that stand alone. `share` of its stage's log-loss is counted at each rating. A person's stages lie
    side by side, equally many for each: `slots` is U * S + 1.
    """

    side: Tensor
    tied: Tensor
    share: Tensor
    slot: Tensor
    slots: int

    @classmethod
    def of(cls, label: Tensor, stage: Tensor, user: Tensor, rated: Tensor) -> Self:
        """Of E ratings sorted by user; `rated` [U, K] is true at the places they have in the layout, row by row."""
        share, slot, slots = torch.ones_like(label), torch.zeros_like(stage), 1
        several = stage >= 0
        if several.any():
            people = user[several]
            _, number = torch.unique(stage[several], return_inverse=True)
            first = number.new_full((len(rated),), len(number)).scatter_reduce(0, people, number, "amin")
            number = number - first[people]
            each = int(number.max()) + 1
            slots = len(rated) * each + 1
            slot = torch.full_like(stage, slots - 1)
            slot[several] = people * each + number
            share[several] = 1 / torch.bincount(slot[several], minlength=slots)[slot[several]].to(share.dtype)

        def laid_out(column: Tensor, where_none: int) -> Tensor:
            return column.new_full(rated.shape, where_none).masked_scatter(rated, column)

        side, tied = torch.where(label < 0.5, -1.0, 1.0), torch.where(label == 0.5, 0.5, 0.0)
        return cls(laid_out(side, 0), laid_out(tied, 0), laid_out(share, 0), laid_out(slot, slots - 1), slots)

    @classmethod
    def together(cls, label: Tensor, stage: Tensor) -> Self:
        """Of E ratings by whomever, as one row [1, E]."""
        return cls.of(label, stage, torch.zeros_like(stage), torch.ones_like(label, dtype=torch.bool)[None])

    def loss(self, margin: Tensor) -> Tensor:
        """[U]: the log-loss of all that each person said, from margins [U, K] of A over B."""
        return (self._others(margin)[1] * self.share + self.tied * margin).sum(1)

    def slope(self, margin: Tensor) -> Tensor:
        """[U, K]: the derivative of the log-loss in each margin."""
        return self._slope(self._others(margin)[0])

    def derivatives(self, margin: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """The slope [U, K] of the log-loss in each margin, and its Hessian [U, D, D] in weights that move the margins
        by `delta` [U, K, D].
        """
        p, _ = self._others(margin)
        slope, rated = self._slope(p), self.side.abs()
        if self.slots == 1:
            return slope, delta.mT @ ((p * (1 - p) * rated)[..., None] * delta)
        alone = self.slot == self.slots - 1
        spread = delta.mT @ ((torch.where(alone, p * (1 - p), p) * rated)[..., None] * delta)
        moved = (delta * (p * self.side)[..., None]).flatten(0, 1)  # [U * K, D]
        mean = moved.new_zeros(self.slots, delta.shape[-1]).index_add(0, self.slot.flatten(), moved)[:-1]
        mean = mean.view(len(delta), -1, delta.shape[-1])  # [U, S, D]
        return slope, spread - mean.mT @ mean

    def _slope(self, p: Tensor) -> Tensor:
        return -self.side * (p - self.tied)

    def _others(self, margin: Tensor) -> tuple[Tensor, Tensor]:
        """The probability [U, K] that what was not preferred would have been, and the log-loss [U, K] of what was said,
        that of a stage at each of its ratings.
        """
        beaten = -self.side * margin
        p, loss = torch.sigmoid(beaten), F.softplus(beaten)
        if self.slots == 1:
            return p, loss
        flat, slot = beaten.flatten(), self.slot.flatten()
        # From the largest score: that of the preferred one, 0, or of another.
        largest = flat.new_zeros(self.slots).scatter_reduce(0, slot, flat.detach(), "amax")
        power = torch.exp(flat - largest[slot])
        total = torch.exp(-largest).index_add(0, slot, power)
        alone = self.slot == self.slots - 1
        return (
            torch.where(alone, p, (power / total[slot]).view_as(p)),
            torch.where(alone, loss, (largest + total.log())[self.slot]),
        )
