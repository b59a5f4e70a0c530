"""The leaderboard against choix, its own bootstrap and planted truths, and where there is nothing to rank."""

from dataclasses import replace

import choix
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import LLM, OUTCOMES, LLMId, Outcome
from core.leaderboard import MIN_RATINGS, Leaderboard, Unranked, chance, leaderboard
from core.strengths import bradley_terry, bradley_terry_robust
from core.tally import EXCLUDED, GOLD, LABELS, REPEAT, WITHDRAWN, Tally, Why, choose, share

A, B, TIE, BOTH_BAD = range(4)
TRUTH = np.array([0.9, 0.4, 0.0, -0.1, -0.5, -0.7])
SIDE = 0.3


def llms(n: int) -> tuple[LLM, ...]:
    return tuple(LLM(LLMId(f"llm-{i}")) for i in range(n))


def cells(n: int) -> np.ndarray:
    """Every ordered pair with every outcome: [n (n - 1) 3, 3]."""
    return np.array([(a, b, o) for a in range(n) for b in range(n) if a != b for o in (A, B, TIE)])


def probabilities(strength: np.ndarray, side: float, ties: float) -> np.ndarray:
    """Of each of `cells`, where pairs are shown equally often and a tie is likelier the closer the two are."""
    rows = cells(len(strength))
    margin = strength[rows[:, 0]] - strength[rows[:, 1]] + side
    p, tie = 1 / (1 + np.exp(-margin)), ties * np.exp(-(margin**2))
    by_outcome = np.where(rows[:, 2] == TIE, tie, (1 - tie) * np.where(rows[:, 2] == A, p, 1 - p))
    return np.asarray(by_outcome / (len(strength) * (len(strength) - 1)))


def sample(ratings: int, times: int, ties: float = 0.0, seed: int = 0) -> np.ndarray:
    """[times, cells] counts of simulated worlds with the planted `TRUTH` and `SIDE`."""
    chances = probabilities(TRUTH, SIDE, ties)
    return np.random.default_rng(seed).multinomial(ratings, chances / chances.sum(), size=times)


def fit(counts: np.ndarray, squared: np.ndarray | None = None, n: int = len(TRUTH)):
    rows = cells(n)
    weight = counts.astype(float)
    return bradley_terry_robust(
        rows[:, 0], rows[:, 1], LABELS[rows[:, 2]], np.ones((len(rows), 1)), n, weight,
        weight if squared is None else squared,
    )  # fmt: skip


def tally(counts: np.ndarray, n: int = len(TRUTH)) -> Tally:
    return Tally.of(llms(n), np.column_stack([cells(n), counts])[counts > 0])


def board(counts: np.ndarray, n: int = len(TRUTH)) -> Leaderboard:
    found = leaderboard(tally(counts, n))
    assert isinstance(found, Leaderboard)
    return found


def test_strengths_are_those_of_choix() -> None:
    rows, (counts,) = cells(len(TRUTH)), sample(400, 1)
    won = [(a, b) if o == A else (b, a) for (a, b, o), n in zip(rows, counts, strict=True) for _ in range(n)]
    found = bradley_terry_robust(
        rows[:, 0], rows[:, 1], LABELS[rows[:, 2]], np.zeros((len(rows), 0)), len(TRUTH), counts.astype(float),
        counts.astype(float), prior_precision=0.01,
    )  # fmt: skip
    # choix penalises alpha s's, without the half that makes alpha a precision.
    assert found.strength == pytest.approx(choix.opt_pairwise(len(TRUTH), won, alpha=0.005, tol=1e-10), abs=1e-5)


def test_it_is_the_fit_of_the_routers_where_nothing_else_differs() -> None:
    rows, (counts,) = cells(len(TRUTH)), sample(300, 1, ties=0.3)
    plain = bradley_terry(
        rows[:, 0], rows[:, 1], LABELS[rows[:, 2]], np.zeros(len(TRUTH)), 0.5, counts.astype(float)
    )  # fmt: skip
    robust = bradley_terry_robust(
        rows[:, 0], rows[:, 1], LABELS[rows[:, 2]], np.zeros((len(rows), 0)), len(TRUTH), counts.astype(float),
        counts.astype(float), prior_precision=0.5,
    )  # fmt: skip
    assert robust.strength == pytest.approx(plain.value, abs=1e-8)
    assert robust.laplace == pytest.approx(np.linalg.inv(plain.curvature), abs=1e-8)


def covered(worlds: np.ndarray, ties: float, squared: bool = False) -> tuple[float, float]:
    """How often the 95 % intervals of strengths, and that of the side, hold what infinitely many ratings would say."""
    rng = np.random.default_rng(5)
    limit = fit(probabilities(TRUTH, SIDE, ties) * 1e6)
    strengths, sides = [], []
    for counts in worlds:
        weight, square = counts.astype(float), None
        if squared:  # half of the pairs were drawn a third as often, and so weigh three times as much
            rare = (cells(len(TRUTH))[:, 0] + cells(len(TRUTH))[:, 1]) % 2 == 0
            seen = np.where(rare, rng.binomial(counts, 1 / 3), counts)
            weight, square = seen * np.where(rare, 3.0, 1.0), seen * np.where(rare, 9.0, 1.0)
        found = fit(weight, square)
        half = 1.96 * np.sqrt(np.diag(found.sandwich))
        strengths.append(np.abs(found.strength - limit.strength) < half[:-1])
        sides.append(abs(found.effect[0] - limit.effect[0]) < half[-1])
    return float(np.mean(strengths)), float(np.mean(sides))


@pytest.mark.parametrize(("ties", "squared"), [(0.0, False), (0.35, False), (0.0, True), (0.35, True)])
def test_95_percent_intervals_hold_the_truth_95_percent_of_the_time(ties: float, squared: bool) -> None:
    strengths, side = covered(sample(600, 1500, ties, seed=3), ties, squared)
    assert 0.93 <= strengths <= 0.97
    assert 0.93 <= side <= 0.97


@pytest.mark.parametrize("ties", [0.0, 0.35])
def test_the_sandwich_is_the_spread_of_a_bootstrap(ties: float) -> None:
    (counts,) = sample(600, 1, ties)
    resampled = np.random.default_rng(1).multinomial(600, counts / counts.sum(), size=600)
    spread = np.array([np.append(found.strength, found.effect) for found in map(fit, resampled)]).std(axis=0)
    assert np.sqrt(np.diag(fit(counts).sandwich)) == pytest.approx(spread, rel=0.12)


def test_a_planted_advantage_of_side_a_is_found_and_none_is_not() -> None:
    biased = board(sample(3000, 1)[0])
    assert biased.side.low < SIDE < biased.side.high and biased.side.low > 0
    assert biased.left is not None and biased.left.low > 0.5
    counts = np.rint(probabilities(TRUTH, 0.0, 0.0) * 3000).astype(int)
    fair = board(counts)
    assert fair.side.low < 0 < fair.side.high
    assert fair.left is not None and fair.left.low < 0.5 < fair.left.high


def test_an_advantage_of_the_side_does_not_move_llms_that_stand_there_more_often() -> None:
    """LLM 0 is always A and all are equal: without the intercept it would look best."""
    rows = [(0, 1, A, 60), (0, 1, B, 40), (0, 2, A, 60), (0, 2, B, 40), (1, 2, A, 60), (1, 2, B, 40)]
    rows += [(2, 1, A, 60), (2, 1, B, 40), (1, 0, A, 60), (1, 0, B, 40)]
    found = leaderboard(Tally.of(llms(3), np.array(rows)))
    assert isinstance(found, Leaderboard)
    assert max(abs(s.strength) for s in found.standings) < 1e-3
    assert {s.rank for s in found.standings} == {1}
    assert chance(found.side.value) == pytest.approx(0.6, abs=1e-3)


def test_ranks_count_the_llms_that_are_surely_better() -> None:
    found = board(np.rint(probabilities(np.array([2.0, 0.0, 0.0, -2.0]), 0.0, 0.0) * 4000).astype(int), 4)
    assert [s.rank for s in found.standings] == [1, 2, 2, 4]
    for standing in found.standings:
        assert standing.rank == 1 + sum(other.low > standing.high for other in found.standings)


def test_llms_that_were_never_compared_are_ranked_apart() -> None:
    rows = [(0, 1, A, 15), (0, 1, B, 5), (1, 0, B, 15), (1, 0, A, 5), (2, 3, A, 6), (2, 3, B, 4), (3, 2, B, 6)]
    found = leaderboard(Tally.of(llms(5), np.array(rows)))
    assert isinstance(found, Leaderboard)
    assert found.groups == 2
    assert [(s.llm.llm_id, s.group) for s in found.standings] == [
        ("llm-0", 0), ("llm-1", 0), ("llm-2", 1), ("llm-3", 1),
    ]  # fmt: skip
    for group in (0, 1):
        assert sum(s.strength for s in found.standings if s.group == group) == pytest.approx(0, abs=1e-9)
    assert np.isnan(found.matrix[0, 2]) and found.compared[0, 2] == 0


def test_an_llm_that_never_lost_gets_a_wide_interval_and_a_mark() -> None:
    rows = [(0, 1, A, 30), (1, 0, B, 30), (1, 2, A, 30), (2, 1, A, 30)]
    found = leaderboard(Tally.of(llms(3), np.array(rows)))
    assert isinstance(found, Leaderboard)
    first = found.standings[0]
    assert first.llm.llm_id == "llm-0" and not first.limited
    assert first.high > 10 and np.isfinite(first.high)


def test_adjusting_for_length_takes_it_out_of_the_strengths() -> None:
    """The first LLM writes more, and people like the longer response; of equal length the two are equal."""
    rng = np.random.default_rng(2)
    n = 6000
    pair = np.array([rng.permutation(3)[:2] for _ in range(n)])
    words = rng.poisson(np.array([300.0, 150.0, 150.0])[pair]) + rng.integers(0, 100, (n, 2))
    margin = 3.0 * (words[:, 0] - words[:, 1]) / (words.sum(axis=1) + 1)
    outcome = np.where(rng.random(n) < 1 / (1 + np.exp(-margin)), A, B)
    plain = Tally.of(llms(3), np.column_stack([pair, outcome, np.ones(n, int)]))
    blank = np.zeros((n, 3))
    styled = Tally(
        **{k: getattr(plain, k) for k in plain.__dataclass_fields__ if k not in ("style", "longer")},
        longer=np.sign(words[:, 0] - words[:, 1]), style=np.column_stack([words[:, 0], blank, words[:, 1], blank]),
    )  # fmt: skip
    before, after = leaderboard(styled), leaderboard(styled, adjust=True)
    assert isinstance(before, Leaderboard) and isinstance(after, Leaderboard)
    assert before.longer is not None and before.longer.low > 0.5
    assert before.standings[0].llm.llm_id == "llm-0" and before.standings[0].low > 0.3
    assert all(s.low < 0.05 and s.high > -0.05 and s.rank == 1 for s in after.standings)
    assert after.style[0].name == "length" and after.style[0].low > 0
    assert all(effect.value == pytest.approx(0, abs=1e-6) for effect in after.style[1:])


def test_nothing_to_rank_is_said_and_counted() -> None:
    none = leaderboard(Tally.of(llms(3), np.zeros((0, 4), int)))
    assert isinstance(none, Unranked) and none.ratings == 0 and [c.ratings for c in none.counts] == [0, 0, 0]
    alone = leaderboard(Tally.of(llms(1), np.zeros((0, 4), int)))
    assert isinstance(alone, Unranked) and "Only one LLM" in alone.reason
    few = leaderboard(Tally.of(llms(3), np.array([(0, 1, A, 20), (1, 0, A, 4), (1, 0, TIE, 5)])))
    assert isinstance(few, Unranked) and f"29 of {MIN_RATINGS}" in few.reason
    assert [tuple(c)[1:] for c in few.counts] == [(29, 20, 4, 5), (29, 4, 20, 5), (0, 0, 0, 0)]


def test_every_rating_left_out_has_one_reason() -> None:
    one = np.ones(6)
    full = Tally(
        llms(2), ("code", "write"), np.zeros(6, int), np.ones(6, int), np.array([A, A, WITHDRAWN, B, B, TIE]),
        np.array([0, 1, 1, -1, 0, 0]), np.array([True, True, True, False, False, False]), np.zeros(6, int),
        np.zeros(6, int), np.array([1, 2, 4, 8, 16, 32]), one, one,
    )  # fmt: skip
    chosen, inclusion = choose(full, "code", simulated=False, known_style=False)
    assert chosen.ratings == inclusion.included == 48
    assert inclusion.total == 63 == inclusion.included + sum(n for _, n in inclusion.left_out)
    assert [n for _, n in inclusion.left_out] == [4, 10, 1]
    assert choose(full)[1].included == 59
    assert choose(full, known_style=True)[1].included == 0
    assert choose(full, "no such task")[1].included == 0


def test_a_group_the_days_and_what_counts_too_leave_out_with_a_reason_each() -> None:
    one = np.ones(5)
    full = Tally(
        llms(2), ("code",), np.zeros(5, int), np.ones(5, int), np.full(5, A), np.zeros(5, int), np.zeros(5, bool),
        np.zeros(5, int), np.array([0, 0, EXCLUDED, GOLD, REPEAT]), np.array([1, 2, 4, 8, 16]), one, one,
        groups=("file", "pilot"), group=np.array([0, 1, 1, 1, 1]), dated=np.array([True, True, True, True, False]),
    )  # fmt: skip
    assert dict(choose(full)[1].left_out) == {Why.EXCLUDED: 4, Why.GOLD: 8, Why.REPEAT: 16}
    chosen, inclusion = choose(full, group="pilot", also=[Why.GOLD, Why.REPEAT])
    assert dict(inclusion.left_out) == {Why.EXCLUDED: 4, Why.DAYS: 16, Why.GROUP: 1}
    assert chosen.group is not None and chosen.group.tolist() == [1, 1]
    assert chosen.ratings == 10 and inclusion.total == 31
    assert choose(full, group="gone")[0].ratings == 0
    used = replace(full, uses=("Code",), use=np.array([-1, 0, 0, 0, -1]))
    assert dict(choose(used, use="Code")[1].left_out)[Why.USE] == 1


counts_of_four = st.lists(st.integers(0, 40), min_size=36, max_size=36).filter(lambda c: sum(c) >= MIN_RATINGS)


@given(counts_of_four)
def test_a_leaderboard_is_finite_and_in_order_whatever_was_said(counts: list[int]) -> None:
    found = board(np.array(counts), 4)
    for s in found.standings:
        assert np.isfinite([s.strength, s.low, s.high]).all() and s.low <= s.strength <= s.high
        assert 1 <= s.rank <= len(found.standings)
    for group in range(found.groups):
        inside = [s for s in found.standings if s.group == group]
        assert [s.strength for s in inside] == sorted((s.strength for s in inside), reverse=True)
        assert sum(s.strength for s in inside) == pytest.approx(0, abs=1e-6)
    known = found.compared > 0
    assert (found.matrix + found.matrix.T)[known] == pytest.approx(1)
    assert found.compared.sum() == 2 * sum(counts)


@given(counts_of_four, st.permutations(range(4)))
def test_names_and_sides_carry_no_weight(counts: list[int], order: list[int]) -> None:
    """Renaming LLMs renames the standings; swapping all sides and outcomes changes only the side's sign."""
    plain = leaderboard(tally(np.array(counts), 4))
    rows = cells(4)
    renamed = np.column_stack([np.array(order)[rows[:, :2]], rows[:, 2], counts])
    swapped = np.column_stack([rows[:, 1], rows[:, 0], np.array([B, A, TIE])[rows[:, 2]], counts])
    again, mirrored = (leaderboard(Tally.of(llms(4), r[r[:, 3] > 0])) for r in (renamed, swapped))
    assert isinstance(plain, Leaderboard) and isinstance(again, Leaderboard) and isinstance(mirrored, Leaderboard)
    by_name = {s.llm.llm_id: s for s in again.standings}
    mirror = {s.llm.llm_id: s for s in mirrored.standings}
    for s in plain.standings:
        moved = by_name[llms(4)[order[int(s.llm.llm_id[-1])]].llm_id]
        for other in (moved, mirror[s.llm.llm_id]):
            assert (other.strength, other.low, other.high) == pytest.approx((s.strength, s.low, s.high), abs=1e-5)
    assert mirrored.side.value == pytest.approx(-plain.side.value, abs=1e-6)


@given(st.integers(0, 500), st.integers(0, 500))
def test_a_share_lies_in_its_interval_within_0_and_1(part: int, rest: int) -> None:
    found = share(part, part + rest)
    if found is None:
        assert part + rest == 0
        return
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low < 2 / np.sqrt(found.n) + 1e-9


def test_outcomes_are_in_the_order_the_codes_say() -> None:
    assert OUTCOMES == (Outcome.A, Outcome.B, Outcome.TIE, Outcome.BOTH_BAD)
    assert LABELS.tolist() == [1, 0, 0.5, 0.5]
    assert OUTCOMES[BOTH_BAD] == Outcome.BOTH_BAD
