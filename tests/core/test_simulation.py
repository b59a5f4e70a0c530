"""Simulated worlds: marked as such, the same for the same seed, and true to the truth they state."""

import numpy as np
import pytest

from core.domain import LLM, LLMId, Outcome, Query, QueryId, Response
from core.errors import InvalidInput
from core.simulation import (
    Habits,
    Persona,
    SimulatedWorld,
    judged_by_personas,
    multi_cost_efficiency,
    noise_for,
    per_task,
    planted_tastes,
)
from core.traits import PERSONAS, TRAITS, judge_by_traits, traits

QUERIES = tuple(Query(QueryId(f"q{i}"), (f"question {i}",), ("easy", "hard")[i % 2]) for i in range(12))
LLMS = tuple(LLM(LLMId(f"llm-{i}"), output_price=10.0**i) for i in range(4))
WORDS = (
    "No.",
    "**Bold** and\n- a list\n- of things",
    "# Head\nI hope you feel happy!",
    "The consideration, however, may be considerable.",
)
RESPONSES = tuple(
    Response(q.query_id, m.llm_id, (words,)) for q in QUERIES for m, words in zip(LLMS, WORDS, strict=True)
)


def cost_world(seed: int = 0, **habits) -> SimulatedWorld:
    random = np.random.default_rng(5)
    effect, cost = random.random((12, 4)), random.random((12, 4)) * np.array([1, 2, 3, 4])
    return multi_cost_efficiency(QUERIES, LLMS, effect, cost, users=9, habits=Habits(**habits), seed=seed)


def judged(seed: int = 0) -> SimulatedWorld:
    return judged_by_personas(QUERIES, LLMS, RESPONSES, PERSONAS, judge_by_traits, users_each=2, seed=seed)


def tastes(seed: int = 0) -> SimulatedWorld:
    return planted_tastes(QUERIES, LLMS, users=40, seed=seed)


@pytest.mark.parametrize("make", [cost_world, judged, tastes])
def test_the_same_seed_gives_the_same_world_and_another_another(make):
    one, same, other = make(3), make(3), make(4)
    assert one.dataset.fingerprint() == same.dataset.fingerprint() != other.dataset.fingerprint()
    assert np.array_equal(one.best, same.best)


@pytest.mark.parametrize("make", [cost_world, judged, tastes])
def test_users_say_that_they_are_simulated(make):
    world = make()
    assert all(u.simulated and u.user_id.startswith("simulated-") for u in world.users)
    assert world.dataset.users == tuple(u.user_id for u in world.users)
    assert (np.bincount(world.dataset.user) == 50).all()
    said = list(world.comparisons())
    assert len({c.key for c in said}) == len(said) == len(world.dataset)
    assert {c.user_id for c in said} == set(world.dataset.users)
    assert all(c.llm_a != c.llm_b for c in said)


def test_without_noise_every_clear_rating_agrees_with_the_truth():
    world = cost_world()
    data, utility = world.dataset, world.truth.utility()
    gap = utility[data.user, data.query, data.llm_a] - utility[data.user, data.query, data.llm_b]
    clear = data.label != 0.5
    assert ((gap > 0) == (data.label == 1))[clear].all()
    assert np.abs(gap[~clear]).max() < np.abs(gap[clear]).mean()
    assert (world.best == utility.argmax(axis=-1)).all()


def test_the_reward_is_the_papers():
    world = cost_world()
    effect, cost = world.truth.features[..., 0], world.truth.features[..., 1]
    utility = world.truth.utility()
    assert np.allclose(utility[0], 0.2 * effect - 0.8 * cost)
    assert np.allclose(utility[4], 0.6 * effect - 0.4 * cost)
    assert np.allclose(utility[8], effect)
    for task in range(2):
        assert (cost[task::2].min(), cost[task::2].max()) == (0, 1)


def test_a_task_without_spread_of_cost_costs_nothing():
    assert (per_task(QUERIES, np.full((12, 4), 7.0)) == 0).all()


def test_outcomes_come_in_the_shares_asked_for():
    world = planted_tastes(QUERIES, LLMS, users=60, habits=Habits(pairs=200, ties=(0.2, 0.2), both_bad=(0.05, 0.05)))
    share = np.bincount(world.dataset.outcome, minlength=4) / len(world.dataset)
    assert share[2] == pytest.approx(0.2, abs=0.02)
    assert share[3] == pytest.approx(0.05, abs=0.02)
    assert share[0] == pytest.approx(share[1], abs=0.03)
    world = planted_tastes(QUERIES, LLMS, users=5, habits=Habits(ties=(0, 0), both_bad=(0, 0)))
    assert set(map(world.dataset.outcome_of, range(len(world.dataset)))) <= {Outcome.A, Outcome.B}


def test_each_goes_through_all_queries_before_one_returns():
    data = tastes().dataset
    for user in range(3):
        query = data.query[data.user == user]
        assert all(sorted(query[i : i + 12]) == list(range(12)) for i in (0, 12, 24, 36))


def test_planted_noise_hides_a_fifth_of_the_best_and_people_differ():
    queries = tuple(Query(QueryId(f"q{i}"), (f"text {i}",), str(i % 4)) for i in range(60))
    llms = tuple(LLM(LLMId(f"m{i}"), output_price=float(i)) for i in range(10))
    world = planted_tastes(queries, llms, users=80, seed=2)
    favourite = world.truth.utility().argmax(axis=-1)
    assert (favourite == world.best).mean() == pytest.approx(0.8, abs=0.02)
    assert (favourite[:40] == favourite[40:]).mean() < 0.4  # two people seldom have the same best
    assert noise_for(np.eye(3), 0.5) > noise_for(np.eye(3), 0.1)


def test_a_judge_of_ones_own_is_asked_blind_and_obeyed():
    seen = []

    def shortest(persona: Persona, query: Query, answers):
        seen.append((persona.name, query.query_id))
        assert "llm-" not in " ".join(answers)
        return -np.array([len(text) for text in answers], float)

    world = judged_by_personas(QUERIES, LLMS, RESPONSES, PERSONAS[:2], shortest, users_each=3)
    assert (world.truth.utility().argmax(axis=-1) == 0).all()
    assert len(world.users) == 6
    assert len(seen) == len(set(seen)) == 24


def test_opposed_personas_choose_differently():
    world = judged()
    by_name = dict(
        zip([p.name for p in PERSONAS for _ in range(2)], world.truth.utility().argmax(axis=-1), strict=True)
    )
    assert (by_name["straight to the result"] == 0).all()
    assert (by_name["step by step"] == 1).all()
    assert (by_name["warm"] == 2).all()


def test_a_missing_response_is_named():
    with pytest.raises(InvalidInput, match=r"'llm-3' to the query 'q11'"):
        judged_by_personas(QUERIES, LLMS, RESPONSES[:-1], PERSONAS, judge_by_traits)


def test_one_llm_or_no_query_is_no_world():
    for queries, llms in ((QUERIES, LLMS[:1]), ((), LLMS)):
        with pytest.raises(InvalidInput, match="two LLMs and one query"):
            planted_tastes(queries, llms, users=2)


def test_traits_count_what_they_name():
    found = dict(zip(TRAITS, traits("## Title\n\n1. **one** thing\n- two `x`\n\nYou may love 3!"), strict=True))
    assert [round(np.expm1(found[name])) for name in ("lists", "headers", "bold", "code")] == [2, 1, 1, 1]
    assert found["numbers"] > 0 < found["warmth"]
    assert found["hedging"] > 0
    assert np.isfinite(traits("")).all()


def test_words_of_a_tone_count_as_words_and_not_within_others() -> None:
    found = dict(zip(TRAITS, traits("You, YOUR yours; let's outlet's thankful! Perhaps seems however."), strict=True))
    words = 11  # "let's" and "outlet's" are two each
    assert found["warmth"] == pytest.approx(10 * 4 / words)
    assert found["hedging"] == pytest.approx(10 * 3 / words)
