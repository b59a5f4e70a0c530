"""Simulated users, named so: worlds whose truth is known, by the paper's two strategies and with planted tastes of
any size.

Every user's utility is linear in a few numbers per query and LLM, so a world of any size keeps its truth in two small
arrays. Nothing here is a finding about people or about LLMs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import LLM, OUTCOMES, Comparison, Outcome, Query, Response, ResponseId, User, UserId
from core.errors import InvalidInput

Floats = NDArray[np.float64]
# How content one persona is with one query's responses [L]: higher is better. It sees words only, never which LLM
# wrote them.
Judge = Callable[["Persona", Query, Sequence[str]], Floats]


@dataclass(frozen=True)
class Persona:
    """A way of judging: a name, and what it likes (+) or dislikes (-) about a text by `core.traits.TRAITS`."""

    name: str
    weights: dict[str, float]


@dataclass(frozen=True, eq=False)
class Truth:
    """utility(u, q, l) = weights [U, F] . features [Q, L, F], without noise."""

    weights: Floats
    features: Floats

    def utility(self, rows: NDArray[np.integer] | slice = slice(None)) -> Floats:
        """[n, Q, L] of some users."""
        return np.asarray(np.einsum("uf,qlf->uql", self.weights[rows], self.features, optimize=True))


@dataclass(frozen=True)
class Habits:
    """How simulated users rate: how many pairs each, how noisy (scale of Gumbel noise on what is felt, one draw per
    user, query and LLM), the range of their shares of ties and of both-bad pairs.
    """

    pairs: int = 50
    noise: float = 0.0
    ties: tuple[float, float] = (0.05, 0.30)
    both_bad: tuple[float, float] = (0.02, 0.08)


@dataclass(frozen=True, eq=False)
class SimulatedWorld:
    """Simulated users with their ratings and the truth behind them.

    `users` carry the mark; ids begin with `simulated-`.
    """

    users: tuple[User, ...]
    dataset: PreferenceDataset
    truth: Truth
    best: NDArray[np.int16]  # [U, Q]: the LLM felt best, noise included

    def comparisons(self) -> Iterator[Comparison]:
        """The ratings one by one; their responses need not exist."""
        data = self.dataset
        for n, (u, q, a, b) in enumerate(zip(data.user, data.query, data.llm_a, data.llm_b, strict=True)):
            query, sides = data.queries[q].query_id, (data.llms[a].llm_id, data.llms[b].llm_id)
            shown = [ResponseId(f"simulated-{query}-{side}") for side in sides]
            key = f"{data.users[u]}-{n}"
            yield Comparison(data.users[u], query, sides[0], sides[1], data.outcome_of(n), shown[0], shown[1], key)


def multi_cost_efficiency(
    queries: Sequence[Query],
    llms: Sequence[LLM],
    effect: Floats,
    cost: Floats,
    *,
    users: int = 9,
    habits: Habits | None = None,
    seed: int = 0,
) -> SimulatedWorld:
    """The paper's first strategy (2511.16883, section 4): user i weighs effect against cost by alpha_i, evenly spaced
    in 0.2..1.0.

    reward = alpha * effect - (1 - alpha) * cost, with `cost` [Q, L] min-max normalised within each task. Noise is 0
    unless asked for.
    """
    alpha = np.linspace(0.2, 1.0, users)
    features = np.stack([np.asarray(effect, float), per_task(queries, np.asarray(cost, float))], axis=-1)  # [Q, L, 2]
    truth = Truth(np.stack([alpha, alpha - 1], axis=1), features)
    return rated("cost", queries, llms, truth, habits or Habits(), seed)


def per_task(queries: Sequence[Query], values: Floats) -> Floats:
    """Min-max normalisation of [Q, L] within each task to 0..1; a task without spread becomes 0."""
    found = np.zeros_like(values)
    tasks = np.array([q.task for q in queries])
    for task in np.unique(tasks):
        own = values[tasks == task]
        found[tasks == task] = (own - own.min()) / max(float(np.ptp(own)), 1e-300)
    return found


def judged_by_personas(
    queries: Sequence[Query],
    llms: Sequence[LLM],
    responses: Sequence[Response],
    personas: Sequence[Persona],
    judge: Judge,
    *,
    users_each: int = 1,
    habits: Habits | None = None,
    seed: int = 0,
) -> SimulatedWorld:
    """The paper's second strategy (2511.16883, section 4): personas judge the answers to each query, without being
    told the LLM.

    Every query needs a response of every LLM (InvalidInput else). `core.traits.judge_by_traits` is a judge that needs
    no network; a call to an LLM fits the same signature. Each persona has `users_each` users who share its taste and
    rate other pairs.
    """
    text = {(r.query_id, r.llm_id): r.text for r in responses}
    if missing := next(((q, m) for q in queries for m in llms if (q.query_id, m.llm_id) not in text), None):
        raise InvalidInput(f"There is no response of '{missing[1].llm_id}' to the query '{missing[0].query_id}'.")
    features = np.empty((len(queries), len(llms), len(personas)))
    for i, query in enumerate(queries):
        answers = [text[query.query_id, m.llm_id] for m in llms]
        for j, persona in enumerate(personas):
            features[i, :, j] = judge(persona, query, answers)
    truth = Truth(np.repeat(np.eye(len(personas)), users_each, axis=0), features)
    return rated("judge", queries, llms, truth, habits or Habits(), seed)


def planted_tastes(
    queries: Sequence[Query],
    llms: Sequence[LLM],
    *,
    users: int,
    styles: int = 6,
    noise_share: float = 0.2,
    habits: Habits | None = None,
    seed: int = 0,
) -> SimulatedWorld:
    """Utility = quality + liking .

    style - price sensitivity * cost + Gumbel noise, as the folder `personas` describes itself.

    Quality and style are drawn per LLM and task with a part for the single query; cost from the LLM's output price on
    a log scale. The noise is scaled so that the noise-free best LLM is not the felt one for about `noise_share` of
    user-query pairs.
    """
    _check(queries, llms)
    random = np.random.default_rng(seed)
    task = np.unique([q.task for q in queries], return_inverse=True)[1]
    shape = (int(task.max(initial=0)) + 1, len(llms), 1 + styles)
    drawn = random.normal(size=shape) * 0.7 + random.normal(size=(1, *shape[1:])) * 0.7  # [T, L, F]
    drawn = drawn[task] + random.normal(size=(len(queries), *shape[1:])) * 0.4  # [Q, L, F]
    price = np.log1p([m.output_price or 0.0 for m in llms])
    cost = np.broadcast_to(price / max(price.max(), 1e-12), (len(queries), len(llms)))
    liking, sensitivity = random.normal(size=(users, styles)), random.gamma(1.0, 0.7, size=(users, 1))
    truth = Truth(
        np.hstack([np.ones((users, 1)), liking, -sensitivity]), np.concatenate([drawn, cost[..., None]], axis=-1)
    )
    habits = habits or Habits()
    noise = noise_for(truth.utility(slice(200)), noise_share)
    return rated("taste", queries, llms, truth, replace(habits, noise=noise), seed + 1)


def noise_for(utility: Floats, share: float) -> float:
    """The Gumbel scale at which the felt best LLM is another than the noise-free one for `share` of the rows of [...,
    L].
    """
    low, high, scale = 1e-6, 100.0, 1.0
    top = utility.max(axis=-1, keepdims=True)
    for _ in range(50):
        scale = float(np.sqrt(low * high))
        missed = 1 - (1 / np.exp((utility - top) / scale).sum(axis=-1)).mean()
        low, high = (scale, high) if missed < share else (low, scale)
    return scale


def rated(
    prefix: str, queries: Sequence[Query], llms: Sequence[LLM], truth: Truth, habits: Habits, seed: int
) -> SimulatedWorld:
    """Let every user rate: random pairs of LLMs on all queries in an order of their own before one returns.

    What is felt is utility plus one draw of noise per user, query and LLM. A pair whose felt difference is below the
    user's own threshold is a tie, and if both are below the user's low bar as well, both_bad; thresholds are
    quantiles that give each user their share.
    """
    _check(queries, llms)
    users = tuple(User(UserId(f"simulated-{prefix}-{i:05d}"), simulated=True) for i in range(len(truth.weights)))
    best = np.empty((len(users), len(queries)), np.int16)
    parts = []
    for row, stream in enumerate(np.random.SeedSequence(seed).spawn(len(users))):
        random = np.random.default_rng(stream)
        felt = truth.utility(np.array([row]))[0] + habits.noise * random.gumbel(size=(len(queries), len(llms)))
        best[row] = felt.argmax(axis=1)
        parts.append(_ratings(felt, habits, random))
    query, a, b, outcome = (np.concatenate([part[i] for part in parts]) for i in range(4))
    user = np.repeat(np.arange(len(users), dtype=np.int32), habits.pairs)
    names, n = tuple(u.user_id for u in users), len(user)
    data = PreferenceDataset(
        names,
        tuple(queries),
        tuple(llms),
        user,
        query,
        a,
        b,
        outcome.astype(np.int8),
        np.zeros(n),
        np.arange(n, dtype=np.int64),
    )
    return SimulatedWorld(users, data, truth, best)


def _check(queries: Sequence[Query], llms: Sequence[LLM]) -> None:
    if len(llms) < 2 or not len(queries):
        raise InvalidInput("A simulated world needs two LLMs and one query at least.")


def _ratings(felt: Floats, habits: Habits, random: np.random.Generator) -> tuple[NDArray[np.int32], ...]:
    """Query, LLM a, LLM b and outcome code [pairs] of one user."""
    queries, llms = felt.shape
    rounds = -(-habits.pairs // queries)
    query = np.concatenate([random.permutation(queries) for _ in range(rounds)])[: habits.pairs]
    a = random.integers(llms, size=habits.pairs)
    b = (a + random.integers(1, llms, size=habits.pairs)) % llms
    felt_a, felt_b = felt[query, a], felt[query, b]
    gap, better = np.abs(felt_a - felt_b), np.maximum(felt_a, felt_b)
    bad_share, tie_share = random.uniform(*habits.both_bad), random.uniform(*habits.ties)
    outcome = np.where(felt_a > felt_b, OUTCOMES.index(Outcome.A), OUTCOMES.index(Outcome.B))
    undecided = (
        gap <= np.quantile(gap, tie_share + bad_share) if tie_share + bad_share > 0 else np.zeros(len(gap), bool)
    )
    outcome[undecided] = OUTCOMES.index(Outcome.TIE)
    # the low bar: of all undecided pairs, those whose better side is worst, in the proportion of the two shares
    if undecided.any() and bad_share > 0:
        bar = np.quantile(better[undecided], bad_share / (tie_share + bad_share))
        outcome[undecided & (better <= bar)] = OUTCOMES.index(Outcome.BOTH_BAD)
    return tuple(x.astype(np.int32) for x in (query, a, b, outcome))
