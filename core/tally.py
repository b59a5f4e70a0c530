"""Ratings counted by what they have in common: what a leaderboard needs to know of 200,000 of them in a few cells."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from math import sqrt
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from core.domain import LLM, OUTCOMES, Outcome
from core.errors import InvalidInput

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

WITHDRAWN = -1  # the outcome of a rating that its author took back


class Why(StrEnum):
    """Why a rating does not count, in words for the screen."""

    TAKEN_BACK = "taken back by the person who gave them"
    EXCLUDED = "by people who are excluded (see Rating quality)"
    GOLD = "answers to gold items"
    REPEAT = "second answers to the same pair"
    DAYS = "given on other days, or on a day that is not known"
    GROUP = "of other campaigns and files"
    USE = "by people who mostly use LLMs for something else, or did not say"
    TASK = "about other tasks"
    SIMULATED = "given by simulated users"
    SAMPLE = "not in the even sample whose words are read"
    STYLE = "without the words of both responses, so of unknown length and format"


# Whether a rating counts by itself, and if not why; the index is what `Tally.standing` holds.
STANDINGS = (None, Why.EXCLUDED, Why.GOLD, Why.REPEAT)
EXCLUDED, GOLD, REPEAT = 1, 2, 3
LABELS = np.array([outcome.label for outcome in OUTCOMES])
NORMAL_95 = 1.959963984540054


class Share(NamedTuple):
    """A share of `n` ratings with its 95 % interval (Wilson's, which stays within 0 and 1)."""

    value: float
    low: float
    high: float
    n: int


def share(part: int, n: int) -> Share | None:
    """`part` of `n`; None of nothing."""
    if n == 0:
        return None
    p, z = part / n, NORMAL_95
    centre, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Share(p, min(p, max(0.0, (centre - half) / scale)), max(p, min(1.0, (centre + half) / scale)), n)


class LeftOut(NamedTuple):
    """How many ratings do not count, and why."""

    reason: Why
    ratings: int


class Inclusion(NamedTuple):
    """Which of all ratings ever given count here. `left_out` adds up to what is missing; each rating has one reason."""

    included: int
    total: int
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, eq=False)
class Tally:
    """C cells of equal ratings over L LLMs and their tasks.

    `llm_a`, `llm_b`, `task` [C] are row numbers (task -1 where the query has none); `outcome` [C] indexes `OUTCOMES` or
    is `WITHDRAWN`; `simulated` [C] says who rated; `longer` [C] is 1 where A's response is the longer one, -1 where
    B's is, 0 where equal or unknown; `standing` [C] indexes `STANDINGS`; `group` [C] is the campaign or file they came
    from, by its place in `groups`; `use` [C] what its raters mostly use LLMs for, by its place in `uses`, -1 where they
    did not say; `dated` [C] says whether they were given in the days asked for; `count`, `weight`, `weight_squared` [C]
    sum over the ratings of a cell. `style` [C, K] holds the raw counts of A then of B (2 K columns) where texts were
    read, NaN where they are unknown. `unread` ratings more were left out of an even sample.
    """

    llms: tuple[LLM, ...]
    tasks: tuple[str, ...]
    llm_a: Ints
    llm_b: Ints
    outcome: Ints
    task: Ints
    simulated: Mask
    longer: Ints
    standing: Ints
    count: Ints
    weight: Floats
    weight_squared: Floats
    style: Floats | None = None
    groups: tuple[str, ...] = ()
    group: Ints | None = None
    uses: tuple[str, ...] = ()
    use: Ints | None = None
    dated: Mask | None = None
    unread: int = 0

    def __post_init__(self) -> None:
        for name in ("llm_a", "llm_b"):
            column = getattr(self, name)
            if len(column) and not (column.min() >= 0 and column.max() < len(self.llms)):
                raise InvalidInput(f"Tally: column '{name}' names an LLM that is not there.")

    @classmethod
    def of(cls, llms: tuple[LLM, ...], cells: Ints, tasks: tuple[str, ...] = ()) -> Self:
        """From rows (llm_a, llm_b, outcome, count): people's ratings of equal weight and unknown length."""
        llm_a, llm_b, outcome, count = np.asarray(cells, np.int64).reshape(-1, 4).T
        none = np.zeros(len(count), np.int64)
        return cls(
            llms, tasks, llm_a, llm_b, outcome, none - 1, none.astype(bool), none, none,
            count, count.astype(float), count.astype(float),
        )  # fmt: skip

    @property
    def ratings(self) -> int:
        """How many ratings are counted."""
        return int(self.count.sum())

    def where(self, mask: Mask) -> Self:
        """The cells of a mask [C], over the same LLMs and tasks."""
        names = (
            "llm_a",
            "llm_b",
            "outcome",
            "task",
            "simulated",
            "longer",
            "standing",
            "count",
            "weight",
            "weight_squared",
        )
        known = [name for name in ("style", "group", "use", "dated") if getattr(self, name) is not None]
        return replace(self, **{name: getattr(self, name)[mask] for name in (*names, *known)})

    def total(self, mask: Mask) -> int:
        """Ratings in the cells of a mask [C]."""
        return int(self.count[mask].sum())

    def counted(self, outcome: Outcome) -> int:
        """Ratings with this outcome."""
        return self.total(self.outcome == OUTCOMES.index(outcome))


def choose(
    tally: Tally,
    task: str | None = None,
    *,
    group: str | None = None,
    use: str | None = None,
    simulated: bool = True,
    also: Collection[Why] = (),
    known_style: bool = False,
) -> tuple[Tally, Inclusion]:
    """The ratings that count for one task, of one campaign or file and of people of one use (None: all), in the days
    that the tally was asked for, with or without simulated users, and why the others do not. Those that are `also`
    wanted count too, though by their standing they would not.
    """
    none = np.zeros(len(tally.count), bool)
    conditions = [
        (Why.TAKEN_BACK, tally.outcome == WITHDRAWN),
        *((why, tally.standing == n if why not in also else none) for n, why in enumerate(STANDINGS) if why),
        (Why.DAYS, none if tally.dated is None else ~tally.dated),
        (Why.GROUP, none if group is None else _not_of(tally.group, tally.groups, group, none)),
        (Why.USE, none if use is None else _not_of(tally.use, tally.uses, use, none)),
        (Why.TASK, none if task is None else _not_of(tally.task, tally.tasks, task, none)),
        (Why.SIMULATED, none if simulated else tally.simulated),
        (Why.STYLE, _unknown(tally) if known_style else none),
    ]
    kept, left_out = ~none, []
    if tally.unread:
        left_out.append(LeftOut(Why.SAMPLE, tally.unread))
    for reason, condition in conditions:
        if ratings := tally.total(kept & condition):
            left_out.append(LeftOut(reason, ratings))
        kept &= ~condition
    chosen = tally.where(kept)
    return chosen, Inclusion(chosen.ratings, tally.ratings + tally.unread, tuple(left_out))


def _not_of(column: Ints | None, names: tuple[str, ...], wanted: str, none: Mask) -> Mask:
    """The cells that are not of this name; all, where there is none of it."""
    return ~none if column is None or wanted not in names else column != names.index(wanted)


def _unknown(tally: Tally) -> Mask:
    if tally.style is None:
        return np.ones(len(tally.count), bool)
    return np.asarray(np.isnan(tally.style).any(axis=1))
