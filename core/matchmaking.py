"""Which query and which two LLMs to show next, how probable that was, and who stands on which side."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Generic, TypeVar

Reply = TypeVar("Reply", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Candidate(Generic[Reply]):
    """A response that may be shown: whatever names it, its LLM, and its words or a hash of them."""

    reply: Reply
    llm: Hashable
    words: str


@dataclass(frozen=True, slots=True)
class Draw(Generic[Reply]):
    """What was drawn. `probability` is that of this very pair, so that an evaluation may reweight by it."""

    first: Candidate[Reply]
    second: Candidate[Reply]
    reason: str
    probability: float


Pair = tuple[Candidate[Reply], Candidate[Reply]]


def draw_pair(queries: int, candidates: Callable[[int], Sequence[Candidate[Reply]]], rng: Random) -> Draw[Reply] | None:
    """Uniform over the queries, then over the pairs of LLMs of that query, then over their differing responses.

    `queries` is how many may be drawn; `candidates(i)` gives the responses to the i-th of them and is asked once. None
    where there is no query. Raises ValueError for a query without two LLMs that differ: it should not be counted.
    """
    if not queries:
        return None
    pairs = differing_pairs(candidates(rng.randrange(queries)))
    if not pairs:
        raise ValueError("A query was offered of which no two LLMs have differing responses.")
    shown = rng.choice(list(pairs.values()))
    first, second = rng.choice(shown)
    return Draw(first, second, "uniform", 1 / (queries * len(pairs) * len(shown)))


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
