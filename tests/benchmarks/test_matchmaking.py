from pathlib import Path
from random import Random

import numpy as np
import pytest

from benchmarks.matchmaking import Plan, matchmaking, next_asked, saved
from core.errors import InvalidInput
from tests.planted import two_camps


def test_a_curve_that_rises_twice_as_fast_needs_half_the_ratings():
    steps = np.arange(51)
    random, ours = (np.tile(np.minimum(0.3 + rate * steps, 0.5), (20, 1)) for rate in (0.004, 0.008))
    found = saved(random, ours, 50)
    assert found.accuracy == pytest.approx(0.5)
    assert found.needed.value == pytest.approx(25)
    assert found.fewer.value == pytest.approx(0.5)
    assert found.fewer.low == pytest.approx(found.fewer.high)


def test_a_rule_that_never_gets_there_saves_nothing():
    random = np.tile(np.linspace(0.3, 0.5, 21), (5, 1))
    found = saved(random, np.full((5, 21), 0.3), 20)
    assert found.needed.value == 21
    assert found.fewer.value < 0


class Sure:
    llms = tuple(llm.llm_id for llm in two_camps(users=1, ratings=1).llms)

    def predict_draws(self, _user, asked, _history, n, _seed):
        """The margin of the first LLM over the others is open for the first query asked about, and nothing else."""
        scores = np.zeros((n, len(asked), 4))
        scores[:, 0, 0] = np.random.default_rng(0).standard_normal(n)
        scores -= np.array([0.0, 0.5, 1.0, 1.5])
        return np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)


def test_no_pair_is_asked_twice_and_the_informed_rule_asks_where_something_is_open():
    own = two_camps(users=1, ratings=12)
    rng = Random(0)
    asked: list[int] = []
    for _ in range(len(own)):
        asked.append(next_asked(Sure(), own, asked, rng, informed=True))  # type: ignore[arg-type]
    assert sorted(asked) == list(range(len(own)))


def test_wrong_sizes_are_refused():
    with pytest.raises(InvalidInput, match="from 1 to 200"):
        matchmaking(Plan(Path("nowhere"), 10, 50, 500, 1, "gat"), None)
