"""An LLM that joins after training: its place among the LLMs the network knows, from its description and its first
comparisons, without a gradient step on the network.

The network's scores are linear in an LLM's state v and bias b (docs: science, section 2): for a person of weights w and
a query of state z, s = b + gated(v) . x + plain(v) . w_s + base(v) . z + w_t . t, with x = tanh(gate z) * w_s. But only
where the trained LLMs lie do those maps of v mean anything, in eight dimensions for nine LLMs, and a newcomer may well
differ from all of them in another way. Nor were the gates learned for it: each stands for one entry of taste, as suits
the others. So beside v it gets a matrix M of its own between tastes and queries, and s has (w_s - mu, 1) M (z, 1) more:
what everyone, each taste, each kind of query, and each taste on each kind of query adds for it. What z does not tell of
queries is left to a vector over clusters of them, for everyone alike, as UniRoute describes an LLM by its mean loss in
each (Jitkrittum et al., 2025). With everyone's weights solved for from their other ratings, all of that is one logistic
regression on the comparisons of the newcomer. Its prior: for (v, b) the covariance of the other LLMs, and their mean,
leaning towards those of a like description; for M and the clusters none on the mean, with a multiple of the variance
that the others have there.

The covariance of the place stays with the network: what few comparisons leave open counts in draws and intervals, and
so in which pair is worth asking next. It counts in the choice too: the chance that the newcomer is preferred to all
others is the mean over where its place may be (`with_open_places`), not that at its most probable place, where a
newcomer of whom little is known hardly leaves the mean of the others and is hardly ever chosen.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from core.dataset import PreferenceDataset
from core.domain import LLM, UserId
from core.encoders import TextEncoder
from core.graph import build_graph, llm_vectors, trait_differences
from core.network import Nodes, PosteriorGAT, ratings_of
from core.routers.fold_in import Contrast, fold_in
from core.routers.win_rates import sigmoid

Floats = NDArray[np.float64]

MOST = 5_000  # of the newest comparisons: beyond them a training is due, not more onboarding
LEANING = 0.1  # temperature of the cosine to the others' descriptions
ISOTROPIC = 0.05  # share of the others' mean variance that every direction has, seen among them or not
# Variances of what is the newcomer's own, as multiples of what is the others' on the mean: for a taste or a query
# alone, and for the two together, where the others have it through the gates that were learned for them.
OWN, CROSSED = 1.0, 4.0
# Gauss and Hermite's points for a standard normal, and the logarithms of their shares: with 31 of them a chance is
# within .0003 where the score's standard deviation is at most 4, and within .01 up to 8.
POINTS, WEIGHTS = (torch.from_numpy(x) for x in np.polynomial.hermite_e.hermegauss(31))
LOG_SHARES = (WEIGHTS / WEIGHTS.sum()).log()
CLUSTERS = 32  # of queries, at most; each has as much variance as the others' base scores have over queries


class Met(NamedTuple):
    """E comparisons of the newcomer as a regression: it is preferred with probability sigma(`inputs` [E, P] @ place +
    `offset` [E]); `label` [E] is 1 where it was preferred, 0 where the other was, 1/2 for neither.

    A place has P = H + (H + 1)^2 + K entries: the state v [H], the bias, the newcomer's own matrix [H + 1, H + 1]
    without its last entry, which the bias is, and its vector over K clusters of queries.
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
    if not network.shape.newcomers:  # later ones are told apart by the clusters of the first
        network = _clustering(network, graph.data["query"].x[torch.from_numpy(np.unique(history.query)).long()])
    with torch.no_grad():
        nodes = network.nodes(graph)
        w = network.posterior(nodes, ratings_of(graph), len(names)).w
        traits = _usual_traits(network, nodes, met, column)
        regression = _regression(network, nodes, w[torch.from_numpy(user)], met, column, traits)
        vector = torch.from_numpy(llm_vectors([llm], encoder))
        place, root = _mode(regression, *_prior(network, nodes, torch.cat([graph.data["llm"].x, vector])))
        return _widened(network, vector[0], torch.from_numpy(place), torch.from_numpy(root), traits)


def with_open_places(network: PosteriorGAT, scores: Tensor, w: Tensor, z: Tensor, cluster: Tensor) -> Tensor:
    """Scores [E, L] of people of weights w [E, D] for queries of states z [E, H] in clusters [E, K], with those of
    newcomers such that a softmax gives each the chance it has on the mean over where its place may be.

    With x its score less the log-sum-exp of the others', that chance is E[sigma(x + sd e)] for a standard normal e: the
    mean under a Gaussian posterior that Spiegelhalter and Lauritzen (1990) and MacKay (1992) take, here by quadrature.
    What the others share among themselves stays as it is. With several newcomers each is read beside the others' modes.
    """
    scores = scores.double()
    with torch.no_grad():
        sd = torch.einsum("ep,kpr->ekr", network.worth(z, cluster, w), network.root).norm(dim=-1).double()
    point, share = POINTS.to(scores.device), LOG_SHARES.to(scores.device)
    found = scores.clone()
    for k in range(sd.shape[1]):
        column = scores.shape[1] - sd.shape[1] + k
        others = torch.cat([scores[:, :column], scores[:, column + 1 :]], 1).logsumexp(1)
        ahead = (scores[:, column] - others)[:, None] + sd[:, k, None] * point  # [E, points]
        chosen, passed = (torch.logsumexp(F.logsigmoid(sign * ahead) + share, 1) for sign in (1, -1))
        found[:, column] = others + chosen - passed
    return found


def _clustering(network: PosteriorGAT, asked: Tensor) -> PosteriorGAT:
    """The network with clusters of queries, found by k-means in the vectors [Q, dim] of those asked. Same queries, same
    clusters; none where nothing was asked.
    """
    some = asked[:: -(-len(asked) // MOST) or 1].double().numpy()
    clusters = min(CLUSTERS, len(np.unique(some, axis=0)))
    if not clusters:
        return network
    found = KMeans(clusters, n_init=4, random_state=0).fit(some).cluster_centers_
    able = PosteriorGAT(replace(network.shape, clusters=clusters))
    none = torch.zeros(0, clusters)
    able.load_state_dict(network.state_dict() | {"centre": torch.from_numpy(found), "clustered": none})
    return able.eval()


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
    inputs = network.worth(nodes.z[query], nodes.cluster[query], w)  # [E, P]
    offset = w[:, network.shape.hidden :] @ traits - base[query, other] - (phi[query, other] * w).sum(-1)
    if network.shape.traits:
        offset = offset + inputs[:, : network.shape.hidden] @ network.style(traits)
    return Met(inputs.double().numpy(), offset.double().numpy(), label)


def _prior(network: PosteriorGAT, nodes: Nodes, descriptions: Tensor) -> tuple[Floats, Floats]:
    """Mean [P] of a newcomer's place and a root R [P, P] of its covariance R R', from the states of the others and the
    vectors of all descriptions [L + 1, dim], the newcomer's last.
    """
    others = torch.cat([nodes.v, nodes.bias[:, None]], -1).double().numpy()  # [L, H + 1]
    covariance = np.atleast_2d(np.cov(others.T, bias=True))
    covariance = covariance + np.eye(len(covariance)) * max(ISOTROPIC * np.trace(covariance) / len(covariance), 1e-6)
    own = _own_variance(network, nodes)
    vectors = descriptions.double().numpy()
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    likeness = unit[:-1] @ unit[-1]
    share = np.exp((likeness - likeness.max()) / LEANING)
    shared = len(covariance)
    root = np.diag(np.concatenate([np.zeros(shared), np.sqrt(own)]))
    root[:shared, :shared] = np.linalg.cholesky(covariance)
    return np.concatenate([share @ others / share.sum(), np.zeros(len(own))]), root


def _own_variance(network: PosteriorGAT, nodes: Nodes) -> Floats:
    """[(H + 1)^2 - 1 + K]: the prior variance of the entries of a newcomer's own matrix and of its clusters.

    Its parts for a taste alone and for a query alone vary as what `plain` and `base` make of the others' states. What
    `gated` makes of them, g, adds sum_h tanh(gate z)_h g_h w_h; the entries that cross taste and query, sum_hk M_hk w_h
    z_k, add as much on the mean where their variance is that of g times mean tanh^2 / |z|^2.
    """
    mapped = torch.stack([network.gated(nodes.v), network.plain(nodes.v), nodes.v @ network.base.weight])  # [3, L, H]
    gated, plain, base = mapped.var(1, correction=0).mean(-1).double().tolist()
    size = float((nodes.z**2).sum(1).mean()) if len(nodes.z) else 0.0
    open_gates = float((torch.tanh(network.gate(nodes.z)) ** 2).mean()) if len(nodes.z) else 0.0
    variance = np.full((network.shape.hidden + 1,) * 2, CROSSED * gated * open_gates / max(size, 1e-12))
    variance[:, -1], variance[-1] = OWN * plain, OWN * base
    over_queries = (nodes.z @ mapped[2].T).var(0, correction=0).mean() if len(nodes.z) else nodes.z.new_zeros(())
    clusters = np.full(network.shape.clusters, OWN * float(over_queries))
    return np.asarray(np.maximum(np.concatenate([variance.ravel()[:-1], clusters]), 1e-6))


def _mode(met: Met, mean: Floats, root: Floats) -> tuple[Floats, Floats]:
    """The most probable place [P] under the prior and what was said, and a root [P, P] of its covariance there.

    With place = mean + R theta the prior of theta is a standard normal, so that theta is folded in as a person is, in
    the span of what was said. Its covariance is (I + R' X' diag(p (1 - p)) X R)^-1.
    """
    inputs, offset = met.inputs @ root, met.inputs @ mean + met.offset
    found = fold_in(Contrast(inputs, offset, met.label), precision=1.0)
    p = sigmoid(offset + inputs @ found)
    curvature = np.eye(len(found)) + (inputs * (p * (1 - p))[:, None]).T @ inputs
    factor = torch.linalg.cholesky(torch.from_numpy(curvature))  # curvature = C C', and its inverse C'^-1 C^-1
    narrowed = torch.linalg.solve_triangular(factor, torch.from_numpy(root.T), upper=False).mT
    return mean + root @ found, narrowed.numpy()


def _widened(network: PosteriorGAT, vector: Tensor, place: Tensor, root: Tensor, traits: Tensor) -> PosteriorGAT:
    """The same network with a row more wherever it keeps one for each LLM, and for each newcomer."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    kind, hidden = state["llm_free"].dtype, network.shape.hidden
    described = network.llm(vector.to(kind)).detach()
    state_of_it, bias, own, clustered = place.split([hidden, 1, (hidden + 1) ** 2 - 1, network.shape.clusters])
    rows = {
        "llm_free": state_of_it - described.double(), "llm_bias": bias[0],
        "own": torch.cat([own, place.new_zeros(1)]).reshape(hidden + 1, hidden + 1), "root": root,
    }  # fmt: skip
    if network.shape.clusters:
        rows["clustered"] = clustered
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
