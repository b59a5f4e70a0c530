from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.matchmaking import (
    Candidate,
    Check,
    Draw,
    Kind,
    Pool,
    Shares,
    Suggestion,
    balanced_sides,
    differing_pairs,
    draw,
)

THREE = [Candidate(i, llm, words) for i, (llm, words) in enumerate([("x", "1"), ("y", "2"), ("z", "3")])]
UNIFORM = Shares(gold=0, repeat=0, uniform=1)


def pool_of(queries, suggestions=(), gold=(), repeats=()):
    """Every query is answered by the LLMs in its list; a reply is (query, place)."""
    answers = [
        [Candidate((q, i), llm, f"{q}-{i}") for i, llm in enumerate(llms)] for q, llms in enumerate(queries)
    ]  # fmt: skip
    asked = [Suggestion((q, 0), (q, i), weight) for q, i, weight in suggestions]
    return Pool(len(answers), answers.__getitem__, lambda reply: answers[reply[0]], asked, gold, repeats)


def drawn_from(pool, shares, rng):
    drawn = draw(pool, shares, rng)
    assert drawn is not None
    return drawn


def choice(drawn):
    """What was drawn, whichever side came first."""
    if isinstance(drawn, Check):
        return drawn.kind, drawn.item
    return frozenset((drawn.first.reply, drawn.second.reply))


@st.composite
def pools(draw_from):
    queries = draw_from(st.lists(st.lists(st.sampled_from("xyz"), min_size=3, max_size=3).map(
        lambda llms: ["w", "x", *llms[:1]]), min_size=1, max_size=3))  # fmt: skip
    weight = st.floats(0.2, 3)
    suggestions = draw_from(st.lists(
        st.tuples(st.integers(0, len(queries) - 1), st.just(1), weight), max_size=3))  # fmt: skip
    gold = tuple(range(draw_from(st.integers(0, 2))))
    repeats = tuple(range(draw_from(st.integers(0, 2))))
    return pool_of(queries, suggestions, gold, repeats)


@given(pools(), st.builds(Shares, st.floats(0.05, 0.2), st.floats(0.05, 0.2), st.floats(0.1, 0.5)))
def test_probabilities_of_all_that_may_be_drawn_are_positive_and_sum_to_one(pool, shares):
    rng = Random(0)
    seen: dict[object, float] = {}
    for _ in range(1500):
        drawn = drawn_from(pool, shares, rng)
        assert drawn.probability > 0
        assert seen.setdefault(choice(drawn), drawn.probability) == pytest.approx(drawn.probability)
    assert sum(seen.values()) == pytest.approx(1)


@given(pools())
def test_weights_of_fresh_pairs_give_back_a_uniform_draw(pool):
    rng = Random(0)
    uniform = {}
    for _ in range(1500):
        drawn = draw(pool, Shares(), rng)
        if isinstance(drawn, Draw):
            uniform[choice(drawn)] = drawn.uniform
            assert drawn.uniform / drawn.probability <= 1 / Shares().uniform + 1e-9
    assert sum(uniform.values()) == pytest.approx(1)


def test_pairs_come_as_often_as_their_probability_says():
    pool = pool_of(["xyz", "xyz"], [(0, 1, 3.0), (1, 2, 1.0)], gold=(7,), repeats=(1, 2))
    rng, n = Random(1), 20_000
    counts: Counter[object] = Counter()
    logged = {}
    for _ in range(n):
        drawn = drawn_from(pool, Shares(), rng)
        counts[choice(drawn)] += 1
        logged[choice(drawn)] = drawn.probability
    assert len(logged) == 6 + 1 + 2
    for what, probability in logged.items():
        spread = (n * probability * (1 - probability)) ** 0.5
        assert abs(counts[what] - n * probability) < 5 * spread, what


def test_the_kinds_keep_their_shares():
    pool = pool_of(["xyz"] * 4, [(0, 1, 1.0)], gold=(1, 2), repeats=(3,))
    rng = Random(2)
    kinds = Counter(drawn_from(pool, Shares(), rng).kind for _ in range(10_000))
    for kind, share in ((Kind.GOLD, 0.05), (Kind.REPEAT, 0.05), (Kind.UNIFORM, 0.15), (Kind.INFORMATION, 0.75)):
        assert abs(kinds[kind] / 10_000 - share) < 0.025


def test_without_gold_repeats_and_suggestions_every_pair_is_drawn_equally_often():
    rng = Random(0)
    drawn: Counter[object] = Counter()
    for _ in range(6000):
        found = draw(pool_of(["xyz"] * 4), Shares(), rng)
        assert isinstance(found, Draw)
        assert found.kind == Kind.UNIFORM
        assert found.probability == pytest.approx(1 / 12)
        drawn[choice(found)] += 1
    assert len(drawn) == 12
    assert all(abs(count - 500) < 5 * 500**0.5 for count in drawn.values())


def test_what_cannot_be_drawn_goes_to_the_informative_pairs_or_else_to_the_uniform_ones():
    every = frozenset(Kind)
    assert Shares().among(every - {Kind.GOLD})[Kind.INFORMATION] == pytest.approx(0.8)
    assert Shares().among(frozenset({Kind.UNIFORM, Kind.REPEAT})) == {
        Kind.REPEAT: 0.05, Kind.UNIFORM: pytest.approx(0.95)
    }  # fmt: skip


@pytest.mark.parametrize("shares", [(0, 0, 0.05), (0.5, 0.5, 0.15), (-0.1, 0, 1), (float("nan"), 0, 1)])
def test_shares_without_uniform_pairs_or_above_all_are_refused(shares):
    with pytest.raises(InvalidInput):
        Shares(*shares)


def test_no_query_no_draw_and_nothing_is_tested_either():
    assert draw(pool_of([], gold=(1,), repeats=(2,)), Shares(), Random(0)) is None


def test_a_query_without_a_pair_should_not_have_been_counted():
    with pytest.raises(ValueError, match="no two LLMs"):
        draw(pool_of(["x"]), UNIFORM, Random(0))


def test_equal_words_and_equal_llms_are_no_pair():
    same = [Candidate(0, "x", "same"), Candidate(1, "x", "other"), Candidate(2, "y", "same")]
    pairs = differing_pairs(same)
    assert list(pairs) == [frozenset(("x", "y"))]
    assert [(a.reply, b.reply) for a, b in pairs[frozenset(("x", "y"))]] == [(1, 2)]


def test_the_one_less_often_on_the_left_goes_left():
    rng = Random(0)
    assert all(balanced_sides(1, 2, rng) and not balanced_sides(2, 1, rng) for _ in range(20))
    assert 400 < sum(balanced_sides(3, 3, rng) for _ in range(1000)) < 600


@pytest.mark.parametrize(("gold", "repeat"), [(0.0, 0.0), (0.05, 0.05), (0.3, 0.7), (1.0, 0.0), (0.6, 0.2)])
def test_a_campaign_that_only_tests_still_draws_uniform_pairs(gold, repeat):
    shares = Shares.testing(gold, repeat)
    assert shares.uniform == pytest.approx(0.15)
    assert shares.gold + shares.repeat == pytest.approx(min(gold + repeat, 0.85))
    assert all(share > 0 for share in shares.among(frozenset(Kind)).values())
