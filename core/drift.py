"""Has a person's taste changed? A test for one change at an unknown moment, with every look at the data paid for.

Under the null hypothesis the person has one taste throughout: a Bradley-Terry model of their decisive ratings with what
the average person thinks as its offset, a liking of each LLM, and one of each LLM within each task, so that rating
other tasks than before is no change. The statistic is the largest log Bayes factor, over the moments, of a change in
the likings (normal, one logit) against none, by the score approximation. Its null distribution comes from outcomes
drawn anew from the fitted null model for the same pairs in the same order, so that neither the choice of pairs nor the
search over moments makes an alarm more likely.

A person rates on, and each rating would be another chance of a false alarm. So the test looks only when there are 40
ratings, 60, 90, ... (half as many again), and look j may spend ALPHA / (j (j + 1)), which over all looks adds up to
ALPHA: of a hundred people whose taste never changes, at most five will ever be told so (Bonferroni over the looks).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import LLMId
from core.habits import Share, wilson

Floats = NDArray[np.float64]

ALPHA = 0.05  # over all looks at one person
FIRST_LOOK, GROWTH = 40, 1.5
MOST_RATINGS = 455  # the newest at a look; older ones say little of a change now
LEAST_SIDE = 12  # ratings before and after a moment
MOMENTS = 40  # where a change is looked for
DRAWS = 4000
PILOT, PILOT_HITS = 200, 15  # where so many of the first draws reach the statistic, no look's level can be met
LLM_PRECISION, TASK_PRECISION = 0.25, 1.0
CHANGE_VARIANCE = 1.0
CLOSE = 2.0  # log Bayes factors below the largest that still name a plausible moment
NEWTON_STEPS = 25


class Won(NamedTuple):
    """How often an LLM was preferred among the decisive ratings it was in, before a moment and since."""

    llm: LLMId
    before: Share
    since: Share


class Change(NamedTuple):
    """A change that is significant: the first rating after it was given at `at` (seconds since 1970), plausibly
    between `earliest` and `latest`; `p` is below `level`, what this look may spend. `before` and `since` count decisive
    ratings, `won` has the LLMs whose share changed most first.
    """

    at: float
    earliest: float
    latest: float
    p: float
    level: float
    before: int
    since: int
    won: tuple[Won, ...]


class _Null(NamedTuple):
    """The fitted model without a change: contrasts of LLMs `x` [N, L], all features `z` [N, K], probabilities [N],
    precisions [K], weights [K].
    """

    x: Floats
    z: Floats
    probability: Floats
    precision: Floats
    weight: Floats


def look(n: int) -> tuple[int, float]:
    """With n decisive ratings: how many of them the last look takes, and what it may spend; (0, 0) before the first."""
    size, number = FIRST_LOOK, 0
    taken = 0
    while size <= n:
        taken, number = size, number + 1
        size = int(size * GROWTH)
    return (taken, ALPHA / (number * (number + 1))) if number else (0, 0.0)


def looked_at(own: PreferenceDataset) -> PreferenceDataset:
    """The ratings that the last look takes: decisive, of known time, in the order they were given."""
    known = own.where((own.time > 0) & (own.label != 0.5))
    known = known.where(np.argsort(known.time, kind="stable"))
    taken, _ = look(len(known))
    return known.where(np.arange(max(taken - MOST_RATINGS, 0), taken))


def find_change(own: PreferenceDataset, usual: Floats | None = None) -> Change | None:
    """The change in one person's taste that `looked_at(own)` shows; None where there is none to speak of.

    `usual` [N] is the average person's score of A minus that of B for each of `looked_at(own)`; 0 where nothing is
    known of it. The same ratings give the same answer.
    """
    said = looked_at(own)
    known = int(((own.time > 0) & (own.label != 0.5)).sum())
    _, level = look(known)
    if len(said) < 2 * LEAST_SIDE:
        return None
    null = _fit(said, np.zeros(len(said)) if usual is None else usual)
    moments = np.unique(np.linspace(LEAST_SIDE, len(said) - LEAST_SIDE, MOMENTS).round().astype(int))
    # What a refit takes out of residuals to first order: [N, N].
    d = null.probability * (1 - null.probability)
    curvature = null.z.T @ (d[:, None] * null.z) + np.diag(null.precision)
    hat = (d[:, None] * null.z) @ np.linalg.solve(curvature, null.z.T)
    left = np.eye(len(said)) - hat
    evidence = _log_bayes_factors((said.label - null.probability)[:, None], null.x, left, d, moments)[:, 0]
    top = float(evidence.max())
    p = _p_value(top, null, hat, left, d, moments)
    if p > level:
        return None
    k = int(moments[evidence.argmax()])
    plausible = moments[evidence >= top - CLOSE]
    time = said.time
    return Change(
        float(time[k]), float(time[plausible[0]]), float(time[plausible[-1]]), p, level, k, len(said) - k,
        _evidence(said, k),
    )  # fmt: skip


def _fit(said: PreferenceDataset, usual: Floats) -> _Null:
    """Ridge logistic regression by Newton's method."""
    n, llms = len(said), len(said.llms)
    names = sorted({query.task for query in said.queries})
    task = np.array([names.index(query.task) for query in said.queries], int)[said.query]
    rows = np.arange(n)
    x, by_task = np.zeros((n, llms)), np.zeros((n, len(names), llms))
    for side, sign in ((said.llm_a, 1.0), (said.llm_b, -1.0)):
        x[rows, side] += sign
        by_task[rows, task, side] += sign
    z = np.hstack([x, by_task.reshape(n, -1)]) if len(names) > 1 else x
    z = z[:, np.abs(z).any(0)]
    count = int(np.abs(x).any(0).sum())
    precision = np.concatenate([np.full(count, LLM_PRECISION), np.full(z.shape[1] - count, TASK_PRECISION)])
    weight, p = np.zeros(z.shape[1]), np.full(n, 0.5)
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(usual + z @ weight, -30, 30)))
        gradient = z.T @ (said.label - p) - precision * weight
        step = np.linalg.solve(z.T @ ((p * (1 - p))[:, None] * z) + np.diag(precision), gradient)
        weight = weight + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return _Null(x, z, p, precision, weight)


def _log_bayes_factors(residual: Floats, x: Floats, left: Floats, d: Floats, moments: NDArray[np.int_]) -> Floats:
    """[M, B]: for each moment and column of residuals [N, B], the log Bayes factor of a change there."""
    found = np.empty((len(moments), residual.shape[1]))
    score, start = np.zeros((x.shape[1], residual.shape[1])), 0
    for m, k in enumerate(moments):
        score = score + x[start:k].T @ residual[start:k]
        start = k
        projected = x[:k].T @ left[:k]
        information = CHANGE_VARIANCE * (projected * d) @ projected.T + np.eye(x.shape[1])
        solved = np.linalg.solve(information, score)
        found[m] = (CHANGE_VARIANCE * (score * solved).sum(0) - np.linalg.slogdet(information)[1]) / 2
    return found


def _p_value(
    top: float, null: _Null, hat: Floats, left: Floats, d: Floats, moments: NDArray[np.int_]
) -> float:  # fmt: skip
    """How often outcomes drawn from the null model reach the statistic; draws stop where it is clear that many do."""
    random = np.random.default_rng(0)
    # The prior pulls the refit of a draw as it pulled the first fit.
    pull = (d[:, None] * null.z) @ np.linalg.solve(
        null.z.T @ (d[:, None] * null.z) + np.diag(null.precision), null.precision * null.weight
    )
    reached = drawn = 0
    for size in (PILOT, DRAWS - PILOT):
        outcome = random.random((len(d), size)) < null.probability[:, None]
        error = outcome - null.probability[:, None]
        residual = error - hat @ error + pull[:, None]
        reached += int((_log_bayes_factors(residual, null.x, left, d, moments).max(0) >= top).sum())
        drawn += size
        if reached >= PILOT_HITS:
            break
    return (1 + reached) / (1 + drawn)


def _evidence(said: PreferenceDataset, k: int) -> tuple[Won, ...]:
    found = []
    first = np.arange(len(said)) < k
    for column, llm in enumerate(said.llms):
        a, b = said.llm_a == column, said.llm_b == column
        took_part, won = a | b, (a & (said.label == 1)) | (b & (said.label == 0))
        shares = [wilson(int((won & part).sum()), int((took_part & part).sum())) for part in (first, ~first)]
        if all(share.n for share in shares):
            found.append(Won(llm.llm_id, *shares))
    return tuple(sorted(found, key=lambda each: -abs(each.since.value - each.before.value)))
