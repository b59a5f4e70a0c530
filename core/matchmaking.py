"""Which query and which two LLMs to show next, how probable that was, and who stands on which side.

A draw is a mixture: gold items with a known answer, own ratings asked again with their sides swapped, pairs drawn
uniformly, and pairs that would tell most about this person. Every choice is logged with its exact probability, and none
that may be drawn has probability 0, so that any evaluation can reweight to what uniform draws would have given.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from math import isfinite
from random import Random
from typing import Generic, TypeVar

from core.errors import InvalidInput

Reply = TypeVar("Reply", bound=Hashable)

UNIFORM = 0.15  # of all draws, where nothing else is said: kept as a test set without any selection
LEAST_UNIFORM = 0.1  # of all draws: bounds the weight of a reweighted rating at 10
REPEAT_APART = 20  # ratings between the two answers to one pair, lest the first is remembered


class Kind(StrEnum):
    """Why a pair was drawn. Only ratings of `UNIFORM` and `INFORMATION` say what a person likes; the others test it."""

    GOLD = "gold"
    REPEAT = "repeat"
    UNIFORM = "uniform"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Shares:
    """How often each kind is drawn; `information` is the rest. Raises InvalidInput where they are no such shares."""

    gold: float = 0.05
    repeat: float = 0.05
    uniform: float = UNIFORM

    def __post_init__(self) -> None:
        if not all(isfinite(share) and share >= 0 for share in (self.gold, self.repeat, self.uniform)):
            raise InvalidInput("Shares of gold, repeated and uniform pairs must be numbers from 0 up.")
        if self.uniform < LEAST_UNIFORM or self.gold + self.repeat + self.uniform > 1 + 1e-9:
            raise InvalidInput(
                f"At least {LEAST_UNIFORM:.0%} of the pairs must be drawn uniformly, and all shares make up 100 %."
            )

    @classmethod
    def testing(cls, gold: float, repeat: float) -> "Shares":
        """With these shares of gold and repeated pairs, lessened in proportion where they leave too few for others."""
        most = 1 - UNIFORM
        fitting = most / (gold + repeat) if gold + repeat > most else 1.0
        return cls(gold * fitting, repeat * fitting)

    def among(self, kinds: frozenset[Kind]) -> Mapping[Kind, float]:
        """The shares of the kinds that can be drawn now. What cannot goes to the informative ones, or else to the
        uniform ones: a gold item is not asked more often because there is nothing to repeat.
        """
        wanted = {Kind.GOLD: self.gold, Kind.REPEAT: self.repeat, Kind.UNIFORM: self.uniform}
        shares = {kind: share for kind, share in wanted.items() if kind in kinds and share}
        rest = Kind.INFORMATION if Kind.INFORMATION in kinds else Kind.UNIFORM
        shares[rest] = shares.get(rest, 0.0) + 1 - sum(shares.values())
        return {kind: share for kind, share in shares.items() if share > 0}


@dataclass(frozen=True, slots=True)
class Candidate(Generic[Reply]):
    """A response that may be shown: whatever names it, its LLM, and its words or a hash of them."""

    reply: Reply
    llm: Hashable
    words: str


@dataclass(frozen=True, slots=True)
class Suggestion(Generic[Reply]):
    """A pair worth asking, and how much so: it is drawn with a probability proportional to `weight` > 0."""

    first: Reply
    second: Reply
    weight: float


@dataclass(frozen=True, slots=True)
class Pool(Generic[Reply]):
    """What may be drawn for one person now.

    `queries` counts those not rated yet; `candidates(i)` gives the responses to the i-th of them, `beside(reply)` those
    to the query of a suggested reply; each is asked at most once a draw. Every suggestion is a pair that a uniform draw
    could give. `gold` and `repeats` are what names the items that may be asked.
    """

    queries: int
    candidates: Callable[[int], Sequence[Candidate[Reply]]]
    beside: Callable[[Reply], Sequence[Candidate[Reply]]] | None = None
    suggestions: Sequence[Suggestion[Reply]] = ()
    gold: Sequence[int] = ()
    repeats: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Draw(Generic[Reply]):
    """A pair not asked before. `probability` is that of this very pair by whatever way it could have come; `uniform`
    is what it would have been if all pairs were drawn uniformly, so that `uniform / probability` reweights its rating.
    """

    first: Candidate[Reply]
    second: Candidate[Reply]
    kind: Kind
    probability: float
    uniform: float


@dataclass(frozen=True, slots=True)
class Check:
    """A gold item or a repeat, by what names it."""

    kind: Kind
    item: int
    probability: float


Pair = tuple[Candidate[Reply], Candidate[Reply]]


def draw(pool: Pool[Reply], shares: Shares, rng: Random) -> Draw[Reply] | Check | None:
    """What to ask next. None where no query is left: then nothing is tested any more either.

    Raises ValueError for a query without two LLMs that differ: it should not be counted.
    """
    if not pool.queries:
        return None
    offered: dict[Kind, Sequence[object]] = {
        Kind.GOLD: pool.gold, Kind.REPEAT: pool.repeats, Kind.INFORMATION: pool.suggestions
    }  # fmt: skip
    among = shares.among(frozenset({Kind.UNIFORM, *(kind for kind, items in offered.items() if items)}))
    kind = rng.choices(list(among), list(among.values()))[0]
    if kind in (Kind.GOLD, Kind.REPEAT):
        items = pool.gold if kind == Kind.GOLD else pool.repeats
        return Check(kind, rng.choice(items), among[kind] / len(items))
    if kind == Kind.INFORMATION and pool.beside is not None:
        chosen = rng.choices(pool.suggestions, [suggestion.weight for suggestion in pool.suggestions])[0]
        pairs = _differing(pool.beside(chosen.first))
        replies = {chosen.first, chosen.second}
        found = [pair for shown in pairs.values() for pair in shown if {pair[0].reply, pair[1].reply} == replies]
        first, second = found[0]
    else:
        pairs = _differing(pool.candidates(rng.randrange(pool.queries)))
        first, second = rng.choice(rng.choice(list(pairs.values())))
    uniform = 1 / (pool.queries * len(pairs) * len(pairs[frozenset((first.llm, second.llm))]))
    suggested = _share_suggested(pool.suggestions, first.reply, second.reply)
    probability = among.get(Kind.UNIFORM, 0.0) * uniform + among.get(Kind.INFORMATION, 0.0) * suggested
    return Draw(first, second, kind, probability, uniform)


def _share_suggested(suggestions: Sequence[Suggestion[Reply]], first: Reply, second: Reply) -> float:
    total = sum(suggestion.weight for suggestion in suggestions)
    return sum(s.weight for s in suggestions if {s.first, s.second} == {first, second}) / total if total else 0.0


def _differing(candidates: Sequence[Candidate[Reply]]) -> Mapping[frozenset[Hashable], Sequence[Pair[Reply]]]:
    pairs = differing_pairs(candidates)
    if not pairs:
        raise ValueError("A query was offered of which no two LLMs have differing responses.")
    return pairs


def differing_pairs(candidates: Sequence[Candidate[Reply]]) -> Mapping[frozenset[Hashable], Sequence[Pair[Reply]]]:
    """Of each unordered pair of LLMs the pairs of responses with differing words; LLMs without any are left out."""
    pairs: dict[frozenset[Hashable], list[Pair[Reply]]] = {}
    for one, other in combinations(candidates, 2):
        if one.llm != other.llm and one.words != other.words:
            pairs.setdefault(frozenset((one.llm, other.llm)), []).append((one, other))
    return pairs


def balanced_sides(times_left_first: int, times_left_second: int, rng: Random) -> bool:
    """Whether the first of a pair goes to the left, side A: it does when it was there less often; equal counts toss."""
    if times_left_first == times_left_second:
        return rng.random() < 0.5
    return times_left_first < times_left_second
