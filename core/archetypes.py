"""Kinds of people: where the weights of those who were learned from gather.

One prior around one mean draws who has said little towards a middle where perhaps nobody stands. So the weights of the
people learned from are gathered into kinds by k-means, in the metric of the prior, and a person is expected near the
kinds that explain best what they said (`PosteriorGAT.kinds_mean`). A kind is the mean of several people: nothing of
anyone in particular is held.
"""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor

from core.network import PosteriorGAT

KINDS = 20  # at most; of 10, 20 and 40 none was better than the others
EACH = 8  # people a kind, on average, at least
LEAST = 3  # people of one kind: the mean of fewer would be somebody's own weights


def with_kinds(network: PosteriorGAT, weights: Tensor) -> PosteriorGAT | None:
    """The network with the kinds of people found in the weights [U, D] of some; None where they are too few for two
    kinds. Same weights, same kinds.
    """
    kinds = min(KINDS, len(weights) // EACH)
    if kinds < 2:
        return None
    scale = F.softplus(network.log_precision.detach()).sqrt()
    found = KMeans(kinds, n_init=2, random_state=0).fit((weights * scale).double().cpu().numpy())
    people = np.bincount(found.labels_, minlength=kinds)
    several = people >= LEAST
    if several.sum() < 2:
        return None
    centre = torch.from_numpy(found.cluster_centers_[several]).to(weights) / scale
    share = torch.from_numpy(people[several] / people[several].sum()).to(weights)
    wider = type(network)(replace(network.shape, kinds=len(centre)))
    wider.load_state_dict(network.state_dict() | {"kind": centre, "kind_share": share})
    return wider.to(weights.device).eval()
