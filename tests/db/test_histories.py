"""What a person may see, download and correct of their own ratings."""

import json

import pytest

from core.domain import Outcome, UserId
from core.errors import InvalidInput, NotAllowed, NotFound
from db import histories, takeout
from db.histories import Filter
from db.people import People
from db.routers import RouterRegistry
from tests.db.worlds import NOON, asked, statements, world


@pytest.fixture
def busy(store, ada, clock):
    """Ada rated three queries of six (one edited, one withdrawn), skipped one; Bob rated one."""
    store.add_bundle(world(queries=6, source="more"))
    for outcome in (Outcome.A, Outcome.B, Outcome.TIE):
        token = asked(store, ada).token
        clock.wait(5)
        store.record(ada, token, outcome, minimum_dwell=0)
    store.skip(ada, asked(store, ada).token)
    first, second, _ = [said.key for said in store.comparisons(ada)]
    clock.wait(60)
    store.edit(ada, first, Outcome.BOTH_BAD)
    store.withdraw(ada, second)
    bob = People(store._database, clock).sign_in("Bob").name
    store.record(bob, asked(store, bob).token, Outcome.B, minimum_dwell=0)
    return store


def listed(database, user, which=Filter()):  # noqa: B008 - frozen
    return histories.ratings(database, user, which, limit=10)


def test_the_list_shows_each_rating_once_as_it_stands_last_given_first(busy, database, ada):
    rows = listed(database, ada)
    assert [row.outcome for row in rows] == [Outcome.TIE, None, Outcome.BOTH_BAD]
    assert [row.changed for row in rows] == [False, True, True]
    assert [row.seconds for row in rows] == [5, 5, 5]
    assert [(row.rated_at - NOON).total_seconds() for row in rows] == [15, 10, 5]
    assert histories.tally(database, ada) == histories.Tally(rated=2, decisive=0, changed=1, withdrawn=1, skipped=1)


def test_pages_are_cut_in_the_database_and_leave_nothing_out(busy, database, ada):
    everything = listed(database, ada)
    with statements(database) as sent:
        pages = [histories.ratings(database, ada, Filter(), limit=1, offset=i) for i in range(4)]
    assert [row for page in pages for row in page] == everything and pages[3] == []
    assert len(sent) == 4 and all("LIMIT" in statement for statement in sent)


def test_filters_narrow_by_choice_task_and_date(busy, database, ada):
    from datetime import timedelta

    def found(**which):
        rows = listed(database, ada, Filter(**which))
        assert histories.count(database, ada, Filter(**which)) == len(rows)
        return [row.outcome for row in rows]

    assert found(choice=Outcome.TIE) == [Outcome.TIE]
    assert found(choice="withdrawn") == [None]
    assert found(choice=Outcome.A) == []
    assert len(found(task="task")) == 3 and found(task="other") == []
    moment = NOON + timedelta(seconds=10)
    assert found(since=moment) == [Outcome.TIE, None] and found(until=moment) == [Outcome.BOTH_BAD]
    assert histories.tasks(database, ada) == ["task"]


def test_what_an_undo_put_back_on_the_screen_is_not_listed(store, database, ada):
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    store.undo(ada)
    assert listed(database, ada) == [] and histories.tally(database, ada).withdrawn == 0
    store.record(ada, asked(store, ada).token, Outcome.B, minimum_dwell=0)
    assert [(row.outcome, row.changed) for row in listed(database, ada)] == [(Outcome.B, True)]


def test_a_rating_is_shown_with_both_versions_whichever_of_them_is_asked_for(busy, database, ada):
    key = listed(database, ada)[2].key
    detail = histories.rating(database, ada, key)
    assert [(version.kind, version.outcome) for version in detail.versions] == [("rating", "a"), ("edit", "both_bad")]
    assert detail.response_a.llm_id != detail.response_b.llm_id
    assert histories.rating(database, ada, detail.now.key) == detail


def test_nobody_sees_someone_elses_rating(busy, database, ada):
    key = listed(database, ada)[0].key
    with pytest.raises(NotFound, match="not among yours"):
        histories.rating(database, UserId("Bob"), key)


def test_a_stranger_has_an_empty_history(store, database):
    stranger = UserId("nobody")
    assert histories.tally(database, stranger) == histories.Tally(0, 0, 0, 0, 0)
    assert listed(database, stranger) == [] and histories.skipped(database, stranger, 5) == []
    assert histories.pair_counts(database, stranger) == []
    assert histories.habits(database, stranger).decisive.n == 0


def test_the_second_of_two_tabs_is_told_that_it_was_changed_elsewhere(busy, database, ada):
    key = histories.rating(database, ada, listed(database, ada)[0].key).now.key
    busy.edit(ada, key, Outcome.A)  # the first tab
    with pytest.raises(InvalidInput, match="Changed elsewhere; reload"):
        busy.edit(ada, key, Outcome.B)  # the second still shows the version before
    with pytest.raises(InvalidInput, match="Changed elsewhere; reload"):
        busy.withdraw(ada, key)
    assert listed(database, ada)[0].outcome == Outcome.A


def test_habits_count_sides_and_lengths_of_the_reply_that_was_judged(store, database, ada):
    from core.domain import Bundle, Query, QueryId, Response

    for _ in range(3):  # A is always chosen, whichever is longer
        store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    habits = histories.habits(database, ada)
    assert (habits.left.times, habits.left.n, habits.decisive.n) == (3, 3, 3)
    assert habits.longer.n == 0  # the world's responses are equally long
    bundle = world(queries=1, source="ü")
    short, long = (llm.llm_id for llm in bundle.llms[:2])
    query = Query(QueryId("longer"), ("Pick", "the longer"))
    said = (Response(query.query_id, short, ("x" * 99, "é\n")), Response(query.query_id, long, ("", 'é"\\')))
    store.add_bundle(Bundle("two", llms=bundle.llms, queries=(query,), responses=said))
    shown = asked(store, ada)
    store.record(ada, shown.token, Outcome.A if shown.response_a.llm_id == long else Outcome.B, minimum_dwell=0)
    habits = histories.habits(database, ada)
    assert (habits.longer.times, habits.longer.n) == (1, 1)  # 3 characters against 2, however they are stored


def test_pairs_are_counted_by_sides_and_outcome(store, database, ada):
    for outcome in (Outcome.A, Outcome.A, Outcome.TIE):
        store.record(ada, asked(store, ada).token, outcome, minimum_dwell=0)
    counts = histories.pair_counts(database, ada)
    assert sum(pair.times for pair in counts) == 3
    assert {pair.outcome for pair in counts} == {Outcome.A, Outcome.TIE}
    assert all(pair.llm_a.startswith("llm-") and pair.llm_a != pair.llm_b for pair in counts)


def test_the_number_of_statements_does_not_grow_with_the_number_of_ratings(store, database, ada):
    def sent_by_a_page():
        with statements(database) as sent:
            histories.tally(database, ada)
            rows = listed(database, ada)
            histories.count(database, ada, Filter(task="task"))
            histories.tasks(database, ada)
            histories.rating(database, ada, rows[0].key)
            histories.skipped(database, ada, 5)
            histories.habits(database, ada)
            histories.pair_counts(database, ada)
            histories.routers_trained_on(database, ada)
        return len(sent)

    store.add_bundle(world(queries=30, source="more"))
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    few = sent_by_a_page()
    for _ in range(25):
        store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    assert sent_by_a_page() == few == 10


def test_a_skipped_pair_can_be_rated_now_and_what_was_shown_waits(busy, database, ada):
    before = asked(busy, ada)
    (skipped,) = histories.skipped(database, ada, 5)
    busy.resume(ada, skipped.token)
    busy.resume(ada, skipped.token)  # a double click
    assert asked(busy, ada).token == skipped.token
    busy.record(ada, skipped.token, Outcome.A, minimum_dwell=0)
    assert asked(busy, ada).token == before.token
    assert histories.skipped(database, ada, 5) == []
    with pytest.raises(InvalidInput, match="rated meanwhile"):
        busy.resume(ada, skipped.token)
    with pytest.raises(NotAllowed):
        busy.resume(UserId("Bob"), skipped.token)


def test_a_skipped_query_drawn_again_and_rated_is_no_longer_offered(store, database, ada):
    for _ in range(3):
        store.skip(ada, asked(store, ada).token)
    first = histories.skipped(database, ada, 5)
    again = asked(store, ada)  # all were skipped, so one of them is drawn again
    store.resume(ada, next(row.token for row in first if row.prompt == again.query.turns[-1]))
    assert asked(store, ada).token == again.token  # its query is on the screen already
    store.record(ada, again.token, Outcome.B, minimum_dwell=0)
    left = histories.skipped(database, ada, 5)
    assert len(left) == 2 and {row.token for row in left} < {row.token for row in first}
    (gone,) = {row.token for row in first} - {row.token for row in left}
    with pytest.raises(InvalidInput, match="rated meanwhile"):
        store.resume(ada, gone)


def test_routers_are_named_that_were_published_while_the_ratings_were_in_force(store, database, ada, clock):
    registry = RouterRegistry(database, clock)
    registry.publish("gat", b"before", {})
    clock.wait(1)
    store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    clock.wait(1)
    registry.publish("gat", b"with", {})
    clock.wait(1)
    store.withdraw(ada, list(store.comparisons(ada))[-1].key)
    clock.wait(1)
    registry.publish("gat", b"after", {})
    assert [router.version for router in histories.routers_trained_on(database, ada)] == [2]


def test_the_download_holds_texts_outcomes_times_and_every_version_of_one_person_alone(busy, database, ada, clock):
    pieces = list(takeout.document(database, ada))
    everything = json.loads("".join(pieces))
    assert (everything["format"], everything["version"], everything["user"]["name"]) == ("prefroute.my-data", 1, "Ada")
    assert len(everything["ratings"]) == 3 and len(everything["skipped"]) == 1 and len(pieces) > 5
    edited = next(said for said in everything["ratings"] if said["outcome"] == "both_bad")
    assert [event["outcome"] for event in edited["history"]] == ["a", "both_bad"]
    assert edited["history"][0]["seconds"] == 5 and edited["history"][0]["rated_at"].startswith("2026-03-01 12:00:05")
    for side in ("response_a", "response_b"):
        assert edited[side]["turns"] == [f"{edited['query']['id']} by {edited[side]['llm']}"]
    assert "Bob" not in "".join(pieces)
    assert "llm-" not in json.dumps(everything["skipped"])
    with pytest.raises(NotFound):
        next(takeout.document(database, UserId("nobody")))
