"""Cost against quality: the field's figures as small pure functions. Costs are in any one unit; quality is any mean
where more is better.

Two LLMs (RouteLLM): `call_curve`, `performance_gap_recovered`, `average_gap_recovered`, `call_share_for`. Any number
of LLMs: `deferral_curve` and, of such a curve, `deferral_area`, `quality_neutral_cost`, `quality_improvement`; of the
picks, `value_over_best` and `pick_entropy`.

Taste against money, as it is served: `tokens_of` and `query_cost` estimate what a response will cost, `priced_scores`
weighs it by alpha; `alpha_for_budget` and `threshold_for_share` choose the knob on queries of one's own.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput

Floats = NDArray[np.float64]

CHARACTERS_PER_TOKEN = (
    4  # of English prose under the usual tokenizers; real counts replace it where an LLM reports them
)
ALPHA_DOLLARS = 0.001  # at alpha = 1/2 so many dollars weigh as much as one logit of liking (1 : 1 becomes 2.7 : 1)
_LEAST_TASTE = 1e-6  # what alpha = 1 leaves of taste: of equally cheap LLMs the better liked


class Curve(NamedTuple):
    """Points of mean cost [P], never decreasing, and mean quality [P].

    Between two points one mixes their routers at random.
    """

    cost: Floats
    quality: Floats

    def at(self, cost: Floats) -> Floats:
        """Quality by linear interpolation; beyond the last point its quality (more money need not be spent)."""
        return np.interp(cost, self.cost, self.quality)


def call_curve(score: Floats, strong: Floats, weak: Floats) -> Curve:
    """Share of calls to the strong LLM (0..1) against mean quality when the queries of highest `score` [N] go to it.

    Sweeps RouteLLM's threshold (2406.18665, section 3). Queries of equal score are called in random order: the curve
    is straight through them, so that a constant score is the random router and the result does not hang on the order
    of the file.
    """
    if not len(score):
        raise InvalidInput("A cost curve needs at least one query.")
    gain = np.asarray(strong, float) - np.asarray(weak, float)
    _, group = np.unique(-np.asarray(score, float), return_inverse=True)
    calls = np.concatenate(([0.0], np.cumsum(np.bincount(group))))
    gained = np.concatenate(([0.0], np.cumsum(np.bincount(group, gain))))
    return Curve(calls / len(gain), float(np.mean(weak)) + gained / len(gain))


def performance_gap_recovered(quality: Floats | float, strong: float, weak: float) -> Floats:
    """PGR = (r - r_weak) / (r_strong - r_weak): 0 is the weak LLM alone, 1 the strong one. RouteLLM (2406.18665),
    equation 3.

    InvalidInput where the two are equally good: there is no gap then.
    """
    if strong == weak:
        raise InvalidInput("Both LLMs are equally good, so there is no gap to recover.")
    return (np.asarray(quality, float) - weak) / (strong - weak)


def average_gap_recovered(curve: Curve) -> float:
    """APGR = integral of PGR over the share of strong calls from 0 to 1. RouteLLM (2406.18665), equation 4.

    The paper takes the mean over 10 shares; this is its limit, by trapezoids over every query. 1/2 for a random
    router; a perfect one passes 1 wherever the weak LLM is sometimes the better.
    """
    pgr = performance_gap_recovered(curve.quality, float(curve.quality[-1]), float(curve.quality[0]))
    return float(np.trapezoid(pgr, curve.cost))


def call_share_for(curve: Curve, recovered: float) -> float:
    """CPT(x): the least share of strong calls with PGR >= x. RouteLLM (2406.18665), section 3. Between points by
    interpolation.
    """
    pgr = performance_gap_recovered(curve.quality, float(curve.quality[-1]), float(curve.quality[0]))
    return _first_cost(curve.cost, pgr, recovered)


def deferral_picks(predicted: Floats, cost: Floats, price_of_quality: float) -> NDArray[np.intp]:
    """[N]: argmax over LLMs of predicted quality [N, L] - lambda * cost [N, L]; infinite lambda takes the cheapest.

    The rule of UniRoute (2502.08773), section 3.
    """
    if np.isinf(price_of_quality):
        return np.asarray(np.argmin(cost, axis=1))
    return np.asarray(np.argmax(predicted - price_of_quality * cost, axis=1))


def deferral_curve(predicted: Floats, quality: Floats, cost: Floats, steps: int = 200) -> Curve:
    """Mean cost against mean quality as lambda goes from infinity (cheapest) to 0 (best predicted).

    UniRoute (2502.08773), section 3.

    `predicted`, `quality`, `cost` are [N, L]. Lambdas are spaced evenly on a log scale over the range in which two
    LLMs can change places.
    """
    gaps = np.abs(cost[:, :, None] - cost[:, None, :])
    spread = np.ptp(predicted, axis=1).max(initial=0) + 1e-12
    high, low = spread / max(gaps[gaps > 0].min(initial=np.inf), 1e-12), 1e-4 * spread / max(gaps.max(initial=0), 1e-12)
    lambdas = [np.inf, *np.geomspace(max(high, low), low, steps), 0.0]
    rows = np.arange(len(cost))
    picks = [deferral_picks(predicted, cost, each) for each in lambdas]
    return curve_of(
        [float(cost[rows, pick].mean()) for pick in picks], [float(quality[rows, pick].mean()) for pick in picks]
    )


def curve_of(cost: "list[float] | Floats", quality: "list[float] | Floats") -> Curve:
    """Points in order of cost; of several at one cost the best."""
    found: dict[float, float] = {}
    for c, q in zip(cost, quality, strict=True):
        found[float(c)] = max(float(q), found.get(float(c), -np.inf))
    costs = sorted(found)
    return Curve(np.array(costs), np.array([found[c] for c in costs]))


def deferral_area(curve: Curve, cheapest: float, dearest: float) -> float:
    """Area under the deferral curve over the cost range of the single LLMs, divided by that range:

    mean quality over all budgets.

    UniRoute (2502.08773), section 7; there the cost is normalised by the largest LLM's. A budget not used up is kept
    (running maximum).
    """
    return _mean_over(Curve(curve.cost, np.maximum.accumulate(curve.quality)), cheapest, dearest)


def quality_neutral_cost(curve: Curve, single_cost: Floats, single_quality: Floats) -> float | None:
    """QNC: least cost at which the router is as good as the best single LLM, as a share of that LLM's cost; None
    where it never is.

    UniRoute (2502.08773), section 7. `single_cost`, `single_quality` [L] are means of one LLM for all queries; of
    several equally good ones the cheapest counts.
    """
    best = min(np.flatnonzero(single_quality == single_quality.max()), key=lambda row: single_cost[row])
    reached = _first_cost(curve.cost, curve.quality, float(single_quality[best]))
    return None if np.isnan(reached) else reached / max(float(single_cost[best]), 1e-300)


def hull(curve: Curve) -> Curve:
    """The non-decreasing convex hull: the least concave, never falling line on or above all points. RouterBench
    (2403.12031), section 3.

    What can be had by mixing the routers at random and by not spending the rest of a budget.
    """
    kept: list[tuple[float, float]] = []
    best = -np.inf
    for cost, quality in zip(*curve_of(curve.cost, curve.quality), strict=True):
        if quality <= best:
            continue  # a dearer and no better point is not used
        best = quality
        while len(kept) > 1 and _turns_up(kept[-2], kept[-1], (cost, quality)):
            kept.pop()
        kept.append((float(cost), float(quality)))
    points = np.array(kept)
    return Curve(points[:, 0], points[:, 1])


def zero_router(single_cost: Floats, single_quality: Floats) -> Curve:
    """RouterBench's Zero router: the hull of the single LLMs, which needs no router at all. Only what lies above it
    is worth having.
    """
    return hull(Curve(np.asarray(single_cost, float), np.asarray(single_quality, float)))


def quality_improvement(curve: Curve, cheapest: float, dearest: float) -> float:
    """AIQ = 1 / (c_max - c_min) * integral of the non-decreasing convex hull over the cost.

    RouterBench (2403.12031), equation 3.

    Left of the router's first point its quality there is taken; give the same range to every router and to
    `zero_router`.
    """
    return _mean_over(hull(curve), cheapest, dearest)


def value_over_best(quality: float, single_quality: Floats) -> float:
    """V_B: the router's quality as a multiple of the best single LLM's. RouterEval (2503.10657), section 3. Above 1
    it pays to route.
    """
    best = float(np.max(single_quality))
    if best <= 0:
        raise InvalidInput("The best single LLM has no quality above 0, so there is nothing to be a multiple of.")
    return quality / best


def pick_entropy(picks: NDArray[np.integer], llms: int) -> float:
    """E_p = -sum p_l log2 p_l of the shares of picks, in bits: 0 when it collapsed to one LLM, log2 L when all are
    used alike.

    RouterEval (2503.10657), section 3.
    """
    share = np.bincount(picks, minlength=llms) / max(len(picks), 1)
    used = share[share > 0]
    return float(-(used * np.log2(used)).sum() + 0.0)


def tokens_of(text: str) -> int:
    """About how many tokens a text has, from its length; at least 1."""
    return max(1, round(len(text) / CHARACTERS_PER_TOKEN))


Tokens = TypeVar("Tokens", float, Floats)


def query_cost(
    input_price: float | None, output_price: float | None, input_tokens: Tokens, output_tokens: float
) -> Tokens:
    """Dollars of one call, or of several that differ in what goes in, from prices in dollars per million tokens; NaN
    where a price is unknown.
    """
    if input_price is None or output_price is None:
        return input_tokens * float("nan")
    return (input_tokens * input_price + output_price * output_tokens) / 1e6


def money_weight(alpha: float) -> float:
    """Logits of liking that one dollar must buy at this alpha: 0 at 0, infinite at 1. Raises InvalidInput outside."""
    if not 0 <= alpha <= 1:  # NaN fails too
        raise InvalidInput(f"alpha is {alpha}; it must be a number from 0 (taste alone) to 1 (the cheapest LLM).")
    return float("inf") if alpha == 1 else alpha / (1 - alpha) / ALPHA_DOLLARS


def alpha_of(weight: float) -> float:
    """The alpha of a weight of money in logits per dollar: the inverse of `money_weight`."""
    return 1.0 if np.isinf(weight) else weight * ALPHA_DOLLARS / (1 + weight * ALPHA_DOLLARS)


def priced_scores(probability: Floats, cost: Floats, alpha: float) -> Floats:
    """[..., L]: (1 - alpha) * log p - alpha * cost / ALPHA_DOLLARS; the LLM of the highest score is served.

    `probability` [..., L] is the chance of being liked best, so that log p is a liking in logits; `cost` [..., L] the
    dollars of this query. Dollars are absolute, not scaled per query: then an alpha is one exchange rate for all
    queries, and the least alpha within a budget is the best way to spend it. An unknown cost (NaN) counts as the
    dearest known one of the query, or as nothing where none is known. At alpha = 1 costs within some 1e-8 dollars of
    each other are equal, and liking decides. Raises InvalidInput for an alpha outside 0..1.
    """
    money_weight(alpha)  # refuses what is no alpha
    known = np.where(np.isnan(cost), -np.inf, cost).max(axis=-1, keepdims=True)
    dollars = np.where(np.isnan(cost), np.maximum(known, 0.0), cost)
    liking = np.log(np.maximum(probability, 1e-12))
    return np.asarray(max(1 - alpha, _LEAST_TASTE) * liking - alpha * dollars / ALPHA_DOLLARS)


def shares_by_alpha(probability: Floats, cost: Floats, alphas: Floats) -> Floats:
    """[A, L]: the share of these queries [N, L] that each LLM gets at each of A settings."""
    llms = probability.shape[1]
    picks = [priced_scores(probability, cost, float(alpha)).argmax(axis=1) for alpha in alphas]
    return np.array([np.bincount(pick, minlength=llms) / max(len(pick), 1) for pick in picks]).reshape(-1, llms)


def mean_cost(probability: Floats, cost: Floats, alpha: float) -> float:
    """Mean dollars a query [N, L] of the LLMs that `priced_scores` picks; picks of unknown cost are left out."""
    picks = priced_scores(probability, cost, alpha).argmax(axis=1)
    spent = cost[np.arange(len(cost)), picks]
    return float(np.nanmean(spent)) if np.isfinite(spent).any() else float("nan")


def alpha_for_budget(probability: Floats, cost: Floats, budget: float) -> float:
    """The least alpha at which the picks for these queries [N, L] cost at most `budget` dollars each, on average.

    The mean cost never rises with alpha, so bisection finds it. Raises InvalidInput where even the cheapest LLM of each
    query costs more, and where there is no query or no price.
    """
    if not len(cost) or not np.isfinite(cost).any():
        raise InvalidInput("A budget needs at least one query and one LLM whose price is known.")
    if mean_cost(probability, cost, 0.0) <= budget:
        return 0.0
    least = mean_cost(probability, cost, 1.0)
    if least > budget:
        raise InvalidInput(f"The cheapest LLMs cost ${least:.6f} a query; the budget must be at least that.")
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if mean_cost(probability, cost, middle) <= budget else (middle, high)
    return high


def win_rate(probability: Floats, strong: int, weak: int) -> Floats:
    """[N]: probability that the strong LLM is liked better than the weak one, of columns of `probability` [N, L]."""
    return np.asarray(probability[:, strong] / (probability[:, strong] + probability[:, weak]))


def threshold_for_share(win_rates: Floats, share: float) -> float:
    """RouteLLM's threshold (2406.18665, section 3): queries with a win rate of at least this go to the strong LLM.

    The greatest threshold at which at least `share` of these queries [N] go there; with equal win rates it may be more.
    Infinity for a share of 0. Raises InvalidInput for no query or a share outside 0..1.
    """
    if not len(win_rates):
        raise InvalidInput("A threshold needs at least one query.")
    if not 0 <= share <= 1:
        raise InvalidInput(f"The share is {share}; it must be a number from 0 to 1.")
    wanted = int(np.ceil(share * len(win_rates) - 1e-9))
    return float(np.sort(win_rates)[::-1][wanted - 1]) if wanted else float("inf")


def _turns_up(first: tuple[float, float], second: tuple[float, float], third: tuple[float, float]) -> bool:
    """Whether `second` lies on or under the line from `first` to `third`."""
    return (second[1] - first[1]) * (third[0] - first[0]) <= (third[1] - first[1]) * (second[0] - first[0])


def _mean_over(curve: Curve, low: float, high: float) -> float:
    if not high > low:
        return float(curve.at(np.array([low]))[0])
    inside = curve.cost[(curve.cost > low) & (curve.cost < high)]
    cost = np.concatenate(([low], inside, [high]))
    return float(np.trapezoid(curve.at(cost), cost) / (high - low))


def _first_cost(cost: Floats, value: Floats, wanted: float) -> float:
    """Where the line through the points first reaches a value; NaN where it never does."""
    reached = np.flatnonzero(value >= wanted - 1e-12)
    if not len(reached):
        return float("nan")
    i = int(reached[0])
    if i == 0 or value[i] <= wanted:
        return float(cost[i])
    return float(cost[i - 1] + (wanted - value[i - 1]) / (value[i] - value[i - 1]) * (cost[i] - cost[i - 1]))
