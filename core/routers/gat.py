"""The GAT router: a trained PosteriorGAT and the LLMs and tasks it knows. It holds no person's ratings and no user's
parameter.
"""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from core.dataset import PreferenceDataset
from core.domain import LLM, LLMId, Query, UserId
from core.encoders import TextEncoder
from core.errors import CorruptArtifact, InvalidInput
from core.graph import build_graph, llm_vectors, query_vectors, task_rows
from core.network import NetworkShape, Nodes, Posterior, PosteriorGAT, ratings_of
from core.newcomers import welcomed, with_open_places
from core.optimisation import Epoch, FitReport, TrainConfig, fit_network
from core.routers.base import Probabilities, States, softmax
from core.routers.remembered import remembered, remembered_queries

Floats32 = NDArray[np.float32]

# In one batch: the posterior's columns are as long as the longest history in it.
PEOPLE_AT_ONCE, RATINGS_AT_ONCE = 256, 60_000


@dataclass(frozen=True, eq=False)
class GatRouter:
    """A finished router. Frozen; safe to share between threads (evaluation mode, no gradient)."""

    network: PosteriorGAT
    known_llms: tuple[LLM, ...]
    tasks: tuple[str, ...]
    encoder: TextEncoder

    kind: ClassVar[str] = "gat"

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """See `RouterClass`. The default training settings."""
        return cls.fit_with_report(train_part, validation, encoder, TrainConfig(seed=seed))[0]

    @classmethod
    def fit_with_report(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder,
        config: TrainConfig, on_epoch: Callable[[Epoch], None] | None = None,
    ) -> tuple[Self, FitReport]:  # fmt: skip
        """Fit a network (see `core.optimisation.fit_network`) and return the finished router with the report of its
        fit.
        """
        fitted = fit_network(train_part, validation, encoder, config, on_epoch)
        return cls(fitted.network, train_part.llms, fitted.tasks, encoder), fitted.report

    @cached_property
    def llms(self) -> tuple[LLMId, ...]:
        return tuple(m.llm_id for m in self.known_llms)

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. The Laplace mode of the user's weights decides; where LLMs that joined later have their place
        is averaged over.
        """
        posterior, phi, base, z, cluster = self._inference(user, queries, history)
        scores = base + phi @ posterior.w[0].cpu().numpy()
        if not self.network.shape.newcomers:  # without tensors, which would double what a decision takes here
            return softmax(scores)
        parts = (torch.from_numpy(part).to(self.network.mu.device) for part in (z, cluster))
        return self._chances(
            torch.from_numpy(scores).to(self.network.mu.device), posterior.w.expand(len(z), -1), *parts
        )

    def _chances(self, scores: Tensor, w: Tensor, z: Tensor, cluster: Tensor) -> Probabilities:
        """[E, L]: the softmax of scores [E, L] of people of weights w [E, D] for queries of states z [E, H] in clusters
        [E, K], with LLMs that joined later on the mean over where they may lie.
        """
        if self.network.shape.newcomers:
            scores = with_open_places(self.network, scores, w, z, cluster)
        return softmax(scores.cpu().numpy())

    def predict_draws(
        self,
        user: UserId,
        queries: Sequence[Query],
        history: PreferenceDataset | None = None,
        n: int = 400,
        seed: int = 0,
    ) -> NDArray[np.float64]:
        """[n, Q, L] probabilities under n draws of the user's weights, and of where LLMs that joined later have their
        place, from the posteriors: quantiles are intervals, a draw is a Thompson sample. Same seed, same draws.
        """
        posterior, *features = self._inference(user, queries, history)
        phi, base, z, cluster = (torch.from_numpy(part).to(self.network.mu.device) for part in features)
        cholesky = torch.linalg.cholesky(posterior.precision[0])  # precision = C C'
        normal = torch.from_numpy(np.random.default_rng(seed).standard_normal((len(cholesky), n)).astype(np.float32))
        # covariance = C'^-1 C^-1, so C'^-1 times a standard normal has it
        spread = torch.linalg.solve_triangular(cholesky.mT, normal.to(cholesky.device), upper=True)  # [D, n]
        scores = base[..., None] + phi @ (posterior.w[0][:, None] + spread)  # [Q, L, n]
        if joined := self.network.shape.newcomers:
            random = np.random.default_rng([seed, joined])
            normal = torch.from_numpy(random.standard_normal((*self.network.root.shape[:2], n), np.float32))
            with torch.no_grad():
                worth = self.network.worth(z, cluster, posterior.w.expand(len(z), -1))  # [Q, P]
                open_places = torch.einsum("qp,kpr->qkr", worth, self.network.root)
                scores[:, -joined:] += torch.einsum("qkp,kpn->qkn", open_places, normal.to(z.device))
        return softmax(scores.permute(2, 0, 1).cpu().numpy())

    def attention(self, user: UserId, history: PreferenceDataset) -> NDArray[np.float64]:
        """[N]: the share of attention on each of the ratings in `own_ratings(user, history)`; sums to 1."""
        return self._posterior(self.own_ratings(user, history), ())[0].attention.cpu().numpy().astype(np.float64)

    def leave_one_out(self, user: UserId, query: Query, history: PreferenceDataset) -> Probabilities:
        """[N, L]: what would be predicted for `query` if the user had not given the n-th of `own_ratings(user,
        history)`.
        """
        own = self.own_ratings(user, history)
        n = len(own)
        others = np.array([[j for j in range(n) if j != i] for i in range(n)], int).reshape(
            -1
        )  # N copies of the user, one short
        copies = replace(
            own.where(others),
            users=tuple(UserId(str(i)) for i in range(n)),
            user=np.repeat(np.arange(n, dtype=np.int32), max(n - 1, 0)),
        )
        posterior, phi, base, asked = self._features(copies, [query])
        z, cluster = asked.z.expand(n, -1), asked.cluster.expand(n, -1)
        return self._chances(base[0] + posterior.w @ phi[0].T, posterior.w, z, cluster)

    def _inference(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None
    ) -> tuple[Posterior, Floats32, Floats32, Floats32, Floats32]:
        """The person's posterior, and phi [Q, L, D], s0 [Q, L], z [Q, H] and clusters [Q, K] of queries."""

        def read() -> Posterior:
            return self._posterior(self.own_ratings(user, history), ())[0]

        posterior = remembered(history, self.network, user, read)
        phi, base, z, cluster = remembered_queries(self.network, queries, self._asked)
        return posterior, phi, base, z, cluster

    def _asked(self, queries: Sequence[Query]) -> tuple[Floats32, Floats32, Floats32, Floats32]:
        """Features phi [Q, L, D], s0 [Q, L], states z [Q, H] and clusters [Q, K] of queries, which no rating has a part
        in.
        """
        device, encoder = self.network.mu.device, self.encoder
        asked = torch.from_numpy(query_vectors(queries, encoder)).to(device)
        tasks = torch.from_numpy(task_rows(queries, self.tasks)).to(device)
        llms = torch.from_numpy(llm_vectors(self.known_llms, encoder)).to(device)
        with torch.no_grad():
            nodes = self.network.states(asked, tasks, llms)
            phi, base = self.network.features(nodes)
        return phi.cpu().numpy(), base.cpu().numpy(), nodes.z.cpu().numpy(), nodes.cluster.cpu().numpy()

    def _features(self, own: PreferenceDataset, asked: Sequence[Query]) -> tuple[Posterior, Tensor, Tensor, Nodes]:
        """Posterior of the users in `own`, phi [Q, L, D], s0 [Q, L] and the states of the asked queries."""
        posterior, nodes = self._posterior(own, asked)
        with torch.no_grad():
            new = slice(len(own.queries), None)
            asked_of = nodes._replace(z=nodes.z[new], traits=nodes.traits[new], cluster=nodes.cluster[new])
            phi, base = self.network.features(asked_of)
        return posterior, phi, base, asked_of

    def _posterior(self, own: PreferenceDataset, asked: Sequence[Query]) -> tuple[Posterior, Nodes]:
        """Posterior of the users in `own`, and node states of own's queries followed by the asked ones."""
        device = self.network.mu.device
        graph = build_graph(replace(own, queries=own.queries + tuple(asked)), self.encoder, self.tasks).to(device)
        with torch.no_grad():
            nodes = self.network.nodes(graph)
            return self.network.posterior(nodes, ratings_of(graph), users=len(own.users)), nodes

    def own_ratings(self, user: UserId, history: PreferenceDataset | None) -> PreferenceDataset:
        """The user's ratings between LLMs that this router knows, in the order given, over just the queries rated and
        `llms`.
        """
        if history is None:
            return PreferenceDataset.from_comparisons([], [], self.known_llms, [user])
        own = self._readable(history.of_user(user))
        return replace(own, users=(user,), user=np.zeros(len(own), np.int32))

    def predict_everyone(self, queries: Sequence[Query], history: PreferenceDataset) -> Probabilities:
        """See `Batched`."""
        found = [np.zeros((0, len(queries), len(self.known_llms)))]
        for some in self._in_batches(history):
            posterior, phi, base, asked = self._features(some, queries)
            scores = base + torch.einsum("qld,ud->uql", phi, posterior.w)
            # One person at a time: all of them with all queries at once would take gigabytes where an LLM joined.
            found += [
                self._chances(score, w.expand(len(queries), -1), asked.z, asked.cluster)[None]
                for score, w in zip(scores, posterior.w, strict=True)
            ]
        return np.concatenate(found)

    def pair_margins(self, asked: PreferenceDataset, history: PreferenceDataset) -> NDArray[np.float64]:
        """[N]: score of LLM a minus score of LLM b for each of `asked`, ratings between `llms` by the users of
        `history`, each known by their own ratings there. Many people in one call.
        """
        rated, query = np.unique(asked.query, return_inverse=True)
        queries, margin, first = [asked.queries[i] for i in rated], np.empty(len(asked)), 0
        for some in self._in_batches(history.where(np.isin(history.user, asked.user))):
            posterior, phi_of, base_of, _ = self._features(some, queries)
            w, phi, base = posterior.w.cpu().numpy(), phi_of.cpu().numpy(), base_of.cpu().numpy()
            theirs = np.flatnonzero((asked.user >= first) & (asked.user < first + len(some.users)))
            q, a, b = query[theirs], asked.llm_a[theirs], asked.llm_b[theirs]
            person = w[asked.user[theirs] - first]  # [n, D]
            margin[theirs] = base[q, a] - base[q, b] + ((phi[q, a] - phi[q, b]) * person).sum(-1)
            first += len(some.users)
        return margin

    def states(self, queries: Sequence[Query], history: PreferenceDataset) -> States:
        """See `Embeds`. People are the modes of their weights beside the weights of a stranger."""
        stranger = PreferenceDataset.from_comparisons([], [], self.known_llms, [UserId("a stranger")])
        posterior, phi, base, _ = self._features(stranger, queries)
        w, phi_of = posterior.w[0], phi.double().cpu().numpy()  # [D], [Q, L, D]
        centred = phi_of - phi_of.mean(1, keepdims=True)
        average = softmax((base + phi @ w).cpu().numpy())  # [Q, L]
        people = [self._posterior(some, ())[0].w - w for some in self._in_batches(history)]
        return States(
            np.concatenate([np.zeros((0, len(w))), *(part.double().cpu().numpy() for part in people)]),
            np.einsum("ql,qld->qd", average, centred),
            centred.mean(0) if len(queries) else np.zeros(phi_of.shape[1:]),
        )

    def _in_batches(self, history: PreferenceDataset) -> Iterator[PreferenceDataset]:
        """The readable ratings of so many people at a time, in the order of `history.users`; also of those without."""
        order = np.argsort(history.user, kind="stable")
        bounds = np.searchsorted(history.user[order], np.arange(len(history.users) + 1))
        longest = int(np.diff(bounds).max(initial=1)) or 1
        at_once = max(min(PEOPLE_AT_ONCE, RATINGS_AT_ONCE // longest), 1)
        for first in range(0, len(history.users), at_once):
            last = min(first + at_once, len(history.users))
            some = self._readable(history.where(order[bounds[first] : bounds[last]]))
            yield replace(some, users=history.users[first:last], user=some.user - np.int32(first))

    def _readable(self, ratings: PreferenceDataset) -> PreferenceDataset:
        """The ratings between LLMs that this router knows, over just the queries rated and `llms`."""
        column = {llm: i for i, llm in enumerate(self.llms)}
        to_column = np.array([column.get(m.llm_id, -1) for m in ratings.llms], np.int32)
        known = (
            ratings.where((to_column[ratings.llm_a] >= 0) & (to_column[ratings.llm_b] >= 0))
            if len(ratings)
            else ratings
        )
        rated, query = np.unique(known.query, return_inverse=True)
        return replace(
            known, queries=tuple(ratings.queries[i] for i in rated), llms=self.known_llms, query=query.astype(np.int32),
            llm_a=to_column[known.llm_a], llm_b=to_column[known.llm_b],
        )  # fmt: skip

    def with_llm(self, llm: LLM, history: PreferenceDataset) -> Self:
        """See `Onboards`: the newcomer's place is solved for in the learned space (`core.newcomers`)."""
        if llm.llm_id in self.llms:
            raise InvalidInput(f"This router knows the LLM '{llm.llm_id}' already.")
        every = (*self.known_llms, llm)
        network = welcomed(copy.deepcopy(self.network).cpu(), self.tasks, llm, history.among(every), self.encoder)
        return replace(self, network=network.to(self.network.mu.device), known_llms=every)

    def to_bytes(self) -> bytes:
        """Weights as safetensors, with LLMs, tasks, shape and encoder id in its header."""
        header = {
            "kind": self.kind, "encoder": self.encoder.id, "tasks": list(self.tasks),
            "shape": asdict(self.network.shape), "llms": [asdict(m) for m in self.known_llms],
        }  # fmt: skip
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        return save(state, {"prefroute": json.dumps(header)})

    @classmethod
    def from_bytes(cls, data: bytes, encoder: TextEncoder, device: str = "cpu") -> Self:
        """Rebuild a router. Raises CorruptArtifact when the bytes do not fit, InvalidInput when they need another
        encoder.
        """
        try:
            header, state = _decode(data)
            network = PosteriorGAT(NetworkShape(**header["shape"]))
            network.load_state_dict(state)
            llms = tuple(LLM(**m) for m in header["llms"])
            tasks = tuple(header["tasks"])
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CorruptArtifact(
                "This router version's file cannot be decoded. Other versions and all ratings are untouched: "
                "activate another version or train again."
            ) from error
        if header["encoder"] != encoder.id:
            raise InvalidInput(
                f"This router version was trained on the text encoder '{header['encoder']}', "
                f"but '{encoder.id}' is set. "
                "Set PREFROUTE_ENCODER back, or train again."
            )
        return cls(network.to(device).eval(), llms, tasks, encoder)


def _decode(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    # The format's own header: 8 bytes of length, then JSON. The library reads metadata from files only.
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    return json.loads(metadata["prefroute"]), load(data)
