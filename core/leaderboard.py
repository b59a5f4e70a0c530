"""The leaderboard of LLMs: Bradley-Terry strengths with robust intervals, approximate ranks, and what biases ratings.

Intervals treat ratings as independent of each other. Where a few people gave most of them they are too narrow.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.domain import LLM, OUTCOMES, Outcome
from core.strengths import RobustFit, bradley_terry_robust
from core.tally import LABELS, NORMAL_95, Floats, Ints, Mask, Share, Tally, share
from core.traits import STYLE

MIN_RATINGS = 30  # below, counts are shown and no strengths
MIN_CELL = 10  # ratings below which a cell of the win matrix is greyed

_A, _B, _TIE, _BOTH_BAD = (OUTCOMES.index(o) for o in (Outcome.A, Outcome.B, Outcome.TIE, Outcome.BOTH_BAD))


class Counted(NamedTuple):
    """What was said of one LLM. Ties are of both kinds."""

    llm: LLM
    ratings: int
    wins: int
    losses: int
    ties: int


class Standing(NamedTuple):
    """One LLM's strength on the logit scale with its 95 % interval; 0 is the average of its group.

    `rank` is 1 + the number of LLMs of the group whose lower bound exceeds this one's upper bound. Groups are numbered
    from 0; LLMs of two groups were never compared, not even through others. `limited` is False where ratings alone set
    no limit to the group's strengths (an LLM never lost, say): then the interval rests on a weak prior.
    """

    llm: LLM
    group: int
    rank: int
    strength: float
    low: float
    high: float
    ratings: int
    limited: bool


class Effect(NamedTuple):
    """What a side, or one standard deviation more of a trait, adds to the logit of being liked better, with 95 %."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """Standings group by group, best first. `matrix` [L, L] is the share won by the row, ties half, NaN where never
    compared, `compared` [L, L] its n; both in the order of `standings`. `style` is empty unless adjusted for.
    """

    standings: tuple[Standing, ...]
    matrix: Floats
    compared: Ints
    ratings: int
    ties: Share
    both_bad: Share
    left: Share | None
    side: Effect
    longer: Share | None
    style: tuple[Effect, ...]

    @property
    def groups(self) -> int:
        """How many sets of LLMs were compared only within themselves."""
        return 1 + max(standing.group for standing in self.standings)


@dataclass(frozen=True, slots=True)
class Unranked:
    """Why there is no leaderboard, in words for the screen, and what was counted so far."""

    reason: str
    counts: tuple[Counted, ...]
    ratings: int


def chance(logit: float) -> float:
    """The probability that belongs to a logit: of a strength, that of winning against an average LLM."""
    return float(1 / (1 + np.exp(-np.clip(logit, -500, 500))))


def counts_by_llm(tally: Tally) -> tuple[Counted, ...]:
    """Every LLM, those never rated too, most ratings first."""
    size = len(tally.llms)
    won_a, won_b = tally.outcome == _A, tally.outcome == _B

    def per_llm(a: Mask, b: Mask) -> Ints:
        left = np.bincount(tally.llm_a[a], tally.count[a], size)
        return np.asarray(left + np.bincount(tally.llm_b[b], tally.count[b], size), np.int64)

    wins, losses, ties = per_llm(won_a, won_b), per_llm(won_b, won_a), per_llm(*[~won_a & ~won_b] * 2)
    rows = [
        Counted(llm, int(w + x + t), int(w), int(x), int(t))
        for llm, w, x, t in zip(tally.llms, wins, losses, ties, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: -row.ratings))


def leaderboard(tally: Tally, *, adjust: bool = False) -> Leaderboard | Unranked:
    """Rank the LLMs that were rated; with `adjust` as if responses were equal in length and format.

    Adjusting needs `tally.style` known in every cell (`choose(known_style=True)`).
    """
    counts = counts_by_llm(tally)
    if len(tally.llms) == 1:
        return Unranked(f"Only one LLM is here ({tally.llms[0].llm_id}); a ranking needs two.", counts, tally.ratings)
    if tally.ratings < MIN_RATINGS:
        return Unranked(f"Not enough ratings to rank ({tally.ratings} of {MIN_RATINGS}).", counts, tally.ratings)
    size = len(tally.llms)
    won = np.zeros((size, size))  # ties half to either
    label = LABELS[tally.outcome]
    np.add.at(won, (tally.llm_a, tally.llm_b), tally.count * label)
    np.add.at(won, (tally.llm_b, tally.llm_a), tally.count * (1 - label))
    effects = np.ones((len(label), 1))
    if adjust:
        effects = np.hstack([effects, style_difference(tally)])
    fit = bradley_terry_robust(
        tally.llm_a, tally.llm_b, label, effects, size, tally.weight, tally.weight_squared
    )  # fmt: skip
    standings = _standings(tally, fit, won)
    order = [tally.llms.index(standing.llm) for standing in standings]
    compared = (won + won.T)[np.ix_(order, order)]
    matrix = np.divide(won[np.ix_(order, order)], compared, out=np.full_like(compared, np.nan), where=compared > 0)
    decisive = (tally.outcome == _A) | (tally.outcome == _B)
    side, *style = _effects(fit, size)
    return Leaderboard(
        standings, matrix, np.rint(compared).astype(np.int64), tally.ratings,
        _certain(tally.counted(Outcome.TIE), tally.ratings), _certain(tally.counted(Outcome.BOTH_BAD), tally.ratings),
        share(tally.counted(Outcome.A), tally.total(decisive)), side, _longer(tally), tuple(style),
    )  # fmt: skip


def style_difference(tally: Tally) -> Floats:
    """[C, K]: (x_a - x_b) / (x_a + x_b + 1) of each trait, in standard deviations over the ratings.

    Divided and not centred, so that the side's effect is that between responses of equal style.
    """
    if tally.style is None:
        raise ValueError("The texts of these ratings were not read.")
    a, b = np.hsplit(tally.style, 2)
    difference = (a - b) / (a + b + 1)
    spread = np.sqrt(np.average(difference**2, axis=0, weights=tally.count))
    return np.asarray(difference / np.where(spread > 0, spread, 1))


def _certain(part: int, n: int) -> Share:
    found = share(part, n)
    assert found is not None  # at least MIN_RATINGS  # noqa: S101
    return found


def _longer(tally: Tally) -> Share | None:
    """How often the longer response won, of the decisive ratings whose lengths differ."""
    first = ((tally.outcome == _A) & (tally.longer == 1)) | ((tally.outcome == _B) & (tally.longer == -1))
    other = ((tally.outcome == _A) & (tally.longer == -1)) | ((tally.outcome == _B) & (tally.longer == 1))
    return share(tally.total(first), tally.total(first | other))


def _effects(fit: RobustFit, size: int) -> list[Effect]:
    spread = NORMAL_95 * np.sqrt(np.maximum(np.diag(fit.sandwich)[size:], 0))
    names = ("side A", *STYLE)[: len(spread)]
    return [
        Effect(name, float(e), float(e - s), float(e + s)) for name, e, s in zip(names, fit.effect, spread, strict=True)
    ]


def _standings(tally: Tally, fit: RobustFit, won: Floats) -> tuple[Standing, ...]:
    size, games = len(tally.llms), won + won.T
    found: list[Standing] = []
    for number, group in enumerate(groups_of(games)):
        beats = _reachable(won[np.ix_(group, group)] > 0)
        limited = bool(beats.all())
        strengths = fit.strength[group] - fit.strength[group].mean()
        if limited:
            variance = np.diag(fit.sandwich)[:size][group]
        else:
            centre = np.eye(len(group)) - 1 / len(group)
            variance = np.diag(centre @ fit.laplace[np.ix_(group, group)] @ centre)
        half = NORMAL_95 * np.sqrt(np.maximum(variance, 0))
        low, high = strengths - half, strengths + half
        rank = 1 + (low[None, :] > high[:, None]).sum(axis=1)
        for i in sorted(range(len(group)), key=lambda i: (-strengths[i], i)):
            llm, n = tally.llms[group[i]], int(np.rint(games[group[i]].sum()))
            figures = float(strengths[i]), float(low[i]), float(high[i])
            found.append(Standing(llm, number, int(rank[i]), *figures, n, limited))
    return tuple(found)


def groups_of(games: Floats) -> list[Ints]:
    """Rows of LLMs connected by comparisons, those with most ratings first; LLMs never compared are in none."""
    linked = _reachable((games > 0) & ~np.eye(len(games), dtype=bool))
    rated = games.sum(axis=1) > 0
    groups = {tuple(np.flatnonzero(linked[i])) for i in np.flatnonzero(rated)}
    ordered = sorted(groups, key=lambda group: (-games[list(group)].sum(), group))
    return [np.array(group, np.int64) for group in ordered]


def _reachable(edges: Mask) -> Mask:
    """[L, L] whether a path leads from row to column; every node reaches itself."""
    reached = edges | np.eye(len(edges), dtype=bool)
    while True:
        further = (reached.astype(float) @ reached) > 0
        if (further == reached).all():
            return reached
        reached = further
