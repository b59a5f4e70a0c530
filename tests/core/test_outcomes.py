"""Four outcomes in a world where everyone's habit of saying ties, and of rejecting both, is known."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import OUTCOMES, Comparison, Outcome, Query, UserId
from core.errors import InvalidInput
from core.outcomes import BOTH_BAD, TIE, A, Anchors, B, OutcomeModel, OutcomeReport, rao_kupper, report
from core.routers.base import Probabilities, softmax
from tests.planted import LLMS, comparison, queries

TRUTH = Anchors(0.8, 1.5, 0.2)
WIDTHS = (0.7, 1.0)
ASKED = queries(60)
SCORES = np.random.default_rng(3).normal(size=(len(ASKED), len(LLMS))) * 1.5


class Knowing:
    """A router that knows how LLMs compare, the same for everyone, and not how good they are."""

    kind = "knowing"
    llms = tuple(m.llm_id for m in LLMS)

    def predict_proba(
        self,
        user: UserId,
        queries: Sequence[Query],
        history: PreferenceDataset | None = None,
    ) -> Probabilities:
        row = {q.query_id: i for i, q in enumerate(ASKED)}
        return softmax(SCORES[[row[q.query_id] for q in queries]])

    def to_bytes(self) -> bytes:
        return b""


class World(NamedTuple):
    """Ratings to learn from, to fit on and to measure on, on queries of their own; everyone's level and eta."""

    train: PreferenceDataset
    held_out: PreferenceDataset
    test: PreferenceDataset
    habits: np.ndarray


@cache
def world(users: int = 60, ratings: int = 60) -> World:
    random = np.random.default_rng(0)
    centred = SCORES - SCORES.mean(1, keepdims=True)
    habits = random.normal(size=(users, 2)) * WIDTHS
    said: list[Comparison] = []
    for u in range(users):
        for i in range(ratings):
            q = random.integers(len(ASKED))
            a, b = random.permutation(len(LLMS))[:2]
            p = rao_kupper(TRUTH, centred[q, a], centred[q, b], *habits[u])
            outcome = OUTCOMES[random.choice(4, p=p)]
            said.append(comparison(f"user-{u:02}", ASKED[q], LLMS[a], LLMS[b], outcome, f"{u}-{i}"))
    train, held_out, test = PreferenceDataset.from_comparisons(said, ASKED, LLMS).split("query", (0.6, 0.2, 0.2))
    return World(train, held_out, test, habits)


@cache
def fitted() -> OutcomeModel:
    return OutcomeModel.fit(Knowing(), world().train, world().held_out)


def one(name: str, outcomes: Sequence[Outcome]) -> PreferenceDataset:
    said = [comparison(name, ASKED[i % 60], LLMS[0], LLMS[1], o, str(i)) for i, o in enumerate(outcomes)]
    return PreferenceDataset.from_comparisons(said, ASKED, LLMS)


def test_the_four_outcomes_are_those_of_the_formula_and_sum_to_one() -> None:
    p = rao_kupper(Anchors(1.0, 0.0, 0.0), np.log(2.0), np.log(3.0), 0.0, np.log(0.5))  # theta = 1.5
    assert p[A] == pytest.approx(2 / (2 + 1.5 * 3 + 1)) and p[B] == pytest.approx(3 / (3 + 1.5 * 2 + 1))
    assert p[BOTH_BAD] == pytest.approx(1 / 6) and p.sum() == pytest.approx(1)
    assert p[TIE] == pytest.approx(1 - p[A] - p[B] - p[BOTH_BAD])


def test_the_planted_scale_level_eta_and_their_widths_are_found() -> None:
    for found in (fitted().read, fitted().unseen):
        assert np.allclose(found, TRUTH, atol=0.35)
    assert np.allclose(fitted().widths, WIDTHS, atol=0.3)


def test_everyones_habit_is_told_from_their_own_ratings() -> None:
    found = np.array([fitted().habit(Knowing(), u, world().train).mean for u in world().train.users])
    for k in (0, 1):
        assert np.corrcoef(found[:, k], world().habits[:, k])[0, 1] > 0.6


def test_unseen_ratings_are_told_better_than_by_shares_and_better_with_habits_than_without() -> None:
    measured = report(fitted(), Knowing(), world().train, world().test, world().train)
    assert measured.over_shares.low > 0.1
    assert measured.over_common.low > 0.01
    assert measured.ratings == len(world().test)
    assert set(measured.to_dict()) == set(OutcomeReport.__annotations__)


def test_more_ties_make_a_tie_more_likely_and_more_rejections_make_both_bad_more_likely() -> None:
    p = Knowing().predict_proba(UserId("x"), ASKED[:1])[0]
    said = {
        name: fitted().said(p, 0, 1, fitted().habit(Knowing(), UserId("x"), one("x", outcomes)))
        for name, outcomes in (
            ("decided", [Outcome.A, Outcome.B] * 15), ("tying", [Outcome.TIE] * 30), ("strict", [Outcome.BOTH_BAD] * 30)
        )
    }  # fmt: skip
    assert said["tying"][Outcome.TIE].probability > said["decided"][Outcome.TIE].probability + 0.2
    assert said["strict"][Outcome.BOTH_BAD].probability > said["decided"][Outcome.BOTH_BAD].probability + 0.2
    for each in said.values():
        assert sum(x.probability for x in each.values()) == pytest.approx(1)
        assert all(0 <= x.low <= x.probability <= x.high <= 1 for x in each.values())


def test_a_stranger_has_the_common_habit_and_an_interval_wider_than_a_known_users() -> None:
    stranger = fitted().habit(Knowing(), UserId("nobody"), None)
    assert stranger.ratings == 0 and np.allclose(stranger.mean, 0, atol=1e-9)
    empty = fitted().habit(Knowing(), UserId("nobody"), world().train)
    assert np.array_equal(empty.weights, stranger.weights)
    known = fitted().habit(Knowing(), world().train.users[0], world().train)
    p = Knowing().predict_proba(UserId("x"), ASKED[:1])[0]
    wide, narrow = (fitted().said(p, 0, 1, habit)[Outcome.TIE] for habit in (stranger, known))
    assert narrow.high - narrow.low < wide.high - wide.low


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_one_person_who_always_says_the_same_gives_finite_probabilities(outcome: Outcome) -> None:
    said = one("only", [outcome] * 8)
    nothing = said.where(np.zeros(8, bool))
    for train, held_out in ((said, said), (said, nothing), (nothing, nothing)):
        model = OutcomeModel.fit(Knowing(), train, held_out)
        habit = model.habit(Knowing(), UserId("only"), train)
        p = model.probabilities(np.array([[1.0, 0, 0, 0]]), np.array([0]), np.array([1]), habit)
        assert np.isfinite(p).all() and p.sum() == pytest.approx(1)


def test_a_model_is_read_back_from_a_card_and_anything_else_is_refused() -> None:
    assert OutcomeModel.from_dict(fitted().to_dict()) == fitted()
    for wrong in ({}, {"read": [1], "unseen": [1, 2, 3], "widths": [1, 1]}, {**fitted().to_dict(), "widths": "x"}):
        with pytest.raises(InvalidInput, match="card"):
            OutcomeModel.from_dict(wrong)
