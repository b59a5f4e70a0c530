from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from benchmarks.matchmaking import Plan, interview, matchmaking, saved
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

    def predict_draws(self, _user, asked, history, n, _seed):
        """What is open is one LLM, everywhere the same; which one follows from the answers so far."""
        scores = np.zeros((n, len(asked), 4)) - np.array([0.0, 0.5, 1.0, 1.5])
        scores[..., int(history.label.sum()) % 4] += np.random.default_rng(0).standard_normal(n)[:, None]
        return np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)


def test_no_pair_is_asked_twice_and_the_informed_rule_asks_where_something_is_open():
    two = two_camps(users=2, ratings=40)
    own = two.of_user(two.users[1])
    *_, before, last = interview(Sure(), own, len(own), Random(0), informed=True)  # type: ignore[arg-type]
    assert sorted(last.ids) == sorted(own.ids)
    np.testing.assert_array_equal(last.ids[:-1], before.ids)
    open_first = {}
    for informed in (False, True):
        first = [list(interview(Sure(), own, 1, Random(i), informed=informed))[1] for i in range(60)]  # type: ignore[arg-type]
        open_first[informed] = np.mean([0 in (said.llm_a[0], said.llm_b[0]) for said in first])
    assert open_first[False] < 0.7
    assert 0.8 < open_first[True] < 1  # some are drawn uniformly even so


def test_a_pair_is_chosen_from_the_answers_before_it_and_not_from_its_own():
    own = two_camps(users=1, ratings=40)
    *_, asked = interview(Sure(), own, 20, Random(3), informed=True)  # type: ignore[arg-type]
    for known in (5, 10, 15):
        turned = replace(own, outcome=np.where(np.isin(own.ids, asked.ids[:known]), own.outcome, 1 - own.outcome))
        *_, other = interview(Sure(), turned, 20, Random(3), informed=True)  # type: ignore[arg-type]
        np.testing.assert_array_equal(other.ids[: known + 1], asked.ids[: known + 1])
        assert (other.ids != asked.ids).any()


def test_wrong_sizes_are_refused():
    with pytest.raises(InvalidInput, match="from 1 to 200"):
        matchmaking(Plan(Path("nowhere"), 10, 50, 500, 1, "gat"), None)
