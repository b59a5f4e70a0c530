"""What a person would say of two responses, all four ways: A, B, a tie, both bad; on top of any router's probabilities.

Grounded Rao-Kupper (docs: science, section 3): with an LLM's absolute score s, pi = e^s and theta = 1 + e^eta,

    P(A) = pi_a / (pi_a + theta pi_b + 1),    P(both bad) = 1 / (1 + pi_a + pi_b),    P(tie) = what is left.

A router's row says how LLMs compare and not how good they are: s = scale * (log p - its mean over the LLMs) + level.
Level and eta are habits. Each person has their own, a common value plus a deviation drawn from a normal distribution
whose width is learned too: who has said little is taken to choose as people do. The deviation's posterior is computed
on a grid, so its mean and its interval are exact up to the grid.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import OUTCOMES, Outcome, Query, UserId
from core.errors import InvalidInput
from core.evaluation import EPSILON, Estimate, over_users
from core.routers.base import Probabilities, Router

Floats = NDArray[np.float64]

PEOPLE = 100  # to learn from, and to measure on: more only cost time
WIDEST = 20.0  # how far from the mean a log-probability counts: beyond, an outcome is certain anyway
DEVIATIONS = np.linspace(-4, 4, 33)  # of a person's level and eta from the common ones
WIDTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # standard deviations of the deviations
PRIOR = np.array([1.0, 5.0, 3.0])  # standard deviations of log scale, level, eta: they stay finite without ties
A, B, TIE, BOTH_BAD = (OUTCOMES.index(outcome) for outcome in (Outcome.A, Outcome.B, Outcome.TIE, Outcome.BOTH_BAD))


class Anchors(NamedTuple):
    """What turns a router's log-probabilities into outcomes: `scale`, `level` and `eta` of the common person."""

    scale: float
    level: float
    eta: float


class Habit(NamedTuple):
    """How a person's level and eta deviate from the common ones, as weights [33, 33] over `DEVIATIONS` of level and eta
    that sum to 1; `ratings` is on how many it rests.
    """

    weights: Floats
    ratings: int

    @property
    def mean(self) -> tuple[float, float]:
        """The mean deviation of level and of eta."""
        return float(self.weights.sum(1) @ DEVIATIONS), float(self.weights.sum(0) @ DEVIATIONS)


class Said(NamedTuple):
    """Probability of an outcome, with its 95 % interval over what the person's habit may be."""

    probability: float
    low: float
    high: float


class Pairs(NamedTuple):
    """N ratings as a router sees them: centred log-probabilities of A and B, outcome and user."""

    a: Floats
    b: Floats
    outcome: NDArray[np.int8]
    user: NDArray[np.int32]

    def where(self, mask: NDArray[np.bool_]) -> "Pairs":
        """Those picked by a mask [N]."""
        return Pairs(self.a[mask], self.b[mask], self.outcome[mask], self.user[mask])


@dataclass(frozen=True)
class OutcomeModel:
    """Four outcomes for one router. `read` fits the ratings that the router has read, where it is surer than it should
    be: a person's habit is told from these. `unseen` fits queries that it has not seen: predictions are made with it.
    `widths` are the standard deviations of people's level and eta.
    """

    read: Anchors
    unseen: Anchors
    widths: tuple[float, float]

    @classmethod
    def fit(cls, router: Router, train_part: PreferenceDataset, held_out: PreferenceDataset) -> Self:
        """Common values and widths, from what everyone said in `train_part`, and `unseen` from other queries.

        Without ratings on either side they are the priors' middle.
        """
        said, asked = _pairs(router, (train_part, held_out), train_part)
        read = _anchored(said, np.zeros((len(said.outcome), 2)))
        likelihoods = {int(u): _likelihood(read, said.where(said.user == u)) for u in np.unique(said.user)}
        widths = _widths(list(likelihoods.values()))
        model = cls(read, read, widths)
        mean = {u: model._habit(likelihood, 0).mean for u, likelihood in likelihoods.items()}
        deviation = np.array([mean.get(int(u), (0.0, 0.0)) for u in asked.user]).reshape(-1, 2)
        unseen = _anchored(asked, deviation) if len(asked.outcome) else read
        return cls(read, unseen, widths)

    def habit(self, router: Router, user: UserId, history: PreferenceDataset | None) -> Habit:
        """How this person says ties and rejects, from their own ratings; the common person's where they have none."""
        if history is None:
            return self._habit(np.zeros((len(DEVIATIONS), len(DEVIATIONS))), 0)
        said = _pairs(router, (history.of_user(user),), history)[0]
        return self.told_by(said)

    def told_by(self, said: Pairs) -> Habit:
        """The habit of the one person who said all this."""
        return self._habit(_likelihood(self.read, said), len(said.outcome))

    def probabilities(self, p: Probabilities, a: NDArray[np.int_], b: NDArray[np.int_], habit: Habit) -> Floats:
        """[N, 4] in the order of `OUTCOMES`: what this person would say of the LLMs in columns `a` and `b` [N] of rows
        p [N, L].
        """
        scores = _centred(p)
        rows = np.arange(len(scores))
        level, eta = habit.mean
        return rao_kupper(self.unseen, scores[rows, a], scores[rows, b], level, eta)

    def said(self, p: Probabilities, a: int, b: int, habit: Habit) -> dict[Outcome, Said]:
        """Each outcome for the LLMs in columns `a` and `b` of one row p [L]."""
        scores = _centred(p[None])[0]
        found = self.probabilities(p[None], np.array([a]), np.array([b]), habit)[0]
        level, eta = np.meshgrid(DEVIATIONS, DEVIATIONS, indexing="ij")
        each = rao_kupper(self.unseen, scores[a], scores[b], level, eta).reshape(-1, len(OUTCOMES))  # [33 * 33, 4]
        weights = habit.weights.ravel()
        bounds = [_quantiles(each[:, k], weights) for k in range(len(OUTCOMES))]
        return {
            outcome: Said(float(found[k]), min(bounds[k][0], float(found[k])), max(bounds[k][1], float(found[k])))
            for k, outcome in enumerate(OUTCOMES)
        }

    def _habit(self, log_likelihood: Floats, ratings: int) -> Habit:
        log = log_likelihood + _log_prior(*self.widths)
        weights = np.exp(log - log.max())
        return Habit(weights / weights.sum(), ratings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a router's card."""
        return {"read": list(self.read), "unseen": list(self.unseen), "widths": list(self.widths)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote. Raises InvalidInput for anything else."""
        try:
            read, unseen = (Anchors(*(float(x) for x in values[name])) for name in ("read", "unseen"))
            level, eta = (float(x) for x in values["widths"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("This router's card does not say how outcomes follow from its probabilities.") from error
        return cls(read, unseen, (level, eta))


@dataclass(frozen=True)
class OutcomeReport:
    """How well four outcomes are told on ratings that nothing was fitted on: log-losses, and how much lower the first
    is than that of one share of each outcome for everyone, and than the same model without habits (paired over users).
    """

    log_loss: Estimate
    over_shares: Estimate
    over_common: Estimate
    ratings: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a router's card."""
        return {name: x._asdict() if isinstance(x, Estimate) else x for name, x in vars(self).items()}


def report(
    model: OutcomeModel, router: Router, train_part: PreferenceDataset, test: PreferenceDataset,
    history: PreferenceDataset,
) -> OutcomeReport:  # fmt: skip
    """Measure on `test`, knowing `history`; the shares are those of `train_part`."""
    asked, said = _pairs(router, (test, history), history)
    deviation = np.zeros((len(asked.outcome), 2))
    for u in np.unique(asked.user):
        deviation[asked.user == u] = model.told_by(said.where(said.user == u)).mean
    rows = np.arange(len(asked.outcome))
    own, common = (
        -np.log(rao_kupper(model.unseen, asked.a, asked.b, *by.T)[rows, asked.outcome])
        for by in (deviation, deviation * 0)
    )
    shares = (np.bincount(train_part.outcome, minlength=len(OUTCOMES)) + 1) / (len(train_part) + len(OUTCOMES))
    constant = -np.log(shares)[asked.outcome]
    group = np.unique(asked.user, return_inverse=True)[1]
    count = np.bincount(group).astype(float)
    loss, over_shares, over_common = (
        over_users(np.bincount(group, x).astype(float), count) for x in (own, constant - own, common - own)
    )
    return OutcomeReport(loss, over_shares, over_common, len(rows))


def _pairs(router: Router, parts: Sequence[PreferenceDataset], history: PreferenceDataset) -> list[Pairs]:
    """The ratings of each part, between LLMs that the router knows, of at most so many of those in the first part.

    The parts have the same users, queries and LLMs, so that one call a user serves all of them.
    """
    column = {llm: i for i, llm in enumerate(router.llms)}
    to_column = np.array([column.get(m.llm_id, -1) for m in parts[0].llms], np.int64)
    people = np.unique(parts[0].user)
    people = people[:: -(-len(people) // PEOPLE) or 1]
    kept = [
        part.where(np.isin(part.user, people) & (to_column[part.llm_a] >= 0) & (to_column[part.llm_b] >= 0))
        for part in parts
    ]
    scores = [np.zeros((2, len(part))) for part in kept]
    for u in people:
        picked = [np.flatnonzero(part.user == u) for part in kept]
        rated = np.unique(np.concatenate([part.query[rows] for part, rows in zip(kept, picked, strict=True)]))
        asked: Sequence[Query] = [parts[0].queries[i] for i in rated]
        p = _centred(router.predict_proba(parts[0].users[u], asked, history))
        for part, rows, found in zip(kept, picked, scores, strict=True):
            row = np.searchsorted(rated, part.query[rows])
            found[0, rows] = p[row, to_column[part.llm_a[rows]]]
            found[1, rows] = p[row, to_column[part.llm_b[rows]]]
    return [Pairs(found[0], found[1], part.outcome, part.user) for found, part in zip(scores, kept, strict=True)]


def _centred(p: Probabilities) -> Floats:
    logs = np.log(np.maximum(p, 1e-300))
    return np.asarray(np.clip(logs - logs.mean(-1, keepdims=True), -WIDEST, WIDEST))


def rao_kupper(anchors: Anchors, a: Any, b: Any, level: Any, eta: Any) -> Floats:
    """[..., 4] in the order of `OUTCOMES`, from centred log-probabilities `a` and `b` and a person's deviations `level`
    and `eta`; all broadcast.
    """
    pi_a, pi_b = (np.exp(np.clip(anchors.scale * s + anchors.level + level, -50, 50)) for s in (a, b))
    theta = 1 + np.exp(np.clip(anchors.eta + eta, -50, 50))
    won, lost, bad = pi_a / (pi_a + theta * pi_b + 1), pi_b / (pi_b + theta * pi_a + 1), 1 / (1 + pi_a + pi_b)
    found = np.maximum(np.stack(np.broadcast_arrays(won, lost, 1 - won - lost - bad, bad), -1), EPSILON)
    return np.asarray(found / found.sum(-1, keepdims=True))


def _likelihood(anchors: Anchors, said: Pairs) -> Floats:
    """[33, 33]: log-likelihood of one person's ratings at each deviation of level and eta."""
    found = np.zeros((len(DEVIATIONS), len(DEVIATIONS)))
    a, b = said.a[:, None], said.b[:, None]
    for i, level in enumerate(DEVIATIONS):
        p = rao_kupper(anchors, a, b, level, DEVIATIONS[None])  # [N, 33, 4]
        found[i] = np.log(p[np.arange(len(a)), :, said.outcome]).sum(0)
    return found


def _log_prior(level: float, eta: float) -> Floats:
    """[33, 33] up to a constant: independent normals, a width of 0 being no deviation at all."""
    each = [
        -0.5 * (DEVIATIONS / width) ** 2 if width else np.where(DEVIATIONS == 0, 0.0, -np.inf) for width in (level, eta)
    ]
    normal = [log - np.logaddexp.reduce(log) for log in each]
    return np.asarray(normal[0][:, None] + normal[1])


def _widths(likelihoods: Sequence[Floats]) -> tuple[float, float]:
    """The widths under which everyone's ratings are most likely, each person's own deviation integrated out."""
    if not likelihoods:
        return 0.0, 0.0
    table = np.stack(likelihoods)
    top = table.max((1, 2), keepdims=True)
    likelihood = np.exp(table - top).reshape(len(table), -1)

    def evidence(widths: tuple[float, float]) -> float:
        prior = np.exp(_log_prior(*widths)).ravel()
        return float(np.log(np.maximum(likelihood @ prior, 1e-300)).sum())

    return max(((level, eta) for level in WIDTHS for eta in WIDTHS), key=evidence)


def _anchored(said: Pairs, deviation: Floats) -> Anchors:
    """Scale, level and eta of greatest posterior density, given everyone's deviations [N, 2]."""
    rows = np.arange(len(said.outcome))

    def loss(x: Floats) -> float:
        anchors = Anchors(float(np.exp(np.clip(x[0], -5, 5))), float(x[1]), float(x[2]))
        p = rao_kupper(anchors, said.a, said.b, *deviation.T)
        return float(-np.log(p[rows, said.outcome]).sum() + 0.5 * ((x / PRIOR) ** 2).sum())

    x = _minimised(loss, np.zeros(3))
    return Anchors(float(np.exp(np.clip(x[0], -5, 5))), float(x[1]), float(x[2]))


def _minimised(loss: Callable[[Floats], float], x: Floats) -> Floats:
    """Newton's method on finite differences, away from saddles, halving a step until it helps. For a few unknowns."""
    h, unit = 1e-3, np.eye(len(x))
    for _ in range(50):
        here = loss(x)
        up, down = (np.array([loss(x + sign * h * e) for e in unit]) for sign in (1, -1))
        gradient = (up - down) / (2 * h)
        curvature = np.diag((up + down - 2 * here) / h**2)
        for i in range(len(x)):
            for j in range(i):
                both = loss(x + h * (unit[i] + unit[j])) - up[i] - up[j] + here
                curvature[i, j] = curvature[j, i] = both / h**2
        values, vectors = np.linalg.eigh(curvature)
        step = -vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 1e-3))
        step /= max(1.0, float(np.abs(step).max()))
        while loss(x + step) > here and np.abs(step).max() > 1e-7:
            step = step / 2
        if np.abs(step).max() < 1e-4:
            break
        x = x + step
    return x


def _quantiles(values: Floats, weights: Floats) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantiles of weighted values."""
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    low, high = (int(np.searchsorted(share, q)) for q in (0.025, 0.975))
    return float(values[order[low]]), float(values[order[min(high, len(values) - 1)]])
