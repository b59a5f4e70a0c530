import pytest
from sqlalchemy import text

from core.domain import LLMId, Query
from core.errors import CorruptArtifact, InvalidInput, NotFound, PromotionRefused
from db.models import AuditEventRow, RoutingDecisionRow
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
    for act in (
        three.load,
        three.get,
        lambda i: three.activate(i, "Ada", "why"),
        lambda i: three.promote(i, "Ada"),
        lambda i: three.archive(i, "Ada"),
        lambda i: three.describe(i, "words", "Ada"),
    ):
        with pytest.raises(NotFound, match="no router version 99"):
            act(99)
    with pytest.raises(InvalidInput):
        three.publish("gat", b"", {})
    assert active(three) == 3


def card(incumbent: int | None, allowed: bool) -> dict[str, object]:
    return {"promotion": {"incumbent": incumbent, "allowed": allowed, "why": "the figures", "trials": []}}


def actions(database) -> list[tuple[str, str, str]]:
    with database.read() as session:
        rows = session.query(AuditEventRow).order_by(AuditEventRow.id)
        return [(row.actor, row.action, row.subject) for row in rows]


def test_a_version_shown_to_be_better_than_what_serves_is_promoted_without_a_reason(registry, database):
    first = registry.publish("gat", b"one", card(None, allowed=True))
    registry.promote(first.id, "Ada")
    registry.promote(first.id, "Ada")  # a double click
    assert active(registry) == first.id
    assert [(it.version, it.by, it.reason) for it in registry.activations()] == [(first.id, "Ada", "the figures")]
    assert actions(database) == [("Ada", "promote_router", "1")]


def test_a_worse_version_serves_only_for_a_typed_reason_which_is_kept(registry, database):
    registry.promote(registry.publish("gat", b"one", card(None, allowed=True)).id, "Ada")
    worse = registry.publish("gat", b"two", card(1, allowed=False)).id
    with pytest.raises(PromotionRefused, match="the figures"):
        registry.promote(worse, "Ada")
    for empty in ("", "   ", "x" * 501):
        with pytest.raises(InvalidInput, match="Give a reason"):
            registry.activate(worse, "Ada", empty)
    assert active(registry) == 1
    registry.activate(worse, "Bob", " it knows the new LLM ")
    assert active(registry) == worse
    assert registry.activations(1)[0].reason == "it knows the new LLM"
    assert actions(database)[-1] == ("Bob", "override_gate", "2")


def test_a_version_measured_against_another_incumbent_is_refused(registry):
    for number, incumbent in ((1, None), (2, 1), (3, 1)):
        registry.publish("gat", f"bytes {number}".encode(), card(incumbent, allowed=True))
    registry.promote(1, "Ada")
    registry.promote(2, "Ada")
    with pytest.raises(PromotionRefused, match="measured against version 1, and version 2 is in service"):
        registry.promote(3, "Ada")
    registry.rollback("Ada", "back")
    registry.promote(3, "Ada")
    assert active(registry) == 3


def test_an_archived_version_is_kept_and_does_not_serve_until_it_is_restored(three, clock):
    with pytest.raises(InvalidInput, match="in service"):
        three.archive(3, "Ada")
    three.archive(1, "Ada")
    assert three.get(1).archived_at == clock.now and three.load(1) == b"bytes 1"
    with pytest.raises(InvalidInput, match="restore it first"):
        three.activate(1, "Ada", "try it")
    three.archive(1, "Ada", archived=False)
    three.activate(1, "Ada", "try it")
    assert active(three) == 1


def test_a_rollback_goes_to_an_archived_version_too_and_restores_it(three):
    three.archive(2, "Ada")
    assert three.previous().id == 2
    three.rollback("Ada", "now")
    assert active(three) == 2 and three.get(2).archived_at is None
    three.rollback("Ada", "now")
    assert three.previous() is None


def test_a_note_is_kept_with_its_version(three):
    three.describe(2, " before the new LLM ", "Ada")
    assert three.get(2).note == "before the new LLM" and three.get(1).note == ""
    with pytest.raises(InvalidInput, match="at most 500"):
        three.describe(2, "x" * 501, "Ada")


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
