from dataclasses import replace
from datetime import timedelta

from core.domain import Outcome
from db.demo import demo_bundle
from db.overview import overview
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import NOON, asked, statements


def test_an_empty_database_has_nothing_to_show_and_no_error(database):
    found = overview(database)
    assert (found.counts.ratings, len(found.daily), found.active.users) == (0, 0, 0)
    assert (len(found.pairs), found.compared, found.enough) == (0, 0, 0)


def test_the_demo_world_is_counted_in_as_many_statements_as_an_empty_database(database):
    with statements(database) as before:
        overview(database)
    PreferenceStore(database).add_bundle(demo_bundle())
    with statements(database) as after:
        found = overview(database)
    assert len(after) == len(before) == 5
    assert found.daily["ratings"].sum() == found.counts.ratings == 2400
    assert set(found.daily["kind"]) == {"simulated users"}
    assert (len(found.pairs), found.compared, found.enough) == (10, 10, 10)
    assert found.pairs["ratings"].sum() == 2400


def test_who_rated_lately_is_active_until_it_is_taken_back(database, clock, store):
    ada = People(database, clock).sign_in("Ada").name
    assignment = asked(store, ada)
    clock.now += timedelta(seconds=5)
    store.record(ada, assignment.token, Outcome.A, minimum_dwell=0)
    assert overview(database, clock.now).active.people == 1
    assert overview(database, clock.now + timedelta(days=8)).active.people == 0
    found = overview(database, clock.now)
    assert found.daily[["kind", "ratings"]].to_numpy().tolist() == [["people", 1]]
    assert found.daily["day"].dt.date.tolist() == [clock.now.date()]
    assert found.compared == 1 and found.enough == 0
    store.undo(ada)
    assert overview(database, clock.now).active.people == 0


def test_ratings_count_on_the_day_they_were_given(database):
    world = demo_bundle()
    dated = tuple(replace(said, rated_at=NOON + timedelta(days=i % 3)) for i, said in enumerate(world.comparisons[:30]))
    PreferenceStore(database).add_bundle(replace(world, comparisons=dated))
    daily = overview(database).daily
    assert daily["ratings"].tolist() == [10, 10, 10]
    assert daily["day"].dt.date.tolist() == [(NOON + timedelta(days=i)).date() for i in range(3)]
