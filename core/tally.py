"""Ratings counted by what they have in common: what a leaderboard needs to know of 200,000 of them in a few cells."""

from dataclasses import dataclass, replace
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
# Whether a rating counts, and if not why; the index is what `Tally.standing` holds.
STANDINGS = (
    "", "by people who are excluded (see Rating quality)", "answers to gold items", "second answers to the same pair",
)  # fmt: skip
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
    """How many ratings do not count, and why, in words for the screen."""

    reason: str
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
    B's is, 0 where equal or unknown; `standing` [C] indexes `STANDINGS`; `count`, `weight`, `weight_squared` [C] sum
    over the ratings of a cell. `style` [C, K] holds the raw counts of A then of B (2 K columns) where texts were read,
    NaN where they are unknown.
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
        style = None if self.style is None else self.style[mask]
        return replace(self, style=style, **{name: getattr(self, name)[mask] for name in names})

    def total(self, mask: Mask) -> int:
        """Ratings in the cells of a mask [C]."""
        return int(self.count[mask].sum())

    def counted(self, outcome: Outcome) -> int:
        """Ratings with this outcome."""
        return self.total(self.outcome == OUTCOMES.index(outcome))


def choose(
    tally: Tally, task: str | None = None, *, simulated: bool = True, known_style: bool = False
) -> tuple[Tally, Inclusion]:
    """The ratings that count for one task (None: all), with or without simulated users, and why the others do not."""
    wanted = tally.tasks.index(task) if task in tally.tasks else -2
    conditions = [
        ("taken back by the person who gave them", tally.outcome == WITHDRAWN),
        *((STANDINGS[standing], tally.standing == standing) for standing in (EXCLUDED, GOLD, REPEAT)),
        ("about other tasks", np.zeros(len(tally.task), bool) if task is None else tally.task != wanted),
        ("given by simulated users", tally.simulated if not simulated else np.zeros(len(tally.task), bool)),
        ("without the words of both responses, so of unknown length and format", _unknown(tally, known_style)),
    ]
    kept, left_out = np.ones(len(tally.count), bool), []
    for reason, condition in conditions:
        if ratings := tally.total(kept & condition):
            left_out.append(LeftOut(reason, ratings))
        kept &= ~condition
    chosen = tally.where(kept)
    return chosen, Inclusion(chosen.ratings, tally.ratings, tuple(left_out))


def _unknown(tally: Tally, asked: bool) -> Mask:
    if not asked:
        return np.zeros(len(tally.count), bool)
    if tally.style is None:
        return np.ones(len(tally.count), bool)
    return np.asarray(np.isnan(tally.style).any(axis=1))
