"""Surveys of published routers: asked once, and only those again who have rated since."""

import time
from dataclasses import replace

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import Bundle, Outcome, Task, User, UserId
from core.errors import NotFound
from core.routers import router_class
from core.routers.base import Router
from db import surveys
from db.people import People
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.surveys import Surveys
from tests.db.worlds import asked, response, statements
from tests.planted import LLMS, TASKS, HashEncoder, comparison, liking, queries


def camps(users: int = 8, ratings: int = 12) -> Bundle:
    """The two camps of tests.planted as something to import, with responses."""
    random, posed, said = np.random.default_rng(0), queries(12), []
    replies = {(q.query_id, m.llm_id): response(q, m) for q in posed for m in LLMS}
    names = [f"{'long' if u % 2 else 'short'}-{u:02}" for u in range(users)]
    for name in names:
        for i in range(ratings):
            query = posed[random.integers(len(posed))]
            a, b = random.permutation(4)[:2]
            order = liking(name[: name.index("-")], query.task)
            outcome = Outcome.A if order[a] > order[b] else Outcome.B
            plain = comparison(name, query, LLMS[a], LLMS[b], outcome, f"{name}-{i}")
            shown = [replies[query.query_id, LLMS[side].llm_id].response_id for side in (a, b)]
            said.append(replace(plain, response_a=shown[0], response_b=shown[1]))
    people = tuple(User(UserId(name), simulated=True) for name in names)
    return Bundle("camps", people, tuple(map(Task, TASKS)), LLMS, posed, tuple(replies.values()), tuple(said))


@pytest.fixture(scope="session")
def gat() -> Router:
    """Fitted once on such ratings; which are the same on every database."""
    bundle = camps()
    ratings = PreferenceDataset.from_comparisons(bundle.comparisons, bundle.queries, bundle.llms)
    train, validation = ratings.split("query", (0.8, 0.2), seed=0)
    return router_class("gat").fit(train, validation, HashEncoder(), seed=0)


@pytest.fixture
def store(database, clock) -> PreferenceStore:
    store = PreferenceStore(database, clock)
    store.add_bundle(camps())
    return store


@pytest.fixture
def version(database, gat) -> int:
    return RouterRegistry(database).publish("gat", gat.to_bytes(), {}).id


def test_everyone_who_rated_is_asked_and_gets_what_the_router_tells_them(database, store, version, gat):
    surveyed = Surveys(database, HashEncoder()).of(version)
    survey = surveyed.survey
    history = store.snapshot()
    assert survey.users == history.users and surveyed.population == 8
    assert all(surveyed.simulated.values())
    assert survey.ratings.tolist() == [12] * 8
    for u, user in enumerate(survey.users):
        told = gat.predict_proba(user, survey.queries, history)
        np.testing.assert_allclose(survey.probability[u], told, atol=1e-5)
    assert survey.states is not None and survey.layout.left_out == 0


def test_a_new_rating_asks_its_person_again_and_nobody_else(database, store, version, gat, ada, clock, monkeypatch):
    here = Surveys(database, HashEncoder())
    before = here.of(version).survey
    assert ada not in before.users
    asked_about: list[tuple[UserId, ...]] = []

    def noted(router, queries, mapped, history, real=surveys._asked):
        asked_about.append(history.users)
        return real(router, queries, mapped, history)

    monkeypatch.setattr(surveys, "_asked", noted)
    assert here.of(version).survey is before
    clock.wait(60)
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    after = here.of(version).survey
    assert asked_about == [(ada,)]
    assert after.users == tuple(sorted((*before.users, ada)))
    fresh = Surveys(database, HashEncoder()).of(version).survey
    np.testing.assert_allclose(after.probability, fresh.probability, atol=1e-5)
    assert after.states and fresh.states
    np.testing.assert_allclose(after.states.users, fresh.states.users, atol=1e-4)
    store.undo(ada)
    assert here.of(version).survey.users == before.users


def test_someone_who_left_is_no_longer_in_the_survey(database, store, version, ada, clock):
    here = Surveys(database, HashEncoder())
    clock.wait(60)
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    assert ada in here.of(version).survey.users
    People(database, clock).erase(ada)
    assert ada not in here.of(version).survey.users


def test_too_many_people_and_queries_are_sampled_evenly_and_that_is_known(database, store, version, monkeypatch):
    monkeypatch.setattr(surveys, "MOST_PEOPLE", 3)
    monkeypatch.setattr(surveys, "MOST_MAPPED", 6)
    monkeypatch.setattr(surveys, "MOST_ASKED", 4)
    surveyed = Surveys(database, HashEncoder()).of(version)
    survey = surveyed.survey
    assert (len(survey.users), surveyed.population) == (3, 8)
    assert (len(survey.mapped), len(survey.queries), surveyed.queries_known) == (6, 4, 12)
    assert [sum(q.task == task for q in survey.queries) for task in TASKS] == [2, 2]


def test_of_many_people_a_sample_is_asked_at_once_and_the_others_beside_the_page(database, store, version, monkeypatch):
    whole = Surveys(database, HashEncoder()).of(version).survey
    monkeypatch.setattr(surveys, "AT_ONCE", 3)
    here = Surveys(database, HashEncoder())
    some = here.of(version, UserId("long-03"))
    assert (len(some.survey.users), some.to_come, some.population) == (4, 4, 8)
    assert "long-03" in some.survey.users
    for _ in range(2000):
        some = here.of(version)
        if not some.to_come:
            break
        time.sleep(0.01)
    assert not some.to_come
    order = [some.survey.users.index(user) for user in whole.users]
    assert np.allclose(some.survey.probability[order], whole.probability, atol=1e-6)


def test_a_survey_that_is_there_costs_two_statements(database, store, version):
    here = Surveys(database, HashEncoder())
    here.of(version)
    with statements(database) as sent:
        here.of(version)
    assert len(sent) == 2


def test_a_version_that_is_not_there_is_said_so(database, store):
    with pytest.raises(NotFound, match="version 7"):
        Surveys(database, HashEncoder()).of(7)


def test_before_any_training_queries_have_a_picture_by_their_words(database, store):
    mapped, layout = Surveys(database, HashEncoder()).texts()
    assert len(mapped) == len(layout.place) == 12
    same = [mapped[layout.row[n]].task == mapped[0].task for n, _ in layout.neighbours(0, "query", 5)]
    assert all(same)
