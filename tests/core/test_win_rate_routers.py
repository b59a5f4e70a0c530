"""Routers made of win rates: the hierarchy shrinks as it says."""

from dataclasses import replace

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import Outcome, Query, QueryId, UserId
from core.routers import router_class
from core.routers.elo import EloRouter
from core.routers.user_best import UserBestRouter
from core.routers.user_task_best import UserTaskBestRouter
from core.routers.win_rates import WinCounts
from tests.planted import LLMS, HashEncoder, comparison, queries, two_camps

ANN = UserId("ann")


def history(*said: tuple[int, int, int]) -> PreferenceDataset:
    """Ann's ratings: number of the query, winner, loser."""
    given = [
        comparison(ANN, queries()[q], LLMS[won], LLMS[lost], Outcome.A, str(i)) for i, (q, won, lost) in enumerate(said)
    ]
    return PreferenceDataset.from_comparisons(given, queries(), LLMS)


def parts() -> tuple[PreferenceDataset, PreferenceDataset]:
    train, validation = two_camps().split("query", (0.7, 0.3), seed=0)
    return train, validation


def test_counts_halve_a_tie_and_count_both_sides():
    group, a, b = np.array([0, 0, 1]), np.array([0, 1, 2]), np.array([1, 0, 1])
    counts = WinCounts.by_group(group, 2, a, b, np.array([1, 0.5, 0]), 3, np.array([1, 1, 0.5]))
    np.testing.assert_array_equal(counts.wins, [[1.5, 0.5, 0], [0, 0.5, 0]])
    np.testing.assert_array_equal(counts.games, [[2, 2, 0], [0, 0.5, 0.5]])


def test_more_wins_move_a_persons_rates_further():
    router = UserBestRouter.fit(*parts(), HashEncoder())
    rows = [router.predict_proba(ANN, queries()[:1], history(*[(0, 2, 1)] * n))[0, 2] for n in (0, 1, 5, 50)]
    assert rows == sorted(rows)
    assert rows[0] < rows[-1]


def test_ratings_on_one_task_move_that_task_most():
    router = UserTaskBestRouter.fit(*parts(), HashEncoder())
    code, letters = queries()[0], queries()[1]
    typed = Query(QueryId("typed"), ("words",), "")
    said = history(*[(0, 1, 0)] * 6)  # on code
    moved = router.predict_proba(ANN, [code, letters, typed], said) - router.predict_proba(ANN, [code, letters, typed])
    assert moved[0, 1] > moved[1, 1] > 0
    assert moved[2, 1] > 0


def test_elo_knows_the_order_of_ratings():
    early, late = [(0, 0, 1)] * 20, [(0, 1, 0)] * 20
    nothing = history()
    first, second = (
        EloRouter.fit(history(*said), nothing, HashEncoder()).predict_proba(ANN, queries()[:1])[0]
        for said in (early + late, late + early)
    )
    assert first[1] > first[0]
    assert second[0] > second[1]


@pytest.mark.parametrize("kind", ["best_llm", "elo", "sw_ranking", "bradley_terry"])
def test_the_best_of_four_counts_as_one_choice_and_not_as_three_ratings(kind: str) -> None:
    several = history(*[(q, 0, other) for q in range(9) for other in (1, 2, 3)])
    choices = replace(several, choice=np.repeat(np.arange(9), 3))
    apart, together = (
        router_class(kind).fit(said, history(), HashEncoder()).predict_proba(ANN, queries()[:1])[0]
        for said in (several, choices)
    )
    assert 1 / 4 < together[0] < apart[0]
