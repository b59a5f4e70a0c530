"""Training by itself: off until someone turns it on, once per reason, and through the same gate."""

import threading
from datetime import timedelta

import pytest

from core.errors import InvalidInput
from core.settings import Settings
from db.audit import actions, events
from db.auto_training import BY, AutoTraining, Plan, Standing, Timekeeper
from db.preferences import PreferenceStore
from db.runs import TrainingRuns
from db.trainings import wish
from tests.db.worlds import at_once, statements, world


@pytest.fixture
def auto(database, clock):
    """Over enough ratings to train on, all of them new."""
    PreferenceStore(database, clock).add_bundle(world(queries=60, ratings=400))
    return AutoTraining(database, 30, clock)


@pytest.fixture
def runs(database, clock):
    return TrainingRuns(database, 30, clock)


def ended(runs, run):
    runs.claim("worker")
    runs.fail(run.id, "worker", "It failed.")


def more(database, clock, ratings, name):
    clock.wait(60)
    PreferenceStore(database, clock).add_bundle(world(queries=60, ratings=ratings, source=name, user=name))


def test_it_is_off_until_someone_turns_it_on(auto, runs):
    assert not auto.plan().on and auto.standing().new == 400
    assert not auto.due() and auto.request("cpu") is None and runs.latest() == []


def test_enough_new_ratings_ask_for_one_run_that_must_pass_the_gate(auto, runs, database, clock):
    auto.set(Plan(ratings=400), "Ann")
    run = auto.request("cpu")
    assert run is not None and run.requested_by == BY
    assert run.config == {"device": "cpu", **wish()} and run.config["promotion"] == {"promote": True, "reason": ""}
    assert auto.request("cpu") is None  # one is active
    ended(runs, run)
    assert auto.standing().new == 0 and not auto.due()  # it failed, and is not tried for ever
    more(database, clock, 399, "second")
    assert auto.standing() == Standing(399, run.created_at)
    assert not auto.due()
    more(database, clock, 1, "third")
    assert auto.due()


def test_the_schedule_waits_its_hours_and_skips_where_nothing_is_new(auto, runs, database, clock):
    auto.set(Plan(hours=24), "Ann")
    run = auto.request("cpu")  # there never was a training
    assert run is not None
    ended(runs, run)
    clock.wait(25 * 3600)
    assert not auto.due()
    more(database, clock, 1, "second")
    assert auto.due()
    ended(runs, auto.request("cpu"))
    more(database, clock, 1, "third")
    assert not auto.due()
    clock.now += timedelta(hours=24)
    assert auto.due()


def test_too_little_to_train_on_is_never_due(database, clock):
    PreferenceStore(database, clock).add_bundle(world(queries=10, ratings=40))
    auto = AutoTraining(database, 30, clock)
    auto.set(Plan(ratings=20, hours=1), "Ann")
    assert auto.standing().new == 40 and not auto.due()


def test_the_plan_in_force_is_the_last_one_and_who_chose_it_is_kept(auto, database):
    auto.set(Plan(ratings=50, hours=12), "Ann")
    auto.set(Plan(hours=6), "Bob")
    assert auto.plan() == Plan(None, 6)
    auto.set(Plan(), "Bob")
    assert not auto.plan().on
    assert "auto_train" in actions(database)
    assert [event["actor"] for event in events(database, ["auto_train"], 5)] == ["Bob", "Bob", "Ann"]


@pytest.mark.parametrize(("ratings", "hours"), [(19, None), (1_000_001, None), (None, 0), (None, 8_761), (-5, None)])
def test_numbers_out_of_their_bounds_are_refused_with_the_bounds(ratings, hours):
    with pytest.raises(InvalidInput, match="must be from"):
        Plan(ratings, hours)


def test_of_several_processes_that_look_at_once_one_asks(auto, runs):
    auto.set(Plan(ratings=100), "Ann")
    asked = [run for run in at_once(4, lambda _: auto.request("cpu")) if run is not None]
    assert len(asked) == 1 and len(runs.latest()) == 1


def test_a_look_costs_as_many_statements_however_many_ratings_there_are(auto, database, clock):
    auto.set(Plan(ratings=100_000), "Ann")
    sent = []
    for size in (1, 300):
        more(database, clock, size, f"s{size}")
        with statements(database) as found:
            assert not auto.due()
        sent.append(len(found))
    assert sent[0] == sent[1] <= 4


def test_the_timekeeper_looks_until_it_is_stopped_and_survives_a_database_that_is_busy(
    auto, runs, database, monkeypatch
):
    auto.set(Plan(ratings=100), "Ann")
    settings = Settings(_env_file=None, spawn_worker=False)  # type: ignore[call-arg]
    keeper, stop = Timekeeper(database, settings, seconds=0.01), threading.Event()
    looks: list[int] = []
    look = keeper.look

    def flaky():
        looks.append(len(looks))
        if len(looks) == 1:
            raise RuntimeError("the first look fails")
        return look()

    monkeypatch.setattr(keeper, "look", flaky)
    thread = threading.Thread(target=keeper.run, args=(stop,))
    thread.start()
    for _ in range(1000):
        if runs.active() and len(looks) > 2:
            break
        stop.wait(0.02)
    stop.set()
    thread.join()
    assert len(runs.latest()) == 1 and runs.latest()[0].requested_by == BY
