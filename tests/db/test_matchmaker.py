import sys
from collections import Counter
from random import Random

import numpy as np
import pytest

from core.domain import LLMId, Outcome, UserId
from core.matchmaking import Kind, Shares
from db.matchmaker import GIVES_WAY, Matchmaker
from db.models import AssignmentRow, ComparisonRow
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.serving import Service, Serving
from tests.db.worlds import asked, world
from tests.planted import HashEncoder


class Undecided:
    """A router with a posterior: nothing is known of the last LLM, everything of the others."""

    kind = "undecided"
    llms = tuple(LLMId(f"llm-{i}") for i in range(3))

    def predict_draws(self, _user, queries, _history, n, seed):
        scores = np.zeros((n, len(queries), 3)) + np.array([1.0, 0.0, 0.0])
        scores[..., 2] += 2 * np.random.default_rng(seed).standard_normal((n, len(queries)))
        return np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)

    def predict_proba(self, *_): ...
    def to_bytes(self): ...
    def own_ratings(self, *_): ...
    def attention(self, *_): ...
    def leave_one_out(self, *_): ...


@pytest.fixture
def matchmaker(database, store):
    return Matchmaker(database, Serving(database, HashEncoder()), Random(0))


@pytest.fixture
def personal(matchmaker, database, monkeypatch):
    """The same with `Undecided` in service."""
    registry = RouterRegistry(database)
    registry.activate(registry.publish("undecided", b"x", {}).id, "test", "test")
    monkeypatch.setattr(Serving, "service", lambda _: Service(Undecided(), 1))
    return matchmaker


def test_without_a_personal_router_pairs_seldom_compared_are_suggested(matchmaker, store, ada):
    store.add_bundle(world(queries=3, source="rated", ratings=30))  # all of them llm-0 against llm-1
    found = matchmaker.score(ada)
    assert len(found) == 3
    assert len({suggestion.first.query_id for suggestion in found}) == 3
    assert all(suggestion.weight > 0 for suggestion in found)
    with store._database.read() as session:
        heard = {(row.response_a_id, row.response_b_id) for row in session.query(ComparisonRow)}
    assert not {(suggestion.first.id, suggestion.second.id) for suggestion in found} & heard


def test_the_posterior_of_the_router_in_service_says_what_is_open(personal, store, ada, database):
    found = personal.score(ada)
    drawing = PreferenceStore(database, rng=Random(3), suggest=lambda _: found)
    shown = asked(drawing, ada)
    assert "llm-2" in {shown.response_a.llm_id, shown.response_b.llm_id}
    assert len(found) == 3


def test_a_suggested_pair_is_drawn_and_logged_with_its_exact_probability(personal, store, ada, database):
    found = personal.score(ada)
    shares = Shares.testing(0.05, 0.05).among(frozenset({Kind.UNIFORM, Kind.INFORMATION}))  # nothing to test with yet
    drawing = PreferenceStore(database, rng=Random(0), suggest=lambda _: found)
    asked(drawing, ada)
    with database.read() as session:
        row = session.query(AssignmentRow).one()
    assert row.reason == "information"
    weight = {frozenset((s.first.id, s.second.id)): s.weight for s in found}
    part = weight[frozenset((row.response_a_id, row.response_b_id))] / sum(weight.values())
    expected = shares[Kind.INFORMATION] * part + shares[Kind.UNIFORM] / 9
    assert row.probability == pytest.approx(expected)
    assert row.uniform_probability == pytest.approx(1 / 9)


def test_suggestions_of_before_are_dropped_once_their_query_is_rated(personal, store, ada, database):
    found = personal.score(ada)
    drawing = PreferenceStore(database, rng=Random(1), suggest=lambda _: found)
    seen: Counter[str] = Counter()
    for _ in range(3):
        shown = asked(drawing, ada)
        drawing.record(ada, shown.token, Outcome.A, minimum_dwell=0)
        seen[shown.query.query_id] += 1
    assert max(seen.values()) == 1
    assert drawing.assign(ada) is None
    assert personal.score(ada) == ()


def test_a_stranger_has_no_suggestions(matchmaker):
    assert matchmaker.score(UserId("nobody")) == ()


def test_the_page_gets_nothing_the_first_time_and_does_not_wait(matchmaker, ada):
    assert matchmaker.suggestions(ada) == ()


def test_who_rates_does_not_wait_long_for_a_thread_that_works(matchmaker, ada):
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(0.005)
        matchmaker.suggestions(ada)
        assert sys.getswitchinterval() == pytest.approx(GIVES_WAY, rel=0.01)
    finally:
        sys.setswitchinterval(before)
