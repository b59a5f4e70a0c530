"""Can a person's ratings be trusted? Shares, tests and agreement per person, with a correction for testing many.

A flag is a reason to look, not a verdict: people with an unusual taste differ from others as careless ones do.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import comb, exp, lgamma, log
from typing import NamedTuple

from core.domain import UserId
from core.errors import InvalidInput

MINIMUM = 20  # answers below which nothing is tested: a flag would say more about chance than about the person
FALSE_DISCOVERIES = 0.05  # expected share of wrong flags among all flags
BOUNDS_FDR = (0.001, 0.2)
BOUNDS_MINIMUM = (10, 1000)
CARELESS = 0.8  # a careful person answers gold items right more often than so


class Part(NamedTuple):
    """`times` of `n`."""

    times: int
    n: int

    @property
    def share(self) -> float | None:
        """None of nothing."""
        return self.times / self.n if self.n else None


class Surprise(NamedTuple):
    """`n` independent p-values by the sum of their natural logarithms."""

    n: int
    log_p: float


NOTHING = Part(0, 0)
UNSURPRISING = Surprise(0, 0.0)


@dataclass(frozen=True, slots=True)
class Rater:
    """What is known of how one user rates. `left` and `longer` are of decisive ratings, `surprise` has the p-values of
    their ratings given everybody's, `agreement` is Krippendorff's alpha with others on the same pairs, None without
    any.
    """

    user: UserId
    simulated: bool
    ratings: int
    seconds: float | None
    too_quick: int
    gold: Part = NOTHING
    repeats: Part = NOTHING
    left: Part = NOTHING
    longer: Part = NOTHING
    agreement: float | None = None
    overlap: int = 0
    surprise: Surprise = UNSURPRISING
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A rater with the tests' p-values (None below the minimum) and, by test, why this person is flagged."""

    rater: Rater
    left_p: float | None
    anomaly_p: float | None
    gold_p: float | None
    flags: Mapping[str, str] = field(default_factory=dict)


def clamped(value: float, bounds: tuple[float, float], what: str) -> tuple[float, str | None]:
    """The value within the bounds, and what to say where it was not."""
    low, high = bounds
    if value != value or not low <= value <= high:  # noqa: PLR0124  NaN
        kept = low if not value > low else high
        return kept, f"{what} lies between {low:g} and {high:g}; {kept:g} is used."
    return value, None


def judged(
    raters: Iterable[Rater], minimum: int = MINIMUM, false_discoveries: float = FALSE_DISCOVERIES
) -> list[Judged]:  # fmt: skip
    """Test everyone who said enough, and flag with Benjamini and Hochberg's rule (1995) over all tests of all of them.

    Raises InvalidInput for a threshold out of its bounds.
    """
    if clamped(minimum, BOUNDS_MINIMUM, "")[1] or clamped(false_discoveries, BOUNDS_FDR, "")[1]:
        raise InvalidInput("This threshold is out of its bounds.")
    found = []
    for rater in raters:
        left = two_sided(*rater.left) if rater.left.n >= minimum else None
        anomaly = fisher(rater.surprise) if rater.surprise.n >= minimum else None
        gold = at_most(*rater.gold, CARELESS) if rater.gold.n >= MINIMUM_GOLD else None
        found.append(Judged(rater, left, anomaly, gold))
    tests = [
        (i, name, p)
        for i, one in enumerate(found)
        for name, p in (("side", one.left_p), ("anomaly", one.anomaly_p), ("gold", one.gold_p))
        if p is not None
    ]
    kept = discoveries([p for *_, p in tests], false_discoveries)
    flags: dict[int, dict[str, str]] = {}
    for (i, name, p), hit in zip(tests, kept, strict=True):
        if hit:
            flags.setdefault(i, {})[name] = _why(name, found[i].rater, p)
    return [Judged(one.rater, one.left_p, one.anomaly_p, one.gold_p, flags.get(i, {})) for i, one in enumerate(found)]


MINIMUM_GOLD = 5


def _why(name: str, rater: Rater, p: float) -> str:
    shown = f"p {p:.1g}" if p >= 1e-9 else "p below 1e-9"
    if name == "side":
        return f"chose the left response in {rater.left.times} of {rater.left.n} ({shown})"
    if name == "gold":
        return f"answered {rater.gold.times} of {rater.gold.n} gold items as expected ({shown})"
    return f"rates unlike the others, by carelessness or by taste ({shown}, n {rater.surprise.n})"


def two_sided(times: int, n: int) -> float:
    """The exact two-sided p-value of `times` of `n` where half is expected."""
    tail = sum(exp(_log_choose(n, k) - n * log(2)) for k in range(min(times, n - times) + 1))
    return min(1.0, 2 * tail)


def at_most(times: int, n: int, share: float) -> float:
    """The probability of so few of `n` where `share` is expected."""
    return min(1.0, sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(times + 1)))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def fisher(surprise: Surprise) -> float:
    """Fisher's method (1925): the p-value of all of them together, -2 sum log p against chi-square with 2 n degrees."""
    half = -surprise.log_p  # half of the statistic
    if half <= 0:
        return 1.0
    # With an even number of degrees the tail is a Poisson sum: exp(-h) sum over k < n of h^k / k!.
    terms = [k * log(half) - lgamma(k + 1) - half for k in range(surprise.n)]
    most = max(terms)
    return min(1.0, exp(most) * sum(exp(term - most) for term in terms))


def discoveries(p_values: Sequence[float], rate: float) -> list[bool]:
    """Which hypotheses Benjamini and Hochberg's step-up rule rejects at this false discovery rate."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    passed = [rank for rank, i in enumerate(order, 1) if p_values[i] <= rate * rank / len(p_values)]
    rejected = set(order[: max(passed, default=0)])
    return [i in rejected for i in range(len(p_values))]


class Shared(NamedTuple):
    """A user's `n` answers of one value to units that others answered too; `differing` sums over them which share of
    the other answers to the same unit is not that value.
    """

    user: Hashable
    value: Hashable
    n: int
    differing: float


class Agreement(NamedTuple):
    """Krippendorff's nominal alpha over everyone, and of each user with the others on the units they share."""

    alpha: float | None
    units: int
    by_user: Mapping[Hashable, tuple[float, int]]


def agreement(shared: Sequence[Shared], units: int) -> Agreement:
    """Krippendorff's alpha (2011) for nominal values: 1 is perfect, 0 is chance. None where all answers are equal.

    That of a user compares the disagreement of their answers with each other answer to the same unit to what is
    expected from all answers at random.
    """
    counts: dict[Hashable, int] = {}
    mine: dict[Hashable, tuple[float, int]] = {}
    for part in shared:
        counts[part.value] = counts.get(part.value, 0) + part.n
        differing, n = mine.get(part.user, (0.0, 0))
        mine[part.user] = differing + part.differing, n + part.n
    total = sum(counts.values())
    expected = 1 - sum(c * (c - 1) for c in counts.values()) / (total * (total - 1)) if total > 1 else 0.0
    if not expected:
        return Agreement(None, units, {})
    observed = sum(differing for differing, _ in mine.values()) / total
    by_user = {user: (1 - differing / n / expected, n) for user, (differing, n) in mine.items()}
    return Agreement(1 - observed / expected, units, by_user)
