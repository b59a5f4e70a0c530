"""An LLM that joins after training: its place among the LLMs the network knows, from its description and its first
comparisons, without a gradient step on the network.

The network's scores are linear in an LLM's state v and bias b (docs: science, section 2): for a person of weights w and
a query of state z, s = b + gated(v) . x + plain(v) . w_s + base(v) . z + w_t . t, with x = tanh(gate z) * w_s. But only
where the trained LLMs lie do those maps of v mean anything, in eight dimensions for nine LLMs, and a newcomer may well
differ from all of them in another way. So beside v it gets a part of its own in each map: a weight on each entry of x,
w_s and z. With everyone's weights solved for from their other ratings, all of that is one logistic regression on the
comparisons of the newcomer. Its prior: for (v, b) the covariance of the other LLMs, and their mean, leaning towards
those of a like description; for its own part a multiple of the variance that the others have there.

The covariance of the place stays with the network: what few comparisons leave open counts in draws and intervals, and
so in which pair is worth asking next.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.dataset import PreferenceDataset
from core.domain import LLM, UserId
from core.encoders import TextEncoder
from core.graph import build_graph, llm_vectors, trait_differences
from core.network import Nodes, PosteriorGAT, ratings_of

Floats = NDArray[np.float64]

MOST = 5_000  # of the newest comparisons: beyond them a training is due, not more onboarding
LEANING = 0.1  # temperature of the cosine to the others' descriptions
ISOTROPIC = 0.05  # share of the others' mean variance that every direction has, seen among them or not
OWN = 3.0  # variance of what is the newcomer's own in a map, as a multiple of the others' mean variance there
NEWTON_STEPS = 30


class Met(NamedTuple):
    """E comparisons of the newcomer as a regression: it is preferred with probability sigma(`inputs` [E, P] @ place +
    `offset` [E]); `label` [E] is 1 where it was preferred, 0 where the other was, 1/2 for neither.

    A place has P = 4 H + 1 entries: the state v [H], the bias, and the newcomer's own part [3, H] of what `gated`,
    `plain` and `base` make of v.
    """

    inputs: Floats
    offset: Floats
    label: Floats


def welcomed(
    network: PosteriorGAT, tasks: tuple[str, ...], llm: LLM, history: PreferenceDataset, encoder: TextEncoder
) -> PosteriorGAT:
    """The network with one more LLM, the last. `history` is over the LLMs the network knows, in its order, and then the
    newcomer: what people said of it, and all else they said, which tells their tastes.
    """
    column = len(history.llms) - 1
    involved = (history.llm_a == column) | (history.llm_b == column)
    met = history.where(np.flatnonzero(involved)[-MOST:])
    people, user = np.unique(met.user, return_inverse=True)
    known = history.where(~involved & np.isin(history.user, people))
    row = np.zeros(len(history.users), np.int32)
    row[people] = np.arange(len(people))
    names = tuple(history.users[i] for i in people) or (UserId("nobody"),)  # who has said nothing of it
    known = replace(known, llms=history.llms[:-1], users=names, user=row[known.user])
    graph = build_graph(known, encoder, tasks)
    with torch.no_grad():
        nodes = network.nodes(graph)
        w = network.posterior(nodes, ratings_of(graph), len(names)).w
        traits = _usual_traits(network, nodes, met, column)
        regression = _regression(network, nodes, w[torch.from_numpy(user)], met, column, traits)
        vector = torch.from_numpy(llm_vectors([llm], encoder))
        place, precision = _mode(regression, *_prior(network, nodes, torch.cat([graph.data["llm"].x, vector])))
        return _widened(network, vector[0], torch.from_numpy(place), torch.from_numpy(precision), traits)


def _usual_traits(network: PosteriorGAT, nodes: Nodes, met: PreferenceDataset, column: int) -> Tensor:
    """[T]: the traits of the newcomer's answers, as far as they were read; a mean shrunk by one answer."""
    if not network.shape.traits or met.traits.shape[1] != network.shape.traits:
        return torch.zeros(network.shape.traits)
    first = met.llm_a == column
    difference = np.where(first[:, None], 1, -1) * trait_differences(met) / network.trait_scale.numpy()
    others = nodes.traits[met.query, np.where(first, met.llm_b, met.llm_a)].numpy()
    read = ~np.isnan(difference).any(1)
    usual = (difference + others)[read].sum(0) / (read.sum() + 1)
    return torch.from_numpy(usual.astype(np.float32))


def _regression(
    network: PosteriorGAT, nodes: Nodes, w: Tensor, met: PreferenceDataset, column: int, traits: Tensor
) -> Met:
    """The comparisons `met` of LLM `column`, given the weights w [E, D] of who made each."""
    first = met.llm_a == column
    other, query = torch.from_numpy(np.where(first, met.llm_b, met.llm_a)).long(), torch.from_numpy(met.query).long()
    label = np.where(first, met.label, 1 - met.label)
    phi, base = network.features(nodes)
    inputs = network.worth(nodes.z[query], w)  # [E, P]
    offset = w[:, network.shape.hidden :] @ traits - base[query, other] - (phi[query, other] * w).sum(-1)
    if network.shape.traits:
        offset = offset + inputs[:, : network.shape.hidden] @ network.style(traits)
    return Met(inputs.double().numpy(), offset.double().numpy(), label)


def _prior(network: PosteriorGAT, nodes: Nodes, descriptions: Tensor) -> tuple[Floats, Floats]:
    """Mean [P] and precision [P, P] of a newcomer's place, from the states of the others and the vectors of all
    descriptions [L + 1, dim], the newcomer's last.
    """
    others = torch.cat([nodes.v, nodes.bias[:, None]], -1).double().numpy()  # [L, H + 1]
    covariance = np.atleast_2d(np.cov(others.T, bias=True))
    covariance = covariance + np.eye(len(covariance)) * max(ISOTROPIC * np.trace(covariance) / len(covariance), 1e-6)
    mapped = torch.stack([network.gated(nodes.v), network.plain(nodes.v), nodes.v @ network.base.weight])  # [3, L, H]
    spread = mapped.var(1, correction=0).mean(-1).double().numpy()  # [3]
    own = np.repeat(np.maximum(OWN * spread, 1e-6), mapped.shape[-1])  # [3 H]
    vectors = descriptions.double().numpy()
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    likeness = unit[:-1] @ unit[-1]
    share = np.exp((likeness - likeness.max()) / LEANING)
    shared = len(covariance)
    precision = np.zeros((shared + len(own),) * 2)
    precision[:shared, :shared] = np.linalg.inv(covariance)
    precision[shared:, shared:] = np.diag(1 / own)
    return np.concatenate([share @ others / share.sum(), np.zeros(len(own))]), precision


def _mode(met: Met, mean: Floats, precision: Floats) -> tuple[Floats, Floats]:
    """The most probable place [P] under the prior and what was said, by damped Newton, and its precision [P, P]."""

    def objective(x: Floats) -> float:
        margin = met.inputs @ x + met.offset
        return float((np.logaddexp(0, margin) - met.label * margin).sum() + (x - mean) @ precision @ (x - mean) / 2)

    def derivatives(x: Floats) -> tuple[Floats, Floats]:
        p = 1 / (1 + np.exp(-np.clip(met.inputs @ x + met.offset, -500, 500)))
        gradient = met.inputs.T @ (p - met.label) + precision @ (x - mean)
        return gradient, (met.inputs * (p * (1 - p))[:, None]).T @ met.inputs + precision

    x = mean.copy()
    for _ in range(NEWTON_STEPS):
        gradient, curvature = derivatives(x)
        step, size = np.linalg.solve(curvature, gradient), 1.0
        while objective(x - size * step) > objective(x) + 1e-12 and size > 1e-6:
            size /= 2
        x = x - size * step
        if np.abs(step).max(initial=0) < 1e-8:
            break
    return x, derivatives(x)[1]


def _widened(network: PosteriorGAT, vector: Tensor, place: Tensor, precision: Tensor, traits: Tensor) -> PosteriorGAT:
    """The same network with a row more wherever it keeps one for each LLM, and for each newcomer."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    kind, hidden = state["llm_free"].dtype, network.shape.hidden
    described = network.llm(vector.to(kind)).detach()
    rows = {
        "llm_free": place[:hidden] - described.double(), "llm_bias": place[hidden],
        "own": place[hidden + 1 :].reshape(3, hidden), "root": torch.linalg.inv(torch.linalg.cholesky(precision)).mT,
    }  # fmt: skip
    if network.shape.traits:
        rows["trait_mean"] = traits
        none = state["trait_slope"].new_zeros(network.shape.dim, 1, network.shape.traits)
        state["trait_slope"] = torch.cat([state["trait_slope"], none], 1)
    for name, row in rows.items():
        before = state.get(name, row.new_zeros(0, *row.shape))
        state[name] = torch.cat([before.to(kind), row.to(kind)[None]])
    shape = replace(network.shape, llms=network.shape.llms + 1, newcomers=network.shape.newcomers + 1)
    wider = PosteriorGAT(shape)
    wider.load_state_dict(state)
    return wider.eval()
