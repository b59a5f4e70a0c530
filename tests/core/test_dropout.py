"""Dropout: the usual one, drawn faster."""

import torch

from core.dropout import Dropout, dropped


def test_a_share_is_dropped_in_training_the_mean_stays_and_otherwise_nothing_is_done() -> None:
    torch.manual_seed(0)
    x, layer = torch.ones(200, 500), Dropout(0.2)
    found = layer.train()(x)
    assert torch.equal(found.unique(), torch.tensor([0.0, 1.25]))
    assert abs(float(found.mean()) - 1) < 0.01
    assert not torch.equal(layer(x), found)
    assert torch.equal(layer.eval()(x), x) and torch.equal(dropped(x, 0), x)
