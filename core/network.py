"""The network behind the GAT router: attention over a person's own signed rating edges that ends in that person's
posterior.

Design notes: docs of the project, science section 2. No parameter belongs to a user. The network makes features phi(q,
l) and base scores s0(q, l); a person is a vector of weights w with prior N(mu, Lambda^-1), solved for from their
ratings: s(u, q, l) = s0(q, l) + w_u . phi(q, l). mu comes from a GATConv (Velickovic et al., 2018) over the rating
edges; w is the Laplace mode of the Bradley-Terry likelihood after three Newton steps, differentiable from end to end.
After training mu lies mostly among the kinds of people that were found (`core.archetypes`), where they help.

Where the answers shown are known, an LLM's state is v_l + A t(q, l), t being the traits of its answer, and phi gets t
itself beside the learned features. For ratings t is what was read, for an unseen query what the LLM can be expected to
write (`core.responses`): taste in style is learned from the texts, apart from the LLM that happened to write them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv
from torch_geometric.utils import to_dense_batch

from core.dropout import Dropout
from core.graph import RATED_BY, SIDE_A, SIDE_B, RoutingGraph
from core.luce import Said

NEWTON_STEPS = 3
CONVERGED_STEPS = 30
HALVINGS = 8
CONVERGED = 1e-3  # Newton's step: what is left after it is of the order of its square, and one more follows
# MiniLM vectors have unit length over 384 entries; times 8 their entries have a scale that a linear layer starts well
# with.
QUERY_SCALE = 8.0
# Where training starts: a person's weight on one standard deviation of a trait is a few tenths.
TRAIT_PRECISION = 5.0
# Of a person's prior mean, where kinds of people are known: what attention to the ratings says; the rest is the kinds'.
ATTENDED = 0.2


class Ratings(NamedTuple):
    """E rating edges sorted by user: `query`, `user`, `llm_a`, `llm_b` [E] rows of the graph, `label` [E] in {0, 1/2,
    1}, `weight` [E] how much each tells, `choice` [E] equal and not negative where several were one choice, `stage` [E]
    likewise where they are one factor of the likelihood, `traits` [E, T] what differed between the answers (T = 0, or
    not a number, where they are unknown).
    """

    query: Tensor
    user: Tensor
    llm_a: Tensor
    llm_b: Tensor
    label: Tensor
    weight: Tensor
    choice: Tensor
    stage: Tensor
    traits: Tensor

    def where(self, mask: Tensor) -> "Ratings":
        """The edges picked by a mask or by positions (which must keep them sorted by user)."""
        position = mask.nonzero()[:, 0] if mask.dtype == torch.bool else mask
        return Ratings(*(column.index_select(0, position) for column in self))

    def unanswered(self) -> "Ratings":
        """The same pairs before anybody saw the answers."""
        return self._replace(traits=self.traits.new_zeros(len(self.user), 0))


def ratings_of(graph: RoutingGraph) -> Ratings:
    """The rating edges of a graph."""
    query, user = graph.data[RATED_BY].edge_index
    return Ratings(
        query,
        user,
        graph.data[SIDE_A].edge_index[0],
        graph.data[SIDE_B].edge_index[0],
        graph.data[RATED_BY].label,
        graph.data[RATED_BY].weight,
        graph.data[RATED_BY].choice,
        graph.data[RATED_BY].stage,
        graph.data[RATED_BY].traits,
    )


class Nodes(NamedTuple):
    """States of all query nodes `z` [Q, H] and LLM nodes `v` [L, H], the LLMs' bias [L], the traits [Q, L, T] to expect
    of each LLM's answer, and the `cluster` [Q, K] of each query, where newcomers tell clusters apart.
    """

    z: Tensor
    v: Tensor
    bias: Tensor
    traits: Tensor
    cluster: Tensor


class Posterior(NamedTuple):
    """Laplace posterior of U users: mode `w` [U, D], `precision` [U, D, D], and the attention on each rating edge [E]
    (sums to 1 a user).
    """

    w: Tensor
    precision: Tensor
    attention: Tensor


@dataclass(frozen=True)
class NetworkShape:
    """What must be known to rebuild a network before its weights are loaded."""

    dim: int  # of the text vectors
    tasks: int
    llms: int
    hidden: int = 32
    dropout: float = 0.2
    traits: int = 0  # of the answers; 0: the network knows nothing of them
    newcomers: int = 0  # the last so many of the LLMs joined after training (`core.newcomers`)
    clusters: int = 0  # of queries, found when the first of them joined
    kinds: int = 0  # of people, found after training (`core.archetypes`)


class PosteriorGAT(nn.Module):
    """Features of query-LLM pairs, a GAT prior over a person's weights, and the posterior given their ratings."""

    own: Tensor
    clustered: Tensor
    centre: Tensor
    root: Tensor
    kind: Tensor
    kind_share: Tensor
    trait_scale: Tensor
    trait_mean: Tensor
    trait_centre: Tensor
    trait_slope: Tensor

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        hidden = shape.hidden
        self.query = nn.Sequential(Dropout(shape.dropout), nn.Linear(shape.dim, hidden))
        self.task = nn.Embedding(shape.tasks + 1, hidden, padding_idx=0)  # row 0: no task, or one never seen
        self.llm = nn.Linear(shape.dim, hidden)
        self.llm_free = nn.Parameter(torch.randn(shape.llms, hidden) * 0.3)
        self.llm_bias = nn.Parameter(torch.zeros(shape.llms))
        self.base = nn.Linear(hidden, hidden, bias=False)
        self.gate, self.gated = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)
        self.plain = nn.Linear(hidden, hidden, bias=False)
        if shape.newcomers:
            # Found by regression, not trained (`core.newcomers`): a newcomer's own matrix between tastes and queries,
            # its vector over clusters of queries, and a root of the covariance of all that was found of it.
            self.register_buffer("own", torch.zeros(shape.newcomers, hidden + 1, hidden + 1))
            place = hidden + (hidden + 1) ** 2 + shape.clusters
            self.register_buffer("root", torch.zeros(shape.newcomers, place, place))
        if shape.clusters:
            self.register_buffer("clustered", torch.zeros(shape.newcomers, shape.clusters))
            self.register_buffer("centre", torch.zeros(shape.clusters, shape.dim))
        weights = hidden + shape.traits
        if shape.kinds:
            self.register_buffer("kind", torch.zeros(shape.kinds, weights))
            self.register_buffer("kind_share", torch.full((shape.kinds,), 1 / shape.kinds))
        self.mu = nn.Parameter(torch.zeros(weights))
        self.log_precision = nn.Parameter(torch.cat([torch.ones(hidden), torch.full((shape.traits,), TRAIT_PRECISION)]))
        self.edge = nn.Linear(weights + hidden, hidden)
        # No bias: a user without ratings must receive exactly nothing, so that a stranger is the population.
        self.attention = GATConv(hidden, weights, heads=1, add_self_loops=False, bias=False)
        self.tau = nn.Parameter(torch.tensor(2.0))
        if shape.traits:
            self.style = nn.Linear(shape.traits, hidden, bias=False)  # what an answer's traits add to its LLM's state
            nn.init.normal_(self.style.weight, std=0.1)
            # Found by ridge regression, not trained: `core.responses.ExpectedTraits`.
            self.register_buffer("trait_scale", torch.ones(shape.traits))
            self.register_buffer("trait_mean", torch.zeros(shape.llms, shape.traits))
            self.register_buffer("trait_centre", torch.zeros(shape.dim))
            self.register_buffer("trait_slope", torch.zeros(shape.dim, shape.llms, shape.traits))

    def nodes(self, graph: RoutingGraph, noise: float = 0.0) -> Nodes:
        """States of the query and LLM nodes. In training, Gaussian noise of `noise` standard deviations on the query
        vectors.
        """
        query = graph.data["query"]
        return self.states(query.x, query.task, graph.data["llm"].x, noise)

    def states(self, queries: Tensor, tasks: Tensor, llms: Tensor, noise: float = 0.0) -> Nodes:
        """`nodes` of vectors [Q, dim] and [L, dim] and rows of tasks [Q], -1 where there is none."""
        x = queries * QUERY_SCALE  # [Q, dim]
        if self.training and noise:
            x = x + noise * x.std() * torch.randn_like(x)
        z = self.query(x) + self.task(tasks + 1)  # [Q, H]
        v = self.llm(llms) + self.llm_free  # [L, H]
        return Nodes(z, v, self.llm_bias, self.expected_traits(queries), self.cluster(queries))

    def cluster(self, x: Tensor) -> Tensor:
        """[Q, K]: for query vectors x [Q, dim], 1 for the cluster whose centre is nearest, 0 for the others."""
        if not self.shape.clusters:
            return x.new_zeros(len(x), 0)
        nearest = ((self.centre**2).sum(1) - 2 * x @ self.centre.T).argmin(1)
        return F.one_hot(nearest, self.shape.clusters).to(x.dtype)

    def expected_traits(self, x: Tensor) -> Tensor:
        """[Q, L, T]: traits to expect of each LLM's answer to queries of vectors x [Q, dim]."""
        if not self.shape.traits:
            return x.new_zeros(len(x), self.shape.llms, 0)
        found: Tensor = self.trait_mean + torch.tensordot(x - self.trait_centre, self.trait_slope, 1)
        return found

    def trait_contrast(self, nodes: Nodes, ratings: Ratings) -> Tensor:
        """[E, T]: what differed between the two answers of each rating; what to expect where that is unknown."""
        expected = nodes.traits[ratings.query, ratings.llm_a] - nodes.traits[ratings.query, ratings.llm_b]
        if not self.shape.traits or ratings.traits.shape != expected.shape:
            return expected
        return torch.where(ratings.traits.isnan(), expected, ratings.traits / self.trait_scale)

    def contrast(self, nodes: Nodes, ratings: Ratings) -> tuple[Tensor, Tensor]:
        """phi(q, a) - phi(q, b) [E, D] and s0(q, a) - s0(q, b) [E] of each rating."""
        # Linear in v, so differences pass. Layers see each node once and edges look up: there are far more edges.
        a, b, q = ratings.llm_a, ratings.llm_b, ratings.query
        gate, towards = torch.tanh(self.gate(nodes.z)), self.base(nodes.z)  # [Q, D], [Q, H]
        # `index_select`, since the gradient of an index by brackets takes several times as long on a CPU.
        of_llm = torch.cat([self.gated(nodes.v), self.plain(nodes.v)], -1)  # [L, 2 D]
        gated, plain = (of_llm.index_select(0, a) - of_llm.index_select(0, b)).chunk(2, -1)  # [E, D]
        gate = gate.index_select(0, q)  # [E, D]
        base = towards @ nodes.v.T + nodes.bias  # [Q, L]
        delta = gate * gated + plain
        if self.shape.newcomers:
            own, their = self._own(nodes)
            delta, base = delta + own[q, a] - own[q, b], base + their
        flat, row = base.flatten(), q * base.shape[1]
        offset = flat.index_select(0, row + a) - flat.index_select(0, row + b)
        if not self.shape.traits:
            return delta, offset
        traits = self.trait_contrast(nodes, ratings)  # [E, T]
        style = self.style(traits)  # [E, H]
        delta = delta + gate * self.gated(style) + self.plain(style)
        return torch.cat([delta, traits], -1), offset + (towards.index_select(0, q) * style).sum(-1)

    def _styled(self, v: Tensor, traits: Tensor) -> Tensor:
        """LLM states beside what the answers' traits add; linear in both, so that differences pass."""
        return v + self.style(traits) if self.shape.traits else v

    def _own(self, nodes: Nodes) -> tuple[Tensor, Tensor]:
        """What is newcomers' own in the features [Q, L, H] and base scores [Q, L] of queries; zeros for LLMs known from
        training.
        """
        told = torch.einsum("kgh,qh->qkg", self.own, F.pad(nodes.z, (0, 1), value=1.0))
        features, base = told[..., :-1], told[..., -1] - told[..., :-1] @ self.mu[: self.shape.hidden]
        if self.shape.clusters:
            base = base + nodes.cluster @ self.clustered.T
        known = self.shape.llms - self.shape.newcomers
        return F.pad(features, (0, 0, known, 0)), F.pad(base, (known, 0))

    def worth(self, z: Tensor, cluster: Tensor, w: Tensor) -> Tensor:
        """[E, P]: what one unit of each entry of a newcomer's place adds to its score for queries of states z [E, H]
        in clusters [E, K] and people of weights w [E, D]. P = H + (H + 1)^2 + K: its state v, its bias, its own matrix
        [H + 1, H + 1] between (w - mu, 1) and (z, 1) without the last entry, which the bias is, and its vector over
        clusters.
        """
        taste = w[:, : self.shape.hidden]
        through = (torch.tanh(self.gate(z)) * taste) @ self.gated.weight + taste @ self.plain.weight + self.base(z)
        person, query = (F.pad(x, (0, 1), value=1.0) for x in (taste - self.mu[: self.shape.hidden], z))
        own = (person[:, :, None] * query[:, None, :]).flatten(1)
        return torch.cat([through, own[:, -1:], own[:, :-1], cluster], -1)

    def posterior(self, nodes: Nodes, ratings: Ratings, users: int) -> Posterior:
        """The posterior of each of `users` users given their ratings; a user without any has the prior. Where kinds of
        people are known, its mean lies mostly among those that explain the ratings.
        """
        delta, offset = self.contrast(nodes, ratings)
        mu, attention = self._prior_mean(nodes, ratings, delta, users)
        columns = torch.cat([delta, offset[:, None]], -1)
        dense, rated = to_dense_batch(columns, ratings.user, batch_size=users)  # [U, K, D + 1], 0 where none is
        said = Said.of(ratings.label, ratings.stage, ratings.user, rated)
        if self.shape.kinds:
            mu = ATTENDED * mu + (1 - ATTENDED) * self.kinds_mean(dense, said)
        w, precision = self._newton(mu, dense, said)
        return Posterior(w, precision, attention)

    def _prior_mean(self, nodes: Nodes, ratings: Ratings, delta: Tensor, users: int) -> tuple[Tensor, Tensor]:
        signed = delta * (2 * ratings.label - 1)[:, None]  # towards the preferred LLM
        x = torch.relu(self.edge(torch.cat([signed, nodes.z.index_select(0, ratings.query)], -1)))  # [E, H]
        edge_index = torch.stack([torch.arange(len(x), device=x.device), ratings.user])
        gathered, (_, alpha) = self.attention(
            (x, None), edge_index, size=(len(x), users), return_attention_weights=True
        )
        n = torch.bincount(ratings.user, ratings.weight, minlength=users)[:, None]  # [U, 1]
        return self.mu + gathered * n / (n + 3 * F.softplus(self.tau)), alpha[:, 0]

    def kinds_mean(self, dense: Tensor, said: Said) -> Tensor:
        """[U, D]: the mean of the kinds of people, each as likely as it is frequent and as well as it explains what a
        person said, given in features `dense` [U, K, D + 1].
        """
        delta, offset = dense[..., :-1], dense[..., -1]
        loss = torch.stack([said.loss(offset + delta @ kind) for kind in self.kind], 1)  # [U, kinds]
        return torch.softmax(self.kind_share.log() - loss, 1) @ self.kind

    def _newton(self, mu: Tensor, dense: Tensor, said: Said) -> tuple[Tensor, Tensor]:
        delta, offset = dense[..., :-1], dense[..., -1]
        each = F.softplus(self.log_precision)  # [D]
        prior = torch.diag(each)

        def margin(w: Tensor) -> Tensor:
            return offset + (delta * w[:, None]).sum(-1)  # [U, K]

        def towards(w: Tensor, slope: Tensor) -> Tensor:
            """Gradient [U, D] of the log-posterior at w, where the log-loss has this slope [U, K] in the margins."""
            return -(slope[:, None] @ delta)[:, 0] - (w - mu) * each

        def tried(w: Tensor) -> tuple[Tensor, Tensor]:
            """Margins [U, K] at w, and the negative log-posterior [U] there, up to a constant."""
            at = margin(w)
            return at, said.loss(at) + ((w - mu) ** 2 * each).sum(1) / 2

        # In training the steps are few, for speed. Who is served may contradict all they said before, far from the
        # prior mean: there Newton's full step overshoots, so it is halved until it improves, and repeated until done.
        with torch.no_grad():
            w, precision, factor = mu.clone(), prior, prior  # the last two until the first step
            at, value = tried(w)
            for _ in range(NEWTON_STEPS - 1 if self.training else CONVERGED_STEPS):
                slope, curvature = said.derivatives(at, delta)
                precision = curvature + prior  # [U, D, D], the negative Hessian of the log-posterior
                factor = torch.linalg.cholesky_ex(precision)[0]
                step = _solved(factor, towards(w, slope))
                at, proposed = tried(w + step)
                for _ in range(HALVINGS):
                    worse = proposed > value + 1e-5 * value.abs()  # [U]
                    if not worse.any():
                        break
                    step = torch.where(worse[:, None], step / 2, step)
                    at, proposed = tried(w + step)
                w, value = w + step, proposed
                if step.numel() == 0 or step.abs().max() < CONVERGED:
                    break
        # At the mode, the derivative of one Newton step with its Hessian held is that of the mode itself (implicit
        # function theorem): the last step carries it, at half the cost of unrolling all of them. The Hessian is that
        # of the step before, which so near the mode is about the same.
        gradient = towards(w, said.slope(margin(w)))
        return w + _solved(factor, gradient), precision

    def margins(self, nodes: Nodes, ratings: Ratings, w: Tensor) -> Tensor:
        """[E]: score of LLM a minus score of LLM b for each rating's user, query and pair."""
        delta, offset = self.contrast(nodes, ratings)
        return offset + (delta * w.index_select(0, ratings.user)).sum(-1)

    def features(self, nodes: Nodes) -> tuple[Tensor, Tensor]:
        """Features phi [Q, L, D] and base scores s0 [Q, L] of every query with every LLM."""
        z, v = nodes.z[:, None, :], self._styled(nodes.v, nodes.traits)
        gated, plain, base = self.gated(v), self.plain(v), (self.base(z) * v).sum(-1) + nodes.bias
        if self.shape.newcomers:
            own, their = self._own(nodes)
            plain, base = plain + own, base + their
        return torch.cat([torch.tanh(self.gate(z)) * gated + plain, nodes.traits], -1), base


def _solved(factor: Tensor, gradient: Tensor) -> Tensor:
    """[U, D]: the inverse of factor factor' [U, D, D] times gradient [U, D]."""
    return torch.cholesky_solve(gradient[..., None], factor)[..., 0]
