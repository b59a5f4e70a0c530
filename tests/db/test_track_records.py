"""How right a version was about a person: on held-out queries, and on what was said since it was published."""

from core.domain import Outcome, UserId
from core.routers.bradley_terry import BradleyTerryRouter
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.serving import Serving
from db.track_records import record_of
from tests.db.worlds import asked, world
from tests.planted import HashEncoder

ROBOT = UserId("robot")


def test_only_what_the_training_has_not_seen_counts(database, clock, ada):
    store, registry = PreferenceStore(database, clock), RouterRegistry(database, clock)
    store.add_bundle(world(queries=12, llms=3, ratings=12))  # the robot always prefers llm-0
    fitted = BradleyTerryRouter.fit(store.snapshot(), store.snapshot(), HashEncoder())
    clock.wait(1)
    of_all, of_some = (
        registry.publish(fitted.kind, fitted.to_bytes(), card)
        for card in ({}, {"holdout": {"validation_from": 0.2, "test_from": 0.4, "seed": 0}})
    )
    serving = Serving(database, HashEncoder())
    said = store.history(ROBOT)
    assert record_of(serving, of_all, ROBOT, said).right.n == 0
    held_out = record_of(serving, of_some, ROBOT, said).right
    assert 0 < held_out.n < 12 and held_out.times == held_out.n
    clock.wait(60)
    for _ in range(3):
        store.record(ada, asked(store, ada).token, Outcome.A, minimum_dwell=0)
    assert record_of(serving, of_all, ada, store.history(ada)).right.n == 3
