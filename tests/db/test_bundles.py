from dataclasses import replace
from typing import cast

import pytest
from sqlalchemy import func, select, text

from core.domain import LLM, Bundle, LLMId, Outcome, Query, QueryId, ResponseId, Task, User, UserId
from core.errors import InvalidInput
from db.base import Base
from db.models import AuditEventRow, QueryRow
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import at_once, rating, world


@pytest.fixture
def store(database, clock):
    return PreferenceStore(database, clock)


def rows(database, *, audit=False):
    """How many rows each table has."""
    with database.read() as session:
        counted = {t.name: session.scalar(select(func.count()).select_from(t)) for t in Base.metadata.sorted_tables}
    aside = {"campaigns"} if audit else {"campaigns", "audit_events"}  # one campaign comes with the tables
    return {name: n for name, n in counted.items() if name not in aside}


def test_an_import_reports_the_totals_and_what_it_did(store):
    report = store.add_bundle(world(queries=4, llms=2, ratings=6))
    assert report == type(report)(comparisons=6, users=1, llms=2, queries=4, added=6, skipped=0, rejected=0)


def test_the_same_file_twice_changes_nothing(store, database):
    bundle = world(ratings=5)
    store.add_bundle(bundle)
    before, revision = rows(database), store.revision()
    report = store.add_bundle(bundle)
    assert (report.comparisons, report.added, report.skipped) == (5, 0, 5)
    assert (rows(database), store.revision()) == (before, revision)


def test_two_files_with_common_ratings_add_each_once(store):
    store.add_bundle(world(ratings=3))
    report = store.add_bundle(replace(world(ratings=5), source="second"))
    assert (report.comparisons, report.added, report.skipped) == (5, 2, 3)


def test_the_same_file_four_times_at_once_adds_it_once(store):
    reports = at_once(4, lambda _: store.add_bundle(world(ratings=5)))
    assert sorted(report.added for report in reports) == [0, 0, 0, 5]


def test_a_key_that_comes_twice_in_one_file_counts_once_and_first(store):
    bundle = world(ratings=1)
    again = replace(bundle.comparisons[0], outcome=Outcome.B)
    report = store.add_bundle(replace(bundle, comparisons=(bundle.comparisons[0], again)))
    assert (report.added, report.skipped) == (1, 1)
    assert [c.outcome for c in store.comparisons()] == [Outcome.A]


def test_a_dry_run_reports_the_same_and_stores_nothing(store, database):
    before = rows(database, audit=True)
    dry = store.add_bundle(world(ratings=5), dry_run=True)
    assert rows(database, audit=True) == before
    assert store.add_bundle(world(ratings=5)) == dry


@pytest.mark.parametrize("broken", ["user", "query", "llm", "response", "side"])
def test_one_bad_rating_in_the_middle_leaves_nothing(store, database, broken):
    bundle = world(ratings=900, queries=30)
    bad = bundle.comparisons[600]
    bad = {
        "user": replace(bad, user_id=UserId("absent")),
        "query": replace(bad, query_id=QueryId("absent")),
        "llm": replace(bad, llm_a=LLMId("absent")),
        "response": replace(bad, response_a=ResponseId("absent")),
        "side": replace(bad, response_a=bad.response_b),
    }[broken]
    comparisons = (*bundle.comparisons[:600], bad, *bundle.comparisons[601:])
    with pytest.raises(InvalidInput, match="nothing was stored"):
        store.add_bundle(replace(bundle, comparisons=comparisons))
    assert set(rows(database, audit=True).values()) == {0}


def test_a_failure_of_the_database_in_the_middle_leaves_nothing(store, database):
    bundle = world(ratings=900, queries=30)
    long = replace(bundle.comparisons[700], key=cast(str, None))
    with pytest.raises(Exception, match=r"(?i)null"):
        store.add_bundle(replace(bundle, comparisons=(*bundle.comparisons, long)))
    assert set(rows(database, audit=True).values()) == {0}


def test_what_is_there_is_not_overwritten_but_blanks_are_filled(store):
    llm = LLM(LLMId("m"), name="M", input_price=1.0)
    store.add_bundle(Bundle("one", llms=(llm,)))
    store.add_bundle(
        Bundle("two", llms=(LLM(LLMId("m"), name="Other", family="F", input_price=2.0, output_price=0.0),))
    )
    store.add_bundle(Bundle("three", llms=(LLM(LLMId("m")),)))
    assert store.llms() == (replace(llm, family="F", output_price=0.0),)


def test_a_query_with_the_id_of_another_is_refused(store):
    store.add_bundle(world())
    with pytest.raises(InvalidInput, match="other words"):
        store.add_bundle(Bundle("two", queries=(Query(QueryId("query-0"), ("Something else?",)),)))


@pytest.mark.parametrize("simulated", [True, False])
def test_a_person_does_not_become_simulated_nor_the_reverse(store, database, simulated):
    name = "Ada"
    if simulated:
        People(database).sign_in(name)
    else:
        store.add_bundle(Bundle("bots", users=(User(UserId(name), simulated=True),)))
    before = rows(database)
    with pytest.raises(InvalidInput, match=r"'Ada' is .*simulated.* nothing was stored"):
        store.add_bundle(Bundle("file", users=(User(UserId(name), simulated=simulated),), tasks=(Task("new"),)))
    assert rows(database) == before


@pytest.mark.parametrize("source", ["", "  ", "app", "x" * 301])
def test_a_source_needs_a_name_of_its_own(store, source):
    with pytest.raises(InvalidInput, match="source"):
        store.add_bundle(Bundle(source))


def test_an_export_imported_elsewhere_gives_the_same_dataset(store):
    store.add_bundle(world(ratings=5))
    before = store.snapshot()
    exported = Bundle(
        "copy", tuple(store.users()), (), store.llms(), tuple(store.queries()), tuple(store.responses()),
        tuple(store.comparisons()),
    )  # fmt: skip
    store.remove_source("pack")
    assert len(store.snapshot()) == 0
    store.add_bundle(exported)
    assert store.snapshot().fingerprint() == before.fingerprint()


def test_removing_a_source_nobody_used_leaves_nothing_of_it(store, database):
    store.add_bundle(world(ratings=5, queries=4))
    removed = store.remove_source("pack")
    assert removed == type(removed)(users=1, comparisons=5, queries=4, responses=12, llms=3)
    assert set(rows(database).values()) == {0}
    assert store.add_bundle(world(ratings=5)).added == 5


def test_removing_a_source_keeps_peoples_work_and_what_it_rests_on(store, database):
    store.add_bundle(world(ratings=5, queries=4))
    ada = People(database).sign_in("Ada").name
    rated = store.assign(ada)
    store.record(ada, rated.token, Outcome.A, minimum_dwell=0)
    store.skip(ada, store.assign(ada).token)
    store.assign(ada)
    removed = store.remove_source("pack")
    assert (removed.users, removed.comparisons, removed.queries, removed.responses, removed.llms) == (1, 5, 3, 10, 1)
    (kept,) = store.comparisons()
    assert (kept.user_id, kept.query_id, kept.outcome) == (ada, rated.query.query_id, Outcome.A)
    assert {r.text for r in store.responses()} == {rated.response_a.text, rated.response_b.text}
    assert {llm.llm_id for llm in store.llms()} == {rated.response_a.llm_id, rated.response_b.llm_id}
    assert store.assign(ada) is None
    assert store.undo(ada).token == rated.token


def test_removing_a_source_keeps_an_imported_rating_that_a_person_edited(store, database):
    bundle = world(ratings=2)
    store.add_bundle(replace(bundle, users=(User(UserId("robot")),)))
    People(database).sign_in("robot")
    store.edit("robot", "pack-1", Outcome.B)
    assert store.remove_source("pack").comparisons == 1
    assert [c.outcome for c in store.comparisons()] == [Outcome.B]


def test_removing_one_source_leaves_the_other_and_what_they_share(store):
    first, second = world(ratings=3), replace(world(ratings=0), source="second", users=(User(UserId("eve")),))
    eve = rating("eve-1", first.queries[0], first.llms, "eve")
    store.add_bundle(first)
    store.add_bundle(replace(second, comparisons=(eve,)))
    removed = store.remove_source("pack")
    assert (removed.users, removed.comparisons) == (1, 3)
    assert [c.key for c in store.comparisons()] == ["eve-1"]
    assert [q.query_id for q in store.queries()] == ["query-0"]


def test_a_query_that_lost_its_other_responses_is_no_longer_drawn(store, database):
    bundle = world(queries=1, llms=2)
    store.add_bundle(replace(bundle, source="own", responses=bundle.responses[:1]))
    store.add_bundle(bundle)
    store.remove_source("pack")
    with database.read() as session:
        assert session.scalar(select(QueryRow.rateable)) is False


def test_what_people_rated_here_cannot_be_removed_as_a_source(store):
    with pytest.raises(InvalidInput, match="not an import"):
        store.remove_source("app")


def test_imports_and_removals_are_in_the_audit_trail(store, database):
    store.add_bundle(world(ratings=2))
    store.remove_source("pack")
    with database.read() as session:
        trail = [(row.action, row.subject) for row in session.query(AuditEventRow).order_by(AuditEventRow.id)]
    assert trail == [("import", "pack"), ("remove_source", "pack")]


def test_no_row_refers_to_nothing_after_a_removal(store, database):
    store.add_bundle(world(ratings=3))
    store.remove_source("pack")
    if database.dialect == "sqlite":
        with database.read() as session:
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []
