"""An LLM that joins after training: its place among the LLMs the network knows, from its description and its first
comparisons, without a gradient step on the network.

The network's scores are linear in an LLM's state v and bias b (docs: science, section 2): for a person of weights w and
a query of state z, s = g . v + b + w_t . t with g = gated' (tanh(gate z) * w_s) + plain' w_s + base z. With everyone's
weights solved for from their other ratings, (v, b) is a logistic regression of a few dozen unknowns on the comparisons
of the newcomer, and what is known of the other LLMs is its prior: their covariance, which says in which directions
LLMs differ at all, and their mean, leaning towards those of a like description.

A place found so says too little: the tastes and queries that would set the newcomer apart were not what the network was
trained to tell apart, so its scores lie closer to the average than anyone else's and it would hardly ever come out on
top. What is missing is known, for LLMs spread about alike: tau^2 is the variance of the others' scores over persons and
queries less that of the newcomer's. It is scored tau higher, the optimism of an upper confidence bound.
"""

import math
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
MEASURED = 200  # people, and queries, over which spreads of scores are measured
ISOTROPIC = 0.05  # share of the others' mean variance that every direction has, seen among them or not
NEWTON_STEPS = 30


class Met(NamedTuple):
    """E comparisons of the newcomer as a regression: it is preferred with probability sigma(`inputs` [E, H + 1]
    @ (v, b) + `offset` [E]); `label` [E] is 1 where it was preferred, 0 where the other was, 1/2 for neither.
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
        others = torch.cat([nodes.v, nodes.bias[:, None]], -1).double().numpy()
        vectors = torch.cat([graph.data["llm"].x, torch.from_numpy(llm_vectors([llm], encoder))]).double().numpy()
        place = _mode(regression, *_prior(others, vectors))
        wider = _widened(network, torch.from_numpy(vectors[-1]), torch.from_numpy(place), traits)
        graph.data["llm"].x = torch.from_numpy(vectors.astype(np.float32))
        wider.llm_bias[-1] += _missing_spread(wider, wider.nodes(graph), w)
    return wider


def _missing_spread(network: PosteriorGAT, nodes: Nodes, w: Tensor) -> float:
    """tau: how much wider the other LLMs' scores spread over people w [U, D] and queries than those of the last."""
    queries, people = (slice(None, None, -(-n // MEASURED)) for n in (max(len(nodes.z), 1), len(w)))
    if not len(nodes.z):
        return 0.0
    phi, base = network.features(nodes._replace(z=nodes.z[queries], traits=nodes.traits[queries]))
    score = base + torch.einsum("qld,ud->uql", phi, w[people])
    variance = (score - score.mean(-1, keepdim=True)).flatten(0, 1).var(0, correction=0)  # [L]
    return math.sqrt(max(float(variance[:-1].mean() - variance[-1]), 0.0))


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
    z, hidden = nodes.z[query], network.shape.hidden
    taste, liking = w[:, :hidden], w[:, hidden:]
    towards = (torch.tanh(network.gate(z)) * taste) @ network.gated.weight + taste @ network.plain.weight
    towards = towards + network.base(z)  # [E, H]: what one unit of each entry of v is worth here
    offset = liking @ traits - base[query, other] - (phi[query, other] * w).sum(-1)
    if network.shape.traits:
        offset = offset + towards @ network.style(traits)
    inputs = torch.cat([towards, towards.new_ones(len(towards), 1)], -1)
    return Met(inputs.double().numpy(), offset.double().numpy(), label)


def _prior(others: Floats, vectors: Floats) -> tuple[Floats, Floats]:
    """Mean [H + 1] and precision of a newcomer's state and bias, from those of the others [L, H + 1] and the vectors of
    all descriptions [L + 1, dim], the newcomer's last.
    """
    covariance = np.atleast_2d(np.cov(others.T, bias=True))
    covariance = covariance + np.eye(len(covariance)) * max(ISOTROPIC * np.trace(covariance) / len(covariance), 1e-6)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    likeness = unit[:-1] @ unit[-1]
    share = np.exp((likeness - likeness.max()) / LEANING)
    return share @ others / share.sum(), np.linalg.inv(covariance)


def _mode(met: Met, mean: Floats, precision: Floats) -> Floats:
    """[H + 1]: the most probable state and bias under the prior and what was said, by damped Newton."""

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
    return x


def _widened(network: PosteriorGAT, vector: Tensor, place: Tensor, traits: Tensor) -> PosteriorGAT:
    """The same network with a row more wherever it keeps one for each LLM."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    described = network.llm(vector.to(network.llm.weight.dtype)).detach()
    free = (place[:-1] - described.double()).to(described.dtype)
    state["llm_free"] = torch.cat([state["llm_free"], free[None]])
    state["llm_bias"] = torch.cat([state["llm_bias"], place[-1:].to(described.dtype)])
    if network.shape.traits:
        state["trait_mean"] = torch.cat([state["trait_mean"], traits[None]])
        none = state["trait_slope"].new_zeros(network.shape.dim, 1, network.shape.traits)
        state["trait_slope"] = torch.cat([state["trait_slope"], none], 1)
    wider = PosteriorGAT(replace(network.shape, llms=network.shape.llms + 1))
    wider.load_state_dict(state)
    return wider.eval()
