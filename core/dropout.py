"""Dropout from uniform numbers: torch draws those of a Bernoulli one by one, which took longer than a layer."""

import torch
from torch import Tensor, nn


def dropped(x: Tensor, share: float) -> Tensor:
    """X with a share of its entries 0, drawn anew, and the others as much larger."""
    return x * (torch.rand_like(x) >= share) / (1 - share) if share else x


class Dropout(nn.Module):
    """`dropped` in training; in evaluation nothing is done."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """X with entries dropped, or as it is."""
        return dropped(x, self.share) if self.training else x
