"""Fitting the network: edge masking, Bradley-Terry loss, mini-batches over users, LambdaLR to 0, early stopping on
validation.
"""

import copy
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.archetypes import with_kinds
from core.dataset import PreferenceDataset
from core.encoders import TextEncoder
from core.errors import InvalidInput, NotEnoughData
from core.graph import RoutingGraph, build_graph
from core.luce import Said
from core.network import NetworkShape, Nodes, PosteriorGAT, Ratings, ratings_of
from core.responses import expected_traits
from core.routers.descent import JUDGED, LEAST_GAIN, at_best_scale, check_both_parts

# With more people than these, a validation reads so many of them, evenly spread: who is read costs time, and what makes
# one validation differ from the next is which queries were held out, not which people.
VALIDATED, VALIDATED_RATINGS = 400, 40_000
# (at most so many ratings, noise): what few ratings say of a query is soon learned by heart, and noise keeps from it.
NOISES = ((15_000, 4.0), (30_000, 2.0))
LEAST_NOISE = 1.0
# The same where people chose among several: a choice tells of all LLMs at once, so that less of it is learned by
# heart. With the best of ten, on four worlds of nine other users and one of 50, the network alone picked .611 and .609
# with 2, .583 and .584 with 4 and .608 and .600 with 1; on one of 200 .630 with 2, .618 with 3 and .608 with 4 and with
# 1; on one of 600 .635 with 2 and .638 with 1 (validation loss .599 and .583).
NOISES_OF_CHOICES = ((50_000, 2.0),)
# Of a choice among more, a step reads about so many of the losers, drawn anew: it is still a choice among those that
# are left, and costs as much less.
LOSERS = 3
# With fewer people no kinds of them are looked for. On worlds of 50 others the kinds cost .002 to .003 of log-loss on
# held-out queries, of 200 nothing either way; of 500 people they gave .004.
MANY_PEOPLE = 220
LITTLE = 10  # ratings of a person of whom little is known
STEP_RATINGS = 15_000  # where people said so much that `batch_users` of them would be more, a step reads fewer people


@dataclass(frozen=True)
class TrainConfig:
    """Knobs of one training run. An epoch is `steps_per_epoch` mini-batches followed by one validation."""

    epochs: int = 40
    steps_per_epoch: int = 20
    batch_users: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.1
    hidden: int = 32
    dropout: float = 0.2
    noise: float | None = None  # standard deviations of Gaussian noise on the query vectors; None: `noise_for` so many
    task_dropout: float = 0.2  # share of queries whose task is hidden in a step: typed queries have none
    patience: int = 20  # epochs without a better validation loss before stopping
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"  # of linear layers in training: float32, bfloat16; auto: bfloat16 on a GPU that has it
    response_aware: bool = True  # learn from what differed between the two answers, where the data tell

    def __post_init__(self) -> None:
        limits = {
            "epochs": (1, 2000), "steps_per_epoch": (1, 1000), "batch_users": (1, 100_000), "learning_rate": (1e-6, 1),
            "weight_decay": (0, 10), "hidden": (2, 512), "dropout": (0, 0.9), "noise": (0, 20), "task_dropout": (0, 1),
            "patience": (1, 2000),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InvalidInput(f"Training setting '{name}' is {value}; it must lie between {low} and {high}.")
        if self.device not in ("auto", "cpu", "cuda"):
            raise InvalidInput(f"Training setting 'device' is '{self.device}'; it must be auto, cpu or cuda.")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise InvalidInput(
                f"Training setting 'precision' is '{self.precision}'; it must be auto, float32 or bfloat16."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """A config from stored values; unknown names raise InvalidInput."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InvalidInput(f"Unknown training setting: {', '.join(unknown)}.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a run's row and a router's card."""
        return asdict(self)


class Epoch(NamedTuple):
    """What `on_epoch` is told: epoch number from 1, of how many, mean training loss, validation loss (at the best
    scale of the margins, in the mean over this epoch and the `JUDGED - 1` before it).
    """

    number: int
    epochs: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True)
class FitReport:
    """How a fit went: the loss curve, which epoch was kept, on which device, CPU seconds."""

    curve: tuple[Epoch, ...]
    best_epoch: int
    device: str
    cpu_seconds: float


class FittedNetwork(NamedTuple):
    """A fitted network on the CPU in evaluation mode, the tasks its rows stand for, and how the fit went."""

    network: PosteriorGAT
    tasks: tuple[str, ...]
    report: FitReport


def noise_for(ratings: int, of_choices: bool) -> float:
    """How many standard deviations of noise the query vectors get where so many ratings are learned from, pairs or
    choices among several.
    """
    steps = NOISES_OF_CHOICES if of_choices else NOISES
    return next((noise for most, noise in steps if ratings <= most), LEAST_NOISE)


def resolve_device(wanted: str) -> torch.device:
    """`auto` takes cuda when it is there; asking for cuda where there is none raises InvalidInput."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InvalidInput(
            "Training on cuda was asked for, but there is no GPU here. Set PREFROUTE_DEVICE to auto or cpu."
        )
    return torch.device(wanted)


def fit_network(
    train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder,
    config: TrainConfig, on_epoch: Callable[[Epoch], None] | None = None,
) -> FittedNetwork:  # fmt: skip
    """Fit on one part and stop early on the other, both over the same users, queries and LLMs.

    `on_epoch` is the only hole in the wall: it is called after every epoch, and what it raises ends the fit. Same data,
    config and seed give the same network on the same kind of device. Raises NotEnoughData.
    """
    started = time.process_time()
    check_both_parts(train_part, validation)
    fit = Fit(train_part, validation, encoder, config)
    curve = fit.run(on_epoch)
    fit.learn_kinds()
    best = min(curve, key=lambda epoch: epoch.validation_loss)
    report = FitReport(tuple(curve), best.number, str(fit.device), time.process_time() - started)
    return FittedNetwork(fit.network.cpu().eval(), fit.graph.tasks, report)


class MixedPrecision(PosteriorGAT):
    """The same network with its nodes' and edges' linear layers in bfloat16 while it is trained. Attention, solves and
    losses stay in float32, which they need, and so does everything in evaluation: what is served has no other numbers.
    """

    def states(self, queries: Tensor, tasks: Tensor, llms: Tensor, noise: float = 0.0) -> Nodes:
        """See `PosteriorGAT`."""
        with self._mixed():
            nodes = super().states(queries, tasks, llms, noise)
        return Nodes(*(state.float() for state in nodes))

    def contrast(self, nodes: Nodes, ratings: Ratings) -> tuple[Tensor, Tensor]:
        """See `PosteriorGAT`."""
        with self._mixed():
            delta, offset = super().contrast(nodes, ratings)
        return delta.float(), offset.float()

    def _mixed(self) -> torch.autocast:
        return torch.autocast(self.mu.device.type, torch.bfloat16, enabled=self.training)


def _network_class(precision: str, device: torch.device) -> type[PosteriorGAT]:
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    return MixedPrecision if precision == "bfloat16" else PosteriorGAT


class Fit:
    """One fit: the graph on its device, the network, and the loop."""

    def __init__(
        self, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, config: TrainConfig
    ) -> None:
        self.config, self.device = config, resolve_device(config.device)
        self.noise = noise_for(train_part.items, train_part.of_choices) if config.noise is None else config.noise
        torch.manual_seed(config.seed)
        self.random = np.random.default_rng(config.seed)
        self.graph = build_graph(train_part, encoder).to(self.device)
        self.edges = ratings_of(self.graph)
        counts = torch.bincount(self.edges.user.cpu(), minlength=len(train_part.users))
        self.start = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])  # CSR over users
        self.raters = counts.nonzero()[:, 0]
        self.read, self.held_out = self._read(build_graph(validation, encoder, self.graph.tasks).to(self.device))
        self.any_stages = bool((self.edges.stage >= 0).any())
        _, stage, size = torch.unique(self.edges.stage, return_inverse=True, return_counts=True)
        self.read_share = torch.where(self.edges.stage < 0, 1.0, LOSERS / size[stage]).clamp(max=1)  # [E]
        each = float(self.read_share.sum()) / max(len(self.raters), 1)
        self.at_once = max(min(config.batch_users, round(STEP_RATINGS / max(each, 1))), 1)
        dim = self.graph.data["query"].x.shape[1]
        traits = train_part.traits.shape[1] if config.response_aware and (train_part.response_a >= 0).any() else 0
        shape = NetworkShape(dim, len(self.graph.tasks), len(train_part.llms), config.hidden, config.dropout, traits)
        self.network = _network_class(config.precision, self.device)(shape)
        self.expected = self._learn_traits(train_part).to(self.device)  # [Q, L, T]
        self.network.to(self.device)

    def _read(self, validation: RoutingGraph) -> tuple[Ratings, Ratings]:
        """What some of the people said and what they held out, with these people as users 0, 1, 2, ..."""
        held_out = ratings_of(validation).unanswered()
        people = held_out.user.unique()
        each = max(len(self.edges.user) / max(len(self.raters), 1), 1)
        most = max(min(VALIDATED, round(VALIDATED_RATINGS / each)), 1)
        people = people[:: -(-len(people) // most) or 1].contiguous()

        def theirs(ratings: Ratings) -> Ratings:
            found = ratings.where(torch.isin(ratings.user, people))
            return found._replace(user=torch.searchsorted(people, found.user))

        return theirs(self.edges), theirs(held_out)

    def _learn_traits(self, known: PreferenceDataset) -> Tensor:
        x = self.graph.data["query"].x.cpu().numpy()
        if not self.network.shape.traits:
            return torch.zeros(len(x), len(known.llms), 0)
        found, expected = expected_traits(known, x)
        for name, values in found._asdict().items():
            getattr(self.network, f"trait_{name}").copy_(torch.from_numpy(values))
        return torch.from_numpy(expected.astype(np.float32))

    def run(self, on_epoch: Callable[[Epoch], None] | None) -> list[Epoch]:
        config = self.config
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        total = config.epochs * config.steps_per_epoch
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(1 - step / total, 0.0))
        curve: list[Epoch] = []
        judged: deque[float] = deque(maxlen=JUDGED)
        best, kept, waited = math.inf, copy.deepcopy(self.network.state_dict()), 0
        for number in range(1, config.epochs + 1):
            losses = [self._step(optimiser, schedule) for _ in range(config.steps_per_epoch)]
            judged.append(self._validate())
            epoch = Epoch(number, config.epochs, float(np.mean(losses)), float(np.mean(judged)))
            if not math.isfinite(epoch.train_loss + epoch.validation_loss):
                raise NotEnoughData(
                    "Training diverged (a loss is not a number). Nothing was published; lower the learning rate."
                )
            curve.append(epoch)
            if on_epoch:
                on_epoch(epoch)
            if epoch.validation_loss < best - LEAST_GAIN:
                best, kept, waited = epoch.validation_loss, copy.deepcopy(self.network.state_dict()), 0
            elif (waited := waited + 1) >= config.patience:
                break
        self.network.load_state_dict(kept)
        return curve

    def _step(self, optimiser: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LambdaLR) -> float:
        self.network.train()
        edges, users = self._batch()
        visible, targets = self._masked(edges, users)
        if not len(targets.user):
            return 0.0
        # A target's answers are as unknown as an unseen query's: only what its LLMs usually do is told.
        nodes = self.network.nodes(self._tasks_dropped(), self.noise)._replace(traits=self.expected)
        posterior = self.network.posterior(nodes, visible, users)
        loss = self._loss(nodes, targets.unanswered(), posterior.w)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        return float(loss.detach())

    def _masked(self, edges: Ratings, users: int) -> tuple[Ratings, Ratings]:
        """A rating never sees itself: a random 10-90 % of each user's edges carry messages, the others are targets.

        Those of one choice stay together: each would give away the others.
        """
        share = torch.rand(users, device=self.device) * 0.8 + 0.1
        drawn = torch.rand(len(edges.user), device=self.device)
        if choices := int(edges.choice.max()) + 1:
            together = torch.rand(choices, device=self.device)[edges.choice]
            drawn = torch.where(edges.choice < 0, drawn, together)
        visible = drawn < share[edges.user]
        return edges.where(visible), edges.where(~visible)

    def _batch(self) -> tuple[Ratings, int]:
        """All edges of a random batch of users, users renumbered 0..B-1."""
        chosen = self.raters[torch.from_numpy(self.random.permutation(len(self.raters))[: self.at_once])]
        first, last = self.start[chosen], self.start[chosen + 1]
        count = last - first
        local = torch.repeat_interleave(torch.arange(len(chosen)), count)
        within = torch.arange(int(count.sum())) - torch.repeat_interleave(count.cumsum(0) - count, count)
        picked = (first[local] + within).to(self.device)
        local = local.to(self.device)
        if not self.any_stages:
            return self.edges.where(picked)._replace(user=local), len(chosen)
        some = torch.rand(len(picked), device=self.device) < self.read_share[picked]
        return _weighed(self.edges.where(picked[some])._replace(user=local[some])), len(chosen)

    def _tasks_dropped(self) -> RoutingGraph:
        task = self.graph.data["query"].task
        hidden = torch.rand(len(task), device=self.device) < self.config.task_dropout
        data = copy.copy(self.graph.data)
        data["query"].task = torch.where(hidden, -1, task)
        return replace(self.graph, data=data)

    def _loss(self, nodes: Nodes, ratings: Ratings, w: Tensor) -> Tensor:
        """Bradley-Terry, a tie counting half for either side, and Luce's for a choice; in the mean by weight."""
        margin = self.network.margins(nodes, ratings, w)
        return Said.together(ratings.label, ratings.stage).loss(margin[None])[0] / ratings.weight.sum()

    @torch.no_grad()
    def learn_kinds(self) -> None:
        """Kinds of people join the network where those found among half of the people help the other half, whose
        weights had no part in them, on held-out queries: knowing all that these said, and knowing little.
        """
        self.network.eval()
        nodes, people = self.network.nodes(self.graph), int(self.held_out.user.max()) + 1
        if people < MANY_PEOPLE:
            return
        w = self.network.posterior(nodes, self.read, people).w
        other = torch.arange(people, device=self.device) % 2 == 1
        tried = with_kinds(self.network, w[~other])
        if tried is None:
            return
        asked = self.held_out.where(other[self.held_out.user])
        said = torch.bincount(self.read.user, minlength=people)
        place = torch.arange(len(self.read.user), device=self.device) - (said.cumsum(0) - said)[self.read.user]

        def loss(network: PosteriorGAT) -> float:
            known = (self.read, self.read.where(place < LITTLE))
            return sum(float(self._loss(nodes, asked, network.posterior(nodes, part, people).w)) for part in known)

        if loss(tried) < loss(self.network):
            self.network = with_kinds(self.network, w) or self.network

    @torch.no_grad()
    def _validate(self) -> float:
        """The log-loss on held-out queries at the best scale of the margins, for the reason told at `at_best_scale`."""
        self.network.eval()
        nodes, asked = self.network.nodes(self.graph), self.held_out
        posterior = self.network.posterior(nodes, self.read, int(asked.user.max()) + 1)
        margin = self.network.margins(nodes, asked, posterior.w)
        return at_best_scale(margin, asked.label, asked.stage).loss


def _weighed(ratings: Ratings) -> Ratings:
    """With weights for as much of each choice as is left: see `PreferenceDataset.weight`."""
    _, stage, size = torch.unique(ratings.stage, return_inverse=True, return_counts=True)
    return ratings._replace(weight=torch.where(ratings.stage < 0, 1.0, 2 / (size[stage] + 1)))
