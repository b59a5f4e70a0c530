from collections import Counter
from random import Random

import pytest

from core.domain import LLM, Bundle, LLMId, Outcome, Query, QueryId, UserId
from core.errors import NotAllowed, NotFound
from db.engine import Database
from db.models import AssignmentRow, AuditEventRow
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import asked, at_once, response, statements, world


def rate(store, user, outcome=Outcome.A):
    assignment = store.assign(user)
    store.record(user, assignment.token, outcome, minimum_dwell=0)
    return assignment


def test_a_reload_and_a_second_tab_show_the_same_pair_on_the_same_sides(store, ada, clock):
    first = store.assign(ada)
    clock.wait(60)
    assert store.assign(ada) == first
    assert first.number == 1
    assert {first.response_a.query_id, first.response_b.query_id} == {first.query.query_id}
    assert first.response_a.llm_id != first.response_b.llm_id


def test_a_restart_of_the_server_shows_the_same_pair(empty_url):
    url = empty_url()
    shown = []
    for _ in range(2):
        database = Database.open(url)
        store = PreferenceStore(database)
        store.add_bundle(world())
        shown.append(store.assign(People(database).sign_in("Ada").name))
        database.dispose()
    assert shown[0] == shown[1]


def test_twenty_threads_of_one_user_get_one_pair(store, ada, database):
    assert len({assignment.token for assignment in at_once(20, lambda _: store.assign(ada))}) == 1
    with database.read() as session:
        assert session.query(AssignmentRow).count() == 1


def test_two_users_have_pairs_of_their_own(store, ada, database):
    bob = People(database).sign_in("Bob").name
    assert store.assign(ada).token != store.assign(bob).token


def test_the_pair_is_written_before_it_is_shown_with_its_reason_and_probability(store, ada, database):
    shown = store.assign(ada)
    with database.read() as session:
        row = session.query(AssignmentRow).one()
    assert (row.token, row.shown_at, row.reason, row.status) == (shown.token, shown.shown_at, "uniform", "open")
    assert row.probability == shown.probability == pytest.approx(1 / (3 * 3))  # three queries, three pairs of LLMs


def test_the_next_pair_comes_only_after_the_rating_and_never_of_a_rated_query(store, ada):
    seen = [rate(store, ada) for _ in range(3)]
    assert len({assignment.query.query_id for assignment in seen}) == 3
    assert [assignment.number for assignment in seen] == [1, 2, 3]
    assert store.assign(ada) is None


def test_skipped_queries_come_back_once_all_others_are_rated(store, ada):
    skipped = store.assign(ada)
    store.skip(ada, skipped.token)
    others = [rate(store, ada).query.query_id for _ in range(2)]
    assert skipped.query.query_id not in others
    back = store.assign(ada)
    assert back.query == skipped.query
    assert back.token != skipped.token
    assert back.reason == "uniform, skipped before"
    rate(store, ada)
    assert store.assign(ada) is None


def test_skipping_twice_or_after_rating_changes_nothing(store, ada):
    first = rate(store, ada)
    store.skip(ada, first.token)
    assert store.progress(ada).rated == 1
    second = store.assign(ada)
    store.skip(ada, second.token)
    store.skip(ada, second.token)
    assert store.assign(ada).number == 3


def test_a_query_that_an_import_says_was_rated_is_not_asked_again(store):
    store.add_bundle(world(ratings=2, user="robot"))
    assert store.assign(UserId("robot")).query.query_id == "query-2"


def test_equal_responses_and_single_ones_are_never_shown(ada, store):
    same, alone = (Query(QueryId(name), (name,)) for name in ("same", "alone"))
    llms = tuple(LLM(LLMId(f"llm-{i}")) for i in range(3))
    said = (
        response(same, llms[0], "yes"), response(same, llms[1], " yes\n"), response(same, llms[2], "no"),
        response(alone, llms[0]),
    )  # fmt: skip
    store.add_bundle(Bundle("more", llms=llms, queries=(same, alone), responses=said))
    shown = [rate(store, ada) for _ in range(4)]
    assert store.assign(ada) is None
    pair = next(a for a in shown if a.query.query_id == "same")
    assert LLMId("llm-2") in {pair.response_a.llm_id, pair.response_b.llm_id}
    assert all(a.query.query_id != "alone" for a in shown)


def test_a_query_becomes_rateable_when_a_second_llm_answers(database, clock):
    store, query = PreferenceStore(database, clock), Query(QueryId("q"), ("?",))
    ada = People(database).sign_in("Ada").name
    llms = (LLM(LLMId("x")), LLM(LLMId("y")))
    store.add_bundle(Bundle("one", llms=llms, queries=(query,), responses=(response(query, llms[0]),)))
    assert store.assign(ada) is None
    store.add_bundle(Bundle("two", responses=(response(query, llms[1]),)))
    assert asked(store, ada).query == query


def test_each_llm_of_a_pair_is_on_either_side_equally_often(database, clock):
    store = PreferenceStore(database, clock, Random(1))
    store.add_bundle(world(queries=30))
    for name in ("Ada", "Bob", "Eve"):
        user = People(database).sign_in(name).name
        for _ in range(30):
            rate(store, user)
    with database.read() as session:
        left = Counter((row.llm_a_id, row.llm_b_id) for row in session.query(AssignmentRow))
    assert sum(left.values()) == 90
    assert all(abs(left[a, b] - left[b, a]) <= 1 for a, b in left)


def test_an_undo_reopens_the_newest_and_what_was_open_comes_after_it(store, ada, clock):
    first = rate(store, ada, Outcome.B)
    clock.wait(5)
    second = store.assign(ada)
    clock.wait(5)
    again = store.undo(ada)
    assert (again.token, again.response_a, again.previous) == (first.token, first.response_a, Outcome.B)
    assert again.shown_at == clock.now
    assert store.progress(ada).rated == 0
    assert store.assign(ada) == again
    rate(store, ada, Outcome.TIE)
    assert store.assign(ada).token == second.token


def test_undos_go_back_one_by_one_and_come_forward_in_order(store, ada, clock):
    tokens = []
    for i in range(3):
        clock.wait(1)
        tokens.append(store.assign(ada).token)
        if i == 1:
            store.skip(ada, tokens[-1])
        else:
            store.record(ada, tokens[-1], Outcome.A, minimum_dwell=0)
    back = []
    for _ in range(3):
        clock.wait(1)
        back.append(store.undo(ada).token)
    assert back == tokens[::-1]
    assert store.undo(ada) is None
    assert [rate(store, ada).token for _ in range(3)] == tokens


def test_an_undo_reaches_ten_steps_back_and_no_further(clock, ada, store):
    store.add_bundle(world(queries=12))
    for _ in range(11):
        clock.wait(1)
        rate(store, ada)
    store.assign(ada)
    undone = [store.undo(ada) for _ in range(11)]
    assert undone[-1] is None
    assert None not in undone[:-1]
    assert store.progress(ada).rated == 1


def test_an_undo_of_nothing_is_none(store, ada):
    assert store.undo(ada) is None
    store.assign(ada)
    assert store.undo(ada) is None


def test_twenty_undos_at_once_take_back_each_answer_once(store, ada):
    for _ in range(3):
        rate(store, ada)
    results = at_once(20, lambda _: store.undo(ada))
    assert sum(result is not None for result in results) == 3
    assert store.progress(ada).rated == 0


def test_a_stranger_and_a_foreign_or_unknown_token_are_refused(store, ada, database):
    eve = People(database).sign_in("Eve").name
    token = store.assign(ada).token
    for act in (lambda user, t: store.record(user, t, Outcome.A, minimum_dwell=0), store.skip):
        with pytest.raises(NotAllowed, match="someone else"):
            act(eve, token)
        with pytest.raises(NotFound, match="no longer known"):
            act(ada, "unknown")
        with pytest.raises(NotFound, match="Sign in first"):
            act(UserId("nobody"), token)
    with pytest.raises(NotFound):
        store.assign(UserId("nobody"))
    assert store.assign(ada).token == token


def test_what_happened_is_in_the_audit_trail(store, ada, database):
    rate(store, ada)
    store.skip(ada, store.assign(ada).token)
    store.undo(ada)
    with database.read() as session:
        assert [row.action for row in session.query(AuditEventRow).filter_by(actor=ada).order_by(AuditEventRow.id)] == [
            "sign_in", "rate", "skip", "undo",
        ]  # fmt: skip


@pytest.mark.parametrize(("act", "most"), [("draw", 6), ("again", 1), ("record", 4), ("progress", 2)])
def test_the_number_of_statements_does_not_grow(database, clock, act, most):
    store = PreferenceStore(database, clock, Random(1))  # with which none of the pairs is a repeat
    ada = People(database).sign_in("Ada").name
    counted = []
    for size in (5, 60):
        store.add_bundle(world(queries=size))
        for _ in range(size // 2):
            rate(store, ada)
        token = "" if act == "draw" else asked(store, ada).token
        with statements(database) as sent:
            if act == "record":
                store.record(ada, token, Outcome.A, minimum_dwell=0)
            elif act == "progress":
                store.progress(ada)
            else:
                store.assign(ada)
        counted.append(len(sent))
    # On PostgreSQL one more holds the user, whom SQLite's only writer has to themselves.
    held = database.dialect == "postgresql" and act in ("draw", "record")
    assert counted[0] == counted[1] == most + held


def test_what_is_drawn_is_what_a_reload_reads(store, ada):
    drawn = asked(store, ada)
    assert asked(store, ada) == drawn
    store.record(ada, drawn.token, Outcome.A, minimum_dwell=0)
    following = asked(store, ada)
    assert asked(store, ada) == following
    assert (drawn.number, following.number) == (1, 2)
