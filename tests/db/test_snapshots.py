from datetime import timedelta

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import Bundle, Outcome, UserId
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import NOON, rating, statements, world


def rate(store, user, outcome=Outcome.A):
    token = store.assign(user).token
    store.record(user, token, outcome, minimum_dwell=0)


def test_a_snapshot_is_what_the_exported_values_make(store, ada, clock):
    store.add_bundle(world(ratings=2))
    clock.wait(60)
    for outcome in (Outcome.B, Outcome.TIE, Outcome.BOTH_BAD):
        clock.wait(1)
        rate(store, ada, outcome)
    stored = store.snapshot()
    made = PreferenceDataset.from_comparisons(
        list(store.comparisons()), sorted(store.queries(), key=lambda q: q.query_id), store.llms()
    )
    assert (stored.users, stored.queries, stored.llms) == (made.users, made.queries, made.llms)
    for column in ("user", "query", "llm_a", "llm_b", "outcome", "time"):
        assert np.array_equal(getattr(stored, column), getattr(made, column)), column
    assert stored.fingerprint() == made.fingerprint()
    assert {r.response_id for r in store.responses()} == {
        i for c in store.comparisons() for i in (c.response_a, c.response_b)
    }
    assert [user.simulated for user in store.users()] == [False, True]


def test_an_empty_store_gives_an_empty_snapshot(database):
    empty = PreferenceStore(database).snapshot()
    assert (len(empty), empty.users, empty.queries, empty.llms) == (0, (), (), ())


def test_ratings_are_in_the_order_they_were_given_and_those_of_unknown_time_first(store):
    pack = world(source="late")
    late = rating("late", pack.queries[0], pack.llms, "robot")
    unknown = rating("unknown", pack.queries[1], pack.llms, "robot")
    early = rating("early", pack.queries[2], pack.llms, "robot")
    object.__setattr__(unknown, "rated_at", None)
    object.__setattr__(early, "rated_at", NOON - timedelta(days=9))
    bundle = world(ratings=1, source="late")
    store.add_bundle(Bundle("late", bundle.users, comparisons=(late, unknown, early)))
    snapshot = store.snapshot()
    assert [snapshot.queries[row].query_id for row in snapshot.query] == ["query-1", "query-2", "query-0"]
    assert snapshot.time[0] == 0


def test_a_history_is_one_users_part_over_all_llms(store, ada, database):
    bob = People(database).sign_in("Bob").name
    for user in (ada, bob, ada):
        rate(store, user)
    store.undo(ada)
    history = store.history(ada)
    assert (history.users, len(history), history.llms) == ((ada,), 1, store.llms())
    assert len(history.queries) == 1
    stranger = store.history("nobody")
    assert (len(stranger), stranger.llms) == (0, store.llms())


def test_exports_of_one_user_name_no_one_else(store, ada, database):
    bob = People(database).sign_in("Bob").name
    rate(store, ada)
    rate(store, bob)
    assert [user.user_id for user in store.users(ada)] == [ada]
    assert len(list(store.queries(ada))) == 1
    assert len(list(store.responses(ada))) == 2


def test_a_snapshot_up_to_a_moment_is_what_was_in_force_then(store, ada, clock):
    rate(store, ada, Outcome.A)
    clock.wait(10)
    then = clock.now
    store.edit(ada, next(store.comparisons()).key, Outcome.B)
    clock.wait(10)
    rate(store, ada, Outcome.TIE)
    before = store.snapshot(upto=then)
    assert [before.outcome_of(row) for row in range(len(before))] == [Outcome.A]
    assert len(store.snapshot()) == 2


def test_the_revision_changes_with_every_event_and_with_nothing_else(store, ada):
    seen = [store.revision()]
    for act in (
        lambda: rate(store, ada),
        lambda: store.edit(ada, next(store.comparisons()).key, Outcome.B),
        lambda: store.withdraw(ada, next(store.comparisons()).key),
        lambda: store.add_bundle(world(ratings=1)),
        lambda: store.remove_source("pack"),
        lambda: store.add_bundle(world(ratings=1)),
    ):
        act()
        assert store.revision() not in seen
        seen.append(store.revision())
    store.assign(ada)
    assert store.revision() == seen[-1]


@pytest.mark.parametrize(("act", "most"), [("snapshot", 6), ("history", 5), ("revision", 1)])
def test_the_number_of_statements_does_not_grow(database, act, most):
    store = PreferenceStore(database)
    counted = []
    for size in (2, 700):
        store.add_bundle(world(queries=size, ratings=size))
        with statements(database) as sent:
            store.history(UserId("robot")) if act == "history" else getattr(store, act)()
        counted.append(len(sent))
    assert counted[0] == counted[1] <= most
