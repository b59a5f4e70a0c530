"""The training page and the registry on it, as an operator uses them."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from db.auto_training import AutoTraining, Plan
from db.engine import Database
from db.routers import RouterRegistry
from db.run_log import listening
from db.runs import TrainingRuns
from tests.pages.test_pages import button, words

Open = Callable[..., AppTest]
ESTIMATE = {"value": 0.1, "low": 0.05, "high": 0.15, "users": 60}
STANDING = {"accuracy": {**ESTIMATE, "value": 0.9}, "log_loss": ESTIMATE, "gain": ESTIMATE, "ratings": 400}
REPORT: dict[str, Any] = {
    "standings": [{**STANDING, "router": "ladder"}, {**STANDING, "router": "uniform"}],
    "gains": {"uniform": ESTIMATE},
    "outcomes": {"test": {"log_loss": ESTIMATE, "over_shares": ESTIMATE, "over_common": ESTIMATE, "ratings": 400}},
    "groups": [{"name": "20 ratings or more", "ratings": 400, "users": 60, "standings": [{**STANDING, "router": "x"}]}],
    "ratings": {"train": 1600, "validation": 400, "test": 400},
    "users": 60,
    "config": {"epochs": 75, "seed": 0},
}


def card(incumbent: int | None, allowed: bool) -> dict[str, Any]:
    return {**REPORT, "promotion": {"incumbent": incumbent, "allowed": allowed, "why": "The figures.", "trials": []}}


@pytest.fixture
def registry(demo: Database) -> RouterRegistry:
    """Version 1 serves; version 2 is not better."""
    registry = RouterRegistry(demo)
    registry.promote(registry.publish("ladder", b"one", card(None, allowed=True)).id, "Ada")
    registry.publish("ladder", b"two", card(1, allowed=False))
    return registry


def in_service(registry: RouterRegistry) -> int | None:
    active = registry.active()
    return active.id if active else None


def test_a_router_that_is_not_better_is_put_in_service_only_for_a_reason(
    open_page: Open, registry: RouterRegistry
) -> None:
    app = open_page("training", "Ada")
    assert "Version 1" in words(app) and "The figures." in words(app)
    assert "log-loss 0.100 (0.050 to 0.150) on 400 held-out ratings" in words(app)
    assert not any(found.label == "Put in service" for found in app.button)
    button(app, "Put in service for this reason").click().run()
    assert "Give a reason" in app.error[0].value and in_service(registry) == 1
    app.text_input(key="training.reason.2").set_value("it knows the new LLM").run()
    button(app, "Put in service for this reason").click().run()
    assert in_service(registry) == 2
    assert registry.activations(1)[0].reason == "it knows the new LLM"


def test_one_click_rolls_back_and_a_note_and_the_archive_are_kept(open_page: Open, registry: RouterRegistry) -> None:
    registry.activate(2, "Ada", "try it")
    app = open_page("training", "Ada")
    button(app, "Roll back to version 1").click().run()
    assert in_service(registry) == 1
    app.text_input(key="training.note.2").set_value("too *eager*").run()
    assert registry.get(2).note == "too *eager*"
    button(app, "Archive").click().run()
    assert registry.get(2).archived_at is not None
    app.toggle(key="training.archived").set_value(True).run()
    app.selectbox(key="training.version").select_index(1).run()
    button(app, "Restore").click().run()
    assert registry.get(2).archived_at is None


def test_a_better_router_is_promoted_with_one_click(open_page: Open, registry: RouterRegistry) -> None:
    registry.publish("ladder", b"three", card(1, allowed=True))
    app = open_page("training", "Ada")
    button(app, "Put in service").click().run()
    assert in_service(registry) == 3


def test_custom_settings_are_sent_and_a_run_that_failed_is_tried_again(open_page: Open, demo: Database) -> None:
    runs = TrainingRuns(demo, 30)
    app = open_page("training", "Ada")
    app.segmented_control(key="training.preset").set_value("Custom").run()
    app.number_input(key="training.custom.seed").set_value(7).run()
    button(app, "Train").click().run()
    asked = runs.active()
    assert asked is not None and asked.config["seed"] == 7 and asked.config["epochs"] == 40
    assert "Already queued: started" in words(app) and "by Ada" in words(app)
    runs.claim("w")
    runs.fail(asked.id, "w", "It ran out of memory.")
    again = open_page("training", "Ada")
    assert "out of memory" in again.error[0].value
    button(again, "Try again").click().run()
    second = runs.active()
    assert second is not None and second.id != asked.id and second.config == asked.config


def test_the_result_says_why_it_does_not_serve_and_how_it_compares(open_page: Open, demo: Database) -> None:
    runs = TrainingRuns(demo, 30)
    run = runs.request({"epochs": 3}, by="Ada")
    runs.claim("w")
    report = {**REPORT, "router_version": 2, "in_service": False, "refused": "Promotion refused: the figures."}
    runs.finish(run.id, "w", report, "f" * 64)
    app = open_page("training", "Ada")
    assert "does not serve. Promotion refused: the figures." in words(app)
    assert "Only users with 20 ratings or more" in [found.label for found in app.expander]
    assert "Likely to take about 1 min" in words(app)


def test_two_versions_are_compared_and_the_users_whose_pick_changes_are_listed(
    open_page: Open, registry: RouterRegistry, demo: Database
) -> None:
    runs = TrainingRuns(demo, 30)
    app = open_page("training", "Ada")
    button(app, "Compare").click().run()
    asked = runs.active("comparison")
    assert asked is not None and asked.config == {"before": 1, "after": 2}
    assert runs.active() is None and not button(app, "Train").disabled
    runs.claim("w")
    changes = [{"user": 1, "queries": 40, "changed": 7, "moves": [["demo-terse", "demo-tutor", 7]]}]
    runs.finish(asked.id, "w", {"users": 60, "changes": changes}, "f" * 64)
    app = open_page("training", "Ada")
    assert "the pick changes for **1 of 60 users**" in words(app)


def test_training_by_itself_is_off_turned_on_with_two_numbers_and_refuses_what_cannot_be(
    open_page: Open, demo: Database
) -> None:
    auto = AutoTraining(demo, 30)
    app = open_page("training", "Ada")
    assert "2,400 new ratings and no training yet" in words(app)
    app.number_input(key="training.auto.ratings").set_value(7)
    button(app, "Save").click().run()
    assert "must be from 20" in app.error[0].value and not auto.plan().on
    app.number_input(key="training.auto.ratings").set_value(500)
    app.number_input(key="training.auto.hours").set_value(24)
    button(app, "Save").click().run()
    assert not app.error and auto.plan() == Plan(500, 24)
    app = open_page("training", "Ada")
    assert [app.number_input(key=f"training.auto.{name}").value for name in ("ratings", "hours")] == [500, 24]


def test_the_log_of_a_run_is_read_along_while_it_works_and_afterwards(open_page: Open, demo: Database) -> None:
    runs = TrainingRuns(demo, 3600)
    run = runs.request({}, "Ada")
    runs.claim("elsewhere:1:0:x")
    with listening(demo, run.id):
        for i in range(12):
            logging.getLogger("core").info("epoch %d of at most 12", i)
    app = open_page("training", "Ada")
    assert app.code[0].value.count("\n") == 7 and app.code[0].value.endswith("epoch 11 of at most 12")
    runs.fail(run.id, "elsewhere:1:0:x", "It failed.")
    assert "epoch 0 of at most 12" in open_page("training", "Ada").code[0].value
