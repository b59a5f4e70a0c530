"""How right a router was about one person: on what it has not seen, beside the most it could be, shrunk where little is
known.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import Outcome, Query, UserId
from core.evaluation import Predictions
from core.habits import ENOUGH
from core.routers.base import Router
from core.track_record import MOST_QUERIES, ceiling, personal_calibration, track_record
from tests.planted import LLMS, comparison, queries

ADA = UserId("ada")


class Recorder:
    """A router that likes `llm-short` with 0.7, to a stranger `llm-long`, and keeps what it was shown."""

    kind = "recorder"
    llms = tuple(llm.llm_id for llm in LLMS[:3])

    def __init__(self) -> None:
        self.shown: dict[str, set[str]] = {}

    def predict_proba(
        self, user: UserId, asked: Sequence[Query], history: PreferenceDataset | None = None
    ) -> np.ndarray:
        if history is None:
            return np.tile([0.2, 0.7, 0.1], (len(asked), 1))
        self.shown[asked[0].query_id] = {history.queries[q].query_id for q in history.query}
        return np.array([[0.7, 0.2, 0.1]])


def said(n: int, outcome: Outcome = Outcome.A, llms: tuple[int, int] = (0, 1)) -> PreferenceDataset:
    asked = queries(n)
    a, b = (LLMS[i] for i in llms)
    rows = [comparison(ADA, query, a, b, outcome, f"{i}") for i, query in enumerate(asked)]
    return PreferenceDataset.from_comparisons(rows, asked, LLMS)


def record(own: PreferenceDataset, unseen: np.ndarray, router: Recorder | None = None):
    return track_record(cast(Router, router or Recorder()), ADA, own, unseen)


def test_only_unseen_ratings_are_asked_each_without_what_was_said_of_its_query() -> None:
    own, router = said(30), Recorder()
    unseen = np.arange(30) >= 8
    found = record(own, unseen, router)
    assert (found.right.times, found.right.n, found.usual.times, found.usual.n) == (22, 22, 0, 22)
    assert set(router.shown) == {own.queries[i].query_id for i in range(8, 30)}
    for query, known in router.shown.items():
        assert query not in known and len(known) == 29


def test_ties_have_no_part_in_the_hit_rate_and_llms_without_a_column_none_at_all() -> None:
    everything = np.ones(25, bool)
    tied = record(said(25, Outcome.TIE), everything)
    assert tied.right.n == 0 and tied.n == 25 and tied.meant is not None
    unknown = record(said(25, llms=(0, 3)), everything)  # the fourth LLM joined after training
    assert unknown.n == unknown.right.n == 0 and unknown.meant is None


def test_of_many_the_newest_are_asked_and_of_nothing_nothing() -> None:
    router = Recorder()
    found = record(said(MOST_QUERIES + 15), np.ones(MOST_QUERIES + 15, bool), router)
    assert found.right.n == MOST_QUERIES and "q000" not in router.shown
    nothing = said(3).where(np.zeros(0, np.int64))
    assert record(nothing, np.zeros(0, bool)).right.n == 0


def answers(n: int, claimed: float, true: float, seed: int = 0) -> Predictions:
    """n calls of `claimed` for A by a person of whom it holds with the probability `true`."""
    label = (np.random.default_rng(seed).random(n) < true).astype(float)
    return Predictions(np.full(n, claimed), label, np.zeros(n, np.int32))


def test_what_a_probability_means_is_found_with_an_interval_that_holds_it_and_shrunk_where_little_is_known() -> None:
    assert personal_calibration(answers(ENOUGH - 1, 0.8, 0.6)) is None
    errors = [abs(found.value - 0.62) for s in range(20) if (found := personal_calibration(answers(400, 0.8, 0.62, s)))]
    assert np.mean(errors) < 0.04
    held = [f.low <= 0.8 <= f.high for s in range(60) if (f := personal_calibration(answers(30, 0.8, 0.8, s)))]
    assert sum(held) >= 54
    few, many = personal_calibration(answers(20, 0.8, 0.5)), personal_calibration(answers(2000, 0.8, 0.5))
    assert few is not None and many is not None
    assert 0.5 < few.value < 0.8 and few.high - few.low > many.high - many.low
    assert abs(many.value - 0.5) < abs(few.value - 0.5)


def test_turning_a_pair_round_changes_nothing() -> None:
    straight = answers(50, 0.8, 0.7)
    turned = Predictions(1 - straight.probability, 1 - straight.label, straight.user)
    one, other = personal_calibration(straight), personal_calibration(turned)
    assert one is not None and other is not None
    assert one[:4] == pytest.approx(other[:4])


@pytest.mark.parametrize("seed", range(5))
def test_no_call_is_right_more_often_than_the_ceiling_of_someone_who_answers_by_chance(seed: int) -> None:
    p = np.random.default_rng(seed).beta(1 + seed, 1, 4000)
    best, agreement = np.maximum(p, 1 - p).mean(), (p**2 + (1 - p) ** 2).mean()
    low, high = ceiling(agreement)
    assert low <= best <= high
    assert ceiling(0.8)[0] == 0.8 and ceiling(0.8)[1] == pytest.approx(0.8873, abs=1e-4)
    assert ceiling(0.3) == ceiling(0.5) == (0.5, 0.5) and ceiling(1.0) == (1.0, 1.0)
