"""What many people get, asked at once: the same as asked one by one."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import LLMId, UserId
from core.routers import router_class
from core.routers.base import Batched, Embeds, Router, answers
from core.survey import Empty, Survey, by_task, evenly, states
from tests.planted import LLMS, HashEncoder, two_camps

ENCODER = HashEncoder()
STRANGER = UserId("nobody knows me")


@cache
def world() -> tuple[PreferenceDataset, PreferenceDataset, PreferenceDataset]:
    train, validation, test = two_camps(users=24, ratings=30, n_queries=40, one_in=3).split(
        "query", (0.6, 0.2, 0.2), seed=1
    )
    return train, validation, test


@cache
def fitted(kind: str) -> Router:
    train, validation, _ = world()
    return router_class(kind).fit(train, validation, ENCODER, seed=3)


def with_a_stranger(ratings: PreferenceDataset) -> PreferenceDataset:
    """Somebody in the middle of the list who never rated."""
    at = 5
    users = (*ratings.users[:at], STRANGER, *ratings.users[at:])
    return replace(ratings, users=users, user=ratings.user + (ratings.user >= at).astype(np.int32))


def survey(kind: str) -> Survey:
    train, _, test = world()
    router, people = fitted(kind), with_a_stranger(train)
    asked = tuple(test.queries[i] for i in np.unique(test.query))
    return Survey(
        people.users, np.bincount(people.user, minlength=len(people.users)), asked, router.llms,
        answers(router, asked, people).astype(np.float32),
        router.predict_proba(STRANGER, asked).astype(np.float32), asked,
        router.predict_proba(STRANGER, asked).argmax(1), states(router, asked, people),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["gat", "ladder", "user_task_best"])
def test_everyone_at_once_is_everyone_one_by_one(kind, monkeypatch):
    monkeypatch.setattr("core.routers.gat.PEOPLE_AT_ONCE", 7)
    train, _, test = world()
    people, router = with_a_stranger(train), fitted(kind)
    told = answers(router, test.queries, people)
    assert told.shape == (25, 40, 4)
    for u, user in enumerate(people.users):
        np.testing.assert_allclose(told[u], router.predict_proba(user, test.queries, people), atol=1e-5)
    nobody = answers(router, test.queries, PreferenceDataset.from_comparisons([], [], LLMS))
    assert nobody.shape == (0, 40, 4)


@pytest.mark.parametrize("kind", ["gat", "ladder"])
def test_llms_the_router_does_not_know_are_passed_over_for_everyone(kind):
    train, _, test = world()
    new = replace(LLMS[0], llm_id=LLMId("llm-new"))
    moved = replace(train, llms=(new, *train.llms), llm_a=train.llm_a + 1, llm_b=train.llm_b + 1)
    router = fitted(kind)
    np.testing.assert_allclose(answers(router, test.queries, moved), answers(router, test.queries, train), atol=1e-5)


@pytest.mark.parametrize("kind", ["gat", "ladder"])
def test_a_persons_state_rests_on_their_own_ratings_and_a_strangers_is_the_origin(kind, monkeypatch):
    train, _, test = world()
    people, router = with_a_stranger(train), fitted(kind)
    assert isinstance(router, Embeds) and isinstance(router, Batched)
    found = router.states(test.queries, people)
    assert len(found.users) == 25 and len(found.queries) == 40 and len(found.llms) == 4
    np.testing.assert_allclose(found.users[5], 0, atol=1e-6)
    monkeypatch.setattr("core.routers.gat.PEOPLE_AT_ONCE", 3)
    alone = router.states(test.queries, people.where(people.user == 2))
    np.testing.assert_allclose(alone.users[2], found.users[2], atol=1e-4)
    np.testing.assert_allclose(alone.users[3], 0, atol=1e-6)


@pytest.mark.parametrize("kind", ["gat", "ladder"])
def test_people_of_one_camp_are_near_each_other_and_near_the_llm_they_like(kind):
    found = survey(kind)
    layout = found.layout
    for u, user in enumerate(found.users):
        if user == STRANGER:
            continue
        point = layout.position("person", u)
        assert point is not None
        nearest = [found.users[layout.row[n]] for n, _ in layout.neighbours(point, "person", 3)]
        assert {name[:5] for name in nearest} == {user[:5]}
        llm = found.llms[layout.row[layout.neighbours(point, "LLM", 1)[0][0]]]
        assert llm == f"llm-{user.partition('-')[0]}"


def test_groups_of_like_taste_are_the_camps_and_the_largest_comes_first():
    found = survey("gat")
    camp = np.array([name[:5] for name in found.users])
    groups = found.groups
    assert set(groups[camp == "long-"]) & set(groups[camp == "short"]) == set()
    sizes = np.bincount(groups)
    assert (np.diff(sizes) <= 0).all() and sizes.min() > 0
    np.testing.assert_array_equal(survey("gat").groups, groups)


def test_a_router_without_a_space_has_no_states():
    found = survey("user_task_best")
    assert found.states is None
    with pytest.raises(ValueError, match="no picture"):
        _ = found.layout


def test_shares_say_which_llm_each_person_gets_and_how_personal_that_is():
    found = survey("ladder")
    np.testing.assert_allclose(found.shares().sum(1), 1)
    assert found.average_shares().sum() == pytest.approx(1)
    stranger = found.users.index(STRANGER)
    assert found.differs()[stranger] == 0
    np.testing.assert_allclose(found.shares()[stranger], found.average_shares())
    camp = np.array([name.startswith("long") for name in found.users])
    assert found.differs()[camp].mean() > 0.5 > found.differs()[~camp].mean()
    for u, user in enumerate(found.users):
        if user != STRANGER:
            assert found.llms[found.top()[u]] == f"llm-{user.partition('-')[0]}"
    assert found.tasks == ("code", "letters")
    half = [sum(query.task == task for query in found.queries) for task in found.tasks]
    joined = sum(n * found.shares(task) for n, task in zip(half, found.tasks, strict=True)) / sum(half)
    np.testing.assert_allclose(joined, found.shares())
    with pytest.raises(Empty):
        found.shares("no such task")


def test_samples_are_even_and_always_the_same():
    assert evenly(3, 10).tolist() == [0, 1, 2]
    assert evenly(0, 10).tolist() == []
    assert len(evenly(10_000, 500)) == 500
    tasks = ["few"] * 2 + ["many"] * 500 + ["more"] * 900
    kept = by_task(tasks, 60)
    assert len(kept) == 60 and len(set(kept.tolist())) == 60
    counts = [sum(tasks[i] == task for i in kept) for task in ("few", "many", "more")]
    assert counts == [2, 29, 29]
    assert by_task([], 60).tolist() == []
