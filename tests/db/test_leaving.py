"""A person who leaves: erased without a trace, or anonymous; and everybody else as before."""

import pytest
from sqlalchemy import LargeBinary, String, cast, delete, select, text
from sqlalchemy.exc import DBAPIError

from core.domain import LLMId, Outcome, Query, UserId
from core.errors import InvalidInput, NotFound
from core.profile import Profile
from db.audit import note
from db.base import Base
from db.invites import Invites
from db.models import (
    AuditEventRow,
    AutoTrainingRow,
    ComparisonRow,
    DriftChoice,
    DriftChoiceRow,
    FlagReason,
    Measure,
    MeasureRow,
    Role,
    UserRow,
)  # fmt: skip
from db.people import People
from db.removal import ANONYMISED, LEFT
from db.routers import RouterRegistry
from db.runs import TrainingRuns
from tests.db.worlds import asked, at_once, world

NAME = "Zoë Quux"  # not ASCII, so that JSON spells it differently
# Plainly and as JSON spells it. A bare "Zo" would not do: a random token holds those two letters every twentieth time.
SPELLINGS = ("Zoë", "Zo\\", "Quux")


@pytest.fixture
def people(database, clock):
    return People(database, clock)


@pytest.fixture
def zoe(store, people, clock, database):
    """Everything a person can leave behind; and Bob, who did as much."""
    store.add_bundle(world(queries=8, source="more"))
    for name in (NAME, "Bob"):
        person = people.sign_in(name)
        people.remember(f"cookie of {name}", person)
        people.agree(person.name, 1)
        people.describe(person.name, Profile("Code", "Daily", None))
        Invites(database, clock).create(Role.RATER, uses=1, days=1, by=name, person=person.name)
        for outcome in (Outcome.A, Outcome.TIE):
            store.record(person.name, asked(store, person.name).token, outcome, minimum_dwell=0)
        store.record(person.name, asked(store, person.name).token, Outcome.B, minimum_dwell=99)
        store.edit(person.name, list(store.comparisons(person.name))[-1].key, Outcome.B)
        store.flag(person.name, asked(store, person.name).token, FlagReason.BROKEN, f"says {name}")
        store.skip(person.name, asked(store, person.name).token)
        store.undo(person.name)
        runs = TrainingRuns(database, 30, clock)
        runs.cancel(runs.request({}, name).id, name)
        registry = RouterRegistry(database, clock)
        version = registry.publish("gat", name[0].encode(), {})
        registry.activate(version.id, by=name, reason=name)
        query = Query.typed(f"asked by {name[0]}")
        registry.record_decision(
            person.name, query, LLMId("llm-0"), {}, version=version.id, propensity=1, history_count=0, source="page"
        )
    with database.write() as session:
        for user in session.scalars(select(UserRow).where(UserRow.name.in_([NAME, "Bob"]))):
            what = {"kind": Measure.PAUSE, "weight": 1, "reason": "why", "by": user.name, "at": clock()}
            session.add(MeasureRow(user_id=user.id, **what))
            drift = {"choice": DriftChoice.IGNORE, "since": clock(), "by": user.name, "at": clock()}
            session.add(DriftChoiceRow(user_id=user.id, **drift))
            session.add(AutoTrainingRow(ratings=500, set_by=user.name, set_at=clock()))
    with database.write() as session:  # what someone else's action may say of a person
        note(session, clock(), "Bob", "invite", NAME, invited=NAME, other="x")
    return UserId(NAME)


def words(table):
    return [column for column in table.columns if not isinstance(column.type, LargeBinary)]


def rows(database):
    """Every row of every table, as text; vectors and figures in bytes hold no words."""
    with database.read() as session:
        return {
            table.name: [str(tuple(row)) for row in session.execute(select(*[cast(c, String) for c in words(table)]))]
            for table in Base.metadata.sorted_tables
        }


def mentions(database, *words):
    return [row for found in rows(database).values() for row in found if any(word in row for word in words)]


def bobs(database, people):
    """All that is Bob's, wherever it lies."""
    bob = people.get(UserId("Bob")).id
    with database.read() as session:
        mine = {
            table.name: session.execute(select(table).where(table.c.user_id == bob)).all()
            for table in Base.metadata.sorted_tables
            if "user_id" in table.c
        }
        audit = session.execute(text("SELECT id, action FROM audit_events WHERE actor = 'Bob' ORDER BY id")).all()
    assert all(mine.values())
    return mine, audit


def test_erasing_leaves_nothing_of_the_person_anywhere(zoe, people, database):
    assert mentions(database, NAME, "Zo\\u00eb Quux", "Zo\\\\u00eb Quux")
    number = people.get(zoe).id
    erased = people.erase(zoe)
    assert (erased.events, erased.decisions, erased.sessions) == (3, 1, 1) and erased.assignments >= 3
    assert mentions(database, *SPELLINGS) == []
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            if "user_id" in table.c:
                assert session.execute(select(table).where(table.c.user_id == number)).all() == []
        assert session.get(UserRow, number) is None
        last = session.scalars(select(AuditEventRow).order_by(AuditEventRow.id.desc())).first()
    assert (last.actor, last.action) == (LEFT, "erase")


@pytest.mark.parametrize("how", ["erase", "anonymise"])
def test_everybody_else_keeps_every_row(zoe, people, database, how, store):
    before, tables = bobs(database, people), rows(database)
    getattr(people, how)(zoe)
    assert bobs(database, people) == before
    for name in ("llms", "queries", "responses", "tasks", "router_versions"):
        assert rows(database)[name] == tables[name]
    assert people.recall("cookie of Bob").name == "Bob"
    assert store.undo(UserId("Bob"))


def test_erasing_twice_or_at_once_is_erasing_once(zoe, people, database):
    erased = at_once(4, lambda _: people.erase(zoe))
    assert sorted(one.events for one in erased) == [0, 0, 0, 3]
    assert people.erase(zoe) == type(erased[0])()
    assert not people.anonymise(zoe)
    with database.read() as session:
        assert len(session.scalars(select(AuditEventRow).where(AuditEventRow.action == "erase")).all()) == 1


def test_after_erasing_the_name_is_free_and_whoever_takes_it_starts_empty(zoe, people, store):
    old = people.get(zoe).id
    people.erase(zoe)
    assert people.recall(f"cookie of {NAME}") is None
    with pytest.raises(NotFound):
        store.assign(zoe)
    new = people.sign_in(NAME)
    assert new.id != old and len(store.history(zoe)) == 0


def test_what_is_trained_next_leaves_erased_ratings_out(zoe, people, store):
    revision = store.revision()
    people.erase(zoe)
    assert store.snapshot().users == ("Bob",)
    assert store.revision() != revision


def test_an_anonymous_persons_ratings_count_and_lead_nowhere(zoe, people, store, database):
    number = people.get(zoe).id
    before = [(said.query_id, said.outcome) for said in store.comparisons(zoe)]
    assert people.anonymise(zoe)
    assert mentions(database, *SPELLINGS) == []
    with database.read() as session:
        row = session.get(UserRow, number)
        assert session.scalars(select(AuditEventRow).where(AuditEventRow.subject == row.name)).all() == []
        acted = session.scalars(select(AuditEventRow.action).where(AuditEventRow.actor == row.name)).all()
    assert row.name.startswith("anonymous-") and row.source == ANONYMISED and row.last_seen_at is None
    assert set(acted) == {
        "rate",
        "too_quick",
        "edit",
        "flag",
        "skip",
        "undo",
    }  # quality still counts these; no sign-in, no run
    assert [(said.query_id, said.outcome) for said in store.comparisons(UserId(row.name))] == before
    assert people.recall(f"cookie of {NAME}") is None
    assert not people.anonymise(zoe)
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM routing_decisions WHERE user_id IS NULL")).scalar() == 1


def test_two_who_left_have_different_names_and_neither_can_be_signed_in_as(zoe, people):
    people.anonymise(zoe)
    people.anonymise(UserId("Bob"))
    names = [listed.person.name for listed in people.list() if listed.person.name.startswith("anonymous-")]
    assert len(set(names)) == 2
    for name in names:
        with pytest.raises(InvalidInput, match="stands for someone who left"):
            people.sign_in(name)


def test_ratings_that_came_from_a_file_can_be_erased_but_not_made_anonymous(store, people, database, clock):
    from dataclasses import replace

    bundle = world(ratings=2, source="arena:file", user="Grace")
    store.add_bundle(replace(bundle, users=(replace(bundle.users[0], simulated=False),)))
    grace = people.sign_in("Grace").name
    with pytest.raises(InvalidInput, match="came from a file"):
        people.anonymise(grace)
    assert people.get(grace) and len(store.history(grace)) == 2
    assert people.erase(grace).events == 2
    assert mentions(database, "Grace") == []


def test_simulated_users_are_not_erased_this_way(store, people):
    store.add_bundle(world(ratings=3))
    for leave in (people.erase, people.anonymise):
        with pytest.raises(InvalidInput, match="simulated user"):
            leave(UserId("robot"))
    assert len(store.history(UserId("robot"))) == 3


@pytest.mark.parametrize("how", ["erase", "anonymise"])
def test_the_database_still_refuses_to_change_anyones_rating(zoe, people, database, how):
    getattr(people, how)(zoe)
    with pytest.raises(DBAPIError, match="append-only"), database.write() as session:
        session.execute(text("UPDATE comparisons SET outcome = 'b'"))


def test_a_rating_that_arrives_while_its_author_is_erased_is_lost_whole_or_erased_whole(zoe, people, store, database):
    with database.write() as session:  # whose rating is paused would have it refused, however the two come in
        session.execute(delete(MeasureRow).where(MeasureRow.user_id == people.get(zoe).id))
    token = asked(store, zoe).token

    def work(i):
        return people.erase(zoe) if i else store.record(zoe, token, Outcome.A, minimum_dwell=0)

    rated, _ = at_once(2, work)
    assert isinstance(rated, NotFound) or rated.status == "saved"
    with database.read() as session:
        left = session.scalars(select(ComparisonRow.user_id).distinct()).all()
    assert left == [people.get(UserId("Bob")).id]
