from collections import Counter
from random import Random

import pytest

from core.matchmaking import Candidate, balanced_sides, differing_pairs, draw_pair

THREE = [Candidate(i, llm, words) for i, (llm, words) in enumerate([("x", "1"), ("y", "2"), ("z", "3")])]


def test_every_query_and_every_pair_is_drawn_equally_often():
    rng = Random(0)
    asked: list[int] = []
    drawn: Counter[object] = Counter()

    def answers(i):
        asked.append(i)
        return THREE

    for _ in range(6000):
        draw = draw_pair(4, answers, rng)
        assert draw is not None
        assert draw.probability == pytest.approx(1 / 12)
        drawn[asked[-1], frozenset((draw.first.llm, draw.second.llm))] += 1
    assert len(drawn) == 12
    assert all(abs(count - 500) < 5 * 500**0.5 for count in drawn.values())


def test_probabilities_of_all_draws_of_one_query_sum_to_one():
    several = [*THREE, Candidate(3, "x", "other")]
    seen = {}
    for seed in range(300):
        draw = draw_pair(1, lambda _: several, Random(seed))
        assert draw is not None
        seen[frozenset((draw.first.reply, draw.second.reply))] = draw.probability
    assert sum(seen.values()) == pytest.approx(1)


def test_no_query_no_draw():
    assert draw_pair(0, lambda _: THREE, Random(0)) is None


def test_a_query_without_a_pair_should_not_have_been_counted():
    with pytest.raises(ValueError, match="no two LLMs"):
        draw_pair(1, lambda _: THREE[:1], Random(0))


def test_pairs_are_of_two_llms_with_two_texts():
    same = [Candidate(0, "x", "1"), Candidate(1, "x", "2"), Candidate(2, "y", "1")]
    pairs = differing_pairs(same)
    assert list(pairs) == [frozenset(("x", "y"))]
    assert [(a.reply, b.reply) for a, b in pairs[frozenset(("x", "y"))]] == [(1, 2)]


def test_the_one_less_often_on_the_left_goes_left():
    rng = Random(0)
    assert all(balanced_sides(1, 2, rng) and not balanced_sides(2, 1, rng) for _ in range(20))
    assert 400 < sum(balanced_sides(3, 3, rng) for _ in range(1000)) < 600
