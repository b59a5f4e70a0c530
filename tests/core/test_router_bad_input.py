"""Thin, lopsided and broken data: every router answers in finite probabilities, or says what is missing, and nothing
else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import LLM, Comparison, Outcome, Query, QueryId, UserId
from core.encoders import TextEncoder, Vectors
from core.errors import InvalidInput, NotEnoughData
from core.routers import ROUTERS, router_class
from tests.planted import LLMS, HashEncoder, comparison, queries
from tests.short_descents import shorten_descents

ASKED = queries(30)
HELD_OUT = set(range(20, 30))
USERS = ("ann", "ben", "cat")
A, B, TIE = Outcome.A, Outcome.B, Outcome.TIE


class BrokenEncoder(HashEncoder):
    """One entry of the vectors of some texts is not finite."""

    def __init__(self, text: str, value: float = np.nan) -> None:
        super().__init__()
        self.text, self.value = text, value

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = super().encode(texts)
        vectors[[self.text in text for text in texts], 5] = self.value
        return vectors


@dataclass
class World:
    """Ratings by (user, number of the query, LLM a, LLM b, outcome); queries from 20 up are held out for validation.
    With `choices`, all that one user said of one query is one choice.
    """

    said: Iterable[tuple[str, int, int, int, Outcome]]
    choices: bool = False
    llms: tuple[LLM, ...] = LLMS
    asked: tuple[Query, ...] = ASKED
    encoder: TextEncoder = field(default_factory=HashEncoder)

    def parts(self) -> tuple[PreferenceDataset, PreferenceDataset]:
        """Train and validation part."""
        given: list[Comparison] = [
            replace(
                comparison(user, self.asked[q], self.llms[a], self.llms[b], outcome, str(i)),
                choice=f"{user}-{q}" if self.choices else "",
            )
            for i, (user, q, a, b, outcome) in enumerate(self.said)
        ]
        ratings = PreferenceDataset.from_comparisons(given, self.asked, self.llms, map(UserId, USERS))
        held_out = np.isin(ratings.query, list(HELD_OUT))
        return ratings.where(~held_out), ratings.where(held_out)


def everyone(
    *pairs: tuple[int, int, Outcome], users: Sequence[str] = USERS, numbers: Iterable[int] = range(len(ASKED))
) -> list[tuple[str, int, int, int, Outcome]]:
    """Every user rates every query, going round the pairs."""
    return [(user, q, *pairs[(q + u) % len(pairs)]) for u, user in enumerate(users) for q in numbers]


def best(*llms: int, numbers: Iterable[int] = range(len(ASKED))) -> list[tuple[str, int, int, int, Outcome]]:
    """Every user says of every query which of all LLMs is best, going round `llms`."""
    return [
        (user, q, winner := llms[(q + u) % len(llms)], (winner + away) % len(LLMS), A)
        for u, user in enumerate(USERS)
        for q in numbers
        for away in range(1, len(LLMS))
    ]


ROUND = ((0, 1, A), (2, 3, B), (1, 2, A), (3, 0, B), (0, 2, A), (1, 3, TIE))
WORLDS = {
    "no rating": World([]),
    "one rating": World([("ann", 0, 0, 1, A)]),
    "one rating on each side of the split": World([("ann", 0, 0, 1, A), ("ann", 25, 0, 1, A)]),
    "one user": World(everyone(*ROUND, users=("ann",))),
    "one LLM": World([], llms=LLMS[:1]),
    "two LLMs": World(everyone((0, 1, A), (1, 0, A), (0, 1, A)), llms=LLMS[:2]),
    "one query": World([("ann", 0, 0, 1, A), ("ben", 0, 1, 2, A), ("ann", 20, 0, 1, A)]),
    "all ties": World(everyone((0, 1, TIE), (2, 3, Outcome.BOTH_BAD), (1, 2, TIE), (0, 3, TIE))),
    "an LLM never rated": World(everyone((0, 1, A), (1, 2, A), (2, 0, B))),
    "always the left side": World(everyone((0, 1, A), (1, 0, A), (2, 3, A), (1, 2, A))),
    "an LLM that always wins": World(everyone((0, 1, A), (0, 2, A), (3, 0, B))),
    "contradictions": World([*everyone((0, 1, A), (2, 3, A)), *everyone((0, 1, B), (2, 3, B))]),
    "disconnected LLMs": World(everyone((0, 1, A), (2, 3, A))),
    "queries of the same words": World(
        everyone(*ROUND), asked=tuple(Query(QueryId(f"d{i}"), ("the same words",), "code") for i in range(30))
    ),
    "no task": World(everyone(*ROUND), asked=tuple(replace(query, task="") for query in ASKED)),
    "ties of two LLMs": World(everyone((0, 1, TIE), (1, 0, Outcome.BOTH_BAD)), llms=LLMS[:2]),
    "no validation": World(everyone(*ROUND, numbers=range(20))),
    "validation alone": World(everyone(*ROUND, numbers=range(20, 30))),
    "other people and other LLMs in validation": World([
        *everyone((0, 1, A), users=("ann",), numbers=range(20)),
        *everyone((2, 3, B), users=("ben",), numbers=range(20, 30)),
    ]),
    "the same choice again and again": World(best(0), choices=True),
    "one choice on each side of the split": World(best(1, numbers=(0, 25))[:6], choices=True),
    "choices that contradict each other": World([*best(0), *best(3)], choices=True),
    "choices without a winner": World([(u, q, 0, b, TIE) for u, q, _, b, _ in best(0)], choices=True),
    "not a number in a query": World(everyone(*ROUND), encoder=BrokenEncoder("number1")),
    "infinity in a held-out query": World(everyone(*ROUND), encoder=BrokenEncoder("number25", np.inf)),
    "not a number in an LLM's description": World(everyone(*ROUND), encoder=BrokenEncoder("funny")),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _short_descents(monkeypatch):
    """Whether an answer is finite shows after a few steps; how good it is, the contract suite asks."""
    shorten_descents(monkeypatch)


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("kind", ROUTERS)
def test_finite_probabilities_or_a_clear_word(kind, name):
    world = WORLDS[name]
    train, validation = world.parts()
    word, told = "", []
    try:
        router = router_class(kind).fit(train, validation, world.encoder, seed=0)
        told = [
            router.predict_proba(UserId(user), [*world.asked[:3], Query(QueryId("new"), ("quite new",))], history)
            for user in (*USERS, "stranger")
            for history in (train, None)
        ]
    except (NotEnoughData, InvalidInput) as error:
        word = str(error)
    if word:
        assert len(word) > 30  # says what is missing or wrong
        assert name in {
            "no rating", "one rating", "one LLM", "no validation", "validation alone", "not a number in a query",
            "infinity in a held-out query", "not a number in an LLM's description",
        }  # fmt: skip
        return
    probability = np.stack(told)
    assert probability.shape[1:] == (4, len(world.llms))
    assert np.isfinite(probability).all()
    np.testing.assert_allclose(probability.sum(-1), 1)
