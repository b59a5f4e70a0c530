import pytest
from sqlalchemy import text

from core.domain import LLMId, Query
from core.errors import CorruptArtifact, InvalidInput, NotFound
from db.models import RoutingDecisionRow
from db.people import People
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from tests.db.worlds import statements, world


@pytest.fixture
def registry(database, clock):
    return RouterRegistry(database, clock)


@pytest.fixture
def three(registry):
    """Versions 1, 2 and 3, activated in that order."""
    for i in (1, 2, 3):
        version = registry.publish("gat", f"bytes {i}".encode(), {"auc": i, "loss": float("inf")})
        registry.activate(version.id, "Ada", "better")
    return registry


def active(registry):
    version = registry.active()
    return version.id if version else None


def test_a_published_router_does_not_serve_until_it_is_activated(registry, clock):
    version = registry.publish("gat", b"bytes", {"auc": 0.8})
    assert (version.kind, version.card, version.created_at) == ("gat", {"auc": 0.8}, clock.now)
    assert registry.active() is None
    registry.activate(version.id, "Ada", "first")
    assert registry.active() == version
    assert registry.load(version.id) == b"bytes"


def test_versions_are_listed_newest_first_without_their_bytes(three, database):
    with statements(database) as sent:
        listed = three.versions()
        three.active()
    assert [version.id for version in listed] == [3, 2, 1]
    assert listed[0].card == {"auc": 3, "loss": None}
    assert len(sent) == 2
    assert not any("artifact" in statement for statement in sent)


def test_rollbacks_go_back_one_by_one(three):
    for expected in (2, 1):
        three.rollback("Ada", "worse")
        assert active(three) == expected
    with pytest.raises(NotFound, match="No other router served"):
        three.rollback("Ada", "worse")
    assert active(three) == 1


def test_a_rollback_of_an_older_version_activated_again_returns_to_the_newer(three):
    three.activate(1, "Ada", "try the old one")
    three.activate(1, "Ada", "double click")
    three.rollback("Ada", "no")
    assert active(three) == 3


def test_no_router_may_serve(three):
    three.activate(None, "Ada", "population only")
    assert active(three) is None
    three.rollback("Ada", "again")
    assert active(three) == 3


def test_a_damaged_artifact_is_refused_and_the_others_load(three, database):
    with database.write() as session:
        session.execute(text("UPDATE router_versions SET artifact = :data WHERE id = 2"), {"data": b"bytes x"})
    with pytest.raises(CorruptArtifact, match=r"version 2 is damaged.*other versions are untouched"):
        three.load(2)
    assert three.load(3) == b"bytes 3"


def test_what_does_not_exist_is_not_found(three):
    for act in (three.load, lambda i: three.activate(i, "Ada", "")):
        with pytest.raises(NotFound, match="no router version 99"):
            act(99)
    with pytest.raises(InvalidInput):
        three.publish("gat", b"", {})
    assert active(three) == 3


def test_a_decision_keeps_its_probabilities_and_not_the_words(three, database):
    PreferenceStore(database).add_bundle(world())
    ada = People(database).sign_in("Ada").name
    query = Query.typed("a secret question")
    p = {LLMId("llm-0"): 0.7, LLMId("llm-1"): 0.3}
    known = {"version": 3, "propensity": 1.0, "history_count": 4, "source": "page"}
    three.record_decision(ada, query, LLMId("llm-0"), p, **known)
    three.record_decision("stranger", world().queries[0], LLMId("llm-1"), p, **{**known, "version": None})
    with database.read() as session:
        first, second = session.query(RoutingDecisionRow).order_by(RoutingDecisionRow.id)
    assert (first.query_key, first.query_id, first.probabilities) == (query.query_id, None, p)
    assert (first.user_id is None, second.user_id is None, second.query_id is None) == (False, True, False)
    with pytest.raises(NotFound, match="no LLM 'absent'"):
        three.record_decision(ada, query, LLMId("absent"), p, **known)
