"""The gate, on routers whose worth is known because it was made."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import LLMId
from core.evaluation import predict_pairs
from core.holdout import Holdout
from core.promotion import Incumbent, Verdict, against_incumbent, judge, objection
from tests.planted import LLMS, liking, two_camps

ALL = tuple(llm.llm_id for llm in LLMS)


@dataclass(frozen=True)
class Informed:
    """Knows the truth to a degree: 0 is a coin, 1 is sure."""

    degree: float
    llms: tuple[LLMId, ...] = ALL
    kind: ClassVar[str] = "informed"

    def predict_proba(self, user, queries, history=None):
        truth = np.array([liking(user.partition("-")[0], query.task) for query in queries])
        score = np.exp(2 * self.degree * truth[:, [ALL.index(llm) for llm in self.llms]])
        return score / score.sum(axis=1, keepdims=True)

    def to_bytes(self) -> bytes:
        return b""


@pytest.fixture(scope="module")
def ratings() -> PreferenceDataset:
    return two_camps(users=30, ratings=12)


def verdict(ratings: PreferenceDataset, degree: float, best: float, incumbent: float | None = None) -> Verdict:
    """On a candidate, beside a baseline and a router in service, each so well informed."""
    candidate = Informed(degree)
    measured = {
        "informed": predict_pairs(candidate, ratings, None), "knn": predict_pairs(Informed(best), ratings, None),
        "bradley_terry": predict_pairs(Informed(0), ratings, None),
    }  # fmt: skip
    served = None if incumbent is None else Incumbent(7, Informed(incumbent), None)
    return judge(candidate, measured, ("knn", "bradley_terry"), ratings, ratings, served)


def test_the_first_router_serves_when_it_beats_one_ranking_for_all_and_no_baseline_beats_it(ratings) -> None:
    assert verdict(ratings, 0.5, best=0.5).allowed
    assert not verdict(ratings, 0.0, best=0.0).allowed
    assert not verdict(ratings, 0.3, best=0.9).allowed


@pytest.mark.parametrize(
    ("degree", "best", "incumbent", "allowed"),
    [(0.9, 0.3, 0.3, True), (0.5, 0.3, 0.5, False), (0.5, 0.5, 0.3, False), (0.3, 0.1, 0.9, False)],
    ids=["better than both", "equal to the incumbent", "equal to the best baseline", "worse"],
)
def test_a_later_router_must_be_better_than_the_incumbent_and_the_best_baseline(
    ratings, degree: float, best: float, incumbent: float, allowed: bool
) -> None:
    found = verdict(ratings, degree, best, incumbent)
    assert found.allowed is allowed and found.incumbent == 7
    assert ("Promotion refused" in found.why) is not allowed
    assert "version 7 in service" in found.why and "the best baseline (knn)" in found.why
    assert "360 held-out ratings of 30 users" in found.why


def test_too_few_users_are_no_evidence(ratings) -> None:
    few = ratings.where(ratings.user < 4)
    found = verdict(few, 0.9, best=0.1)
    assert not found.allowed and "only 4 of the 5 users" in found.why


def test_an_incumbent_is_asked_only_about_llms_it_knows_and_queries_it_never_saw(ratings) -> None:
    without_one = Informed(0.2, llms=ALL[:3])
    half = Holdout(0.4, 0.5, seed=0)
    trial = against_incumbent(Informed(0.9), Incumbent(1, without_one, half), ratings, ratings)
    known = (ratings.llm_a < 3) & (ratings.llm_b < 3)
    assert trial.better and trial.ratings == int((known & half.unseen(ratings)).sum()) < int(known.sum())
    everything_seen = Incumbent(1, without_one, Holdout(0.4, 1.0, 0))
    nothing = against_incumbent(Informed(0.9), everything_seen, ratings, ratings)
    assert nothing.gain is None and "could not be compared" in nothing.in_words()


def test_an_incumbent_that_cannot_be_loaded_leaves_the_best_baseline_to_beat(ratings) -> None:
    candidate = Informed(0.9)
    measured = {name: predict_pairs(Informed(d), ratings, None) for name, d in (("informed", 0.9), ("knn", 0.2))}
    found = judge(candidate, measured, ("knn",), ratings, ratings, Incumbent(3, None, None))
    assert found.allowed and "cannot be loaded" in found.why


def test_a_verdict_counts_only_against_what_it_was_measured_against(ratings) -> None:
    card = {"promotion": verdict(ratings, 0.9, 0.3, 0.3).to_dict()}
    assert objection(card, 7) is None
    assert "measured against version 7, and version 8 is in service" in str(objection(card, 8))
    assert "one ranking for all is in service" in str(objection(card, None))
    assert "never measured" in str(objection({}, 7))
    worse = {"promotion": verdict(ratings, 0.3, 0.1, 0.9).to_dict()}
    assert "it is worse than version 7" in str(objection(worse, 7))
