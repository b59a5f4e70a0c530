"""Every page by Streamlit's test runner: what it shows to whom, empty and full."""

import re
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.domain import Outcome, UserId
from core.settings import ROOT
from db.demo import LLMS
from db.engine import Database
from db.models import Role
from db.people import People
from db.preferences import PreferenceStore
from db.runs import TrainingRuns

Open = Callable[..., AppTest]
SCRIPTS = sorted(path.stem for path in (ROOT / "pages").glob("*/*.py") if path.parent.name != "parts")


def words(app: AppTest) -> str:
    """Everything that the page says, as text."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "success", "error", "text")
    return "\n".join(str(getattr(element, "value", "")) for kind in kinds for element in app.get(kind))


def sent(app: AppTest) -> str:
    """All that goes to the browser. (`str(app.main)` will not do: it leaves out what is nested.)"""
    return "".join(str(element.proto) for element in app._tree if hasattr(element, "proto"))


def button(app: AppTest, label: str):
    return next(found for found in app.button if found.label.startswith(label))


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "welcome"])
def test_a_stranger_who_deep_links_is_asked_who_they_are_and_sees_nothing_else(
    open_page: Open, demo: Database, name: str
) -> None:
    app = open_page(name)
    assert not app.exception
    assert "Say who you are first" in words(app)
    assert not app.button and not app.selectbox and not app.dataframe


def role_of(name: str) -> Role | None:
    """The role that a page asks for, by its own source."""
    source = next((ROOT / "pages").glob(f"*/{name}.py")).read_text()
    found = re.search(r'require\("(\w+)"\)', source)
    return Role(found[1]) if found else None


WRONG = [(name, role) for name in SCRIPTS for role in Role if (needed := role_of(name)) and not role.includes(needed)]


@pytest.mark.parametrize(("name", "role"), WRONG)
def test_a_wrong_role_that_deep_links_is_told_whom_to_ask_and_sees_nothing_else(
    open_page: Open, database: Database, monkeypatch: pytest.MonkeyPatch, name: str, role: Role
) -> None:
    monkeypatch.setenv("PREFROUTE_AUTH", "invite")
    people = People(database)
    people.sign_in("Ada")
    people.set_role(UserId("Ada"), role, by="test")
    app = open_page(name, "Ada")
    assert f"yours is '{role}'" in words(app)
    assert [found.label for found in app.button] == ["Sign out"]
    assert not app.selectbox and not app.dataframe and not app.title


def test_every_page_but_welcome_asks_for_a_role() -> None:
    assert [name for name in SCRIPTS if role_of(name) is None] == ["welcome"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_page_opens_on_an_empty_database_and_says_what_to_do(open_page: Open, name: str) -> None:
    app = open_page(name, "Ada")
    assert not app.exception and not app.error
    assert len(words(app)) > 40


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_page_opens_on_the_demo_world(open_page: Open, demo: Database, name: str) -> None:
    app = open_page(name, "Ada")
    assert not app.exception and not app.error


def test_signing_in_needs_a_name_and_keeps_what_was_typed(open_page: Open) -> None:
    app = open_page("welcome")
    button(app, "Start").click().run()
    assert "empty" in app.error[0].value
    app.text_input[0].set_value("simulated-brief-01")
    assert button(app, "Start")


def test_a_browser_is_remembered_until_its_person_signs_out(open_page: Open) -> None:
    app = open_page("welcome")
    app.text_input[0].set_value("Ada")
    button(app, "Start").click().run()
    again = open_page("welcome")
    assert "**Ada**" in words(again)
    button(again, "Sign out").click().run()
    assert "Not signed in" in words(open_page("welcome"))


def test_nobody_signs_in_as_a_simulated_user(open_page: Open, demo: Database) -> None:
    app = open_page("welcome")
    app.text_input[0].set_value("simulated-brief-01")
    button(app, "Start").click().run()
    assert "is a simulated user" in app.error[0].value
    assert app.text_input[0].value == "simulated-brief-01"


def test_what_is_sent_before_a_rating_names_no_llm(open_page: Open, demo: Database) -> None:
    app = open_page("rate", "Ada")
    assert "A is better" in sent(app)
    for llm in LLMS:
        assert llm.llm_id not in sent(app) and llm.name not in sent(app)


@pytest.mark.parametrize(("label", "outcome"), [("A is", "a"), ("B is", "b"), ("Tie", "tie"), ("Both", "both_bad")])
def test_each_button_stores_its_outcome_and_brings_the_next_pair(
    open_page: Open, demo: Database, store: PreferenceStore, label: str, outcome: str
) -> None:
    app = open_page("rate", "Ada")
    first = store.assign(UserId("Ada"))
    button(app, label).click().run()
    said = store.history(UserId("Ada"))
    assert [said.outcome_of(0)] == [Outcome(outcome)]
    second = store.assign(UserId("Ada"))
    assert first and second and first.token != second.token
    assert "1 of 54" in words(app)


def test_an_undone_rating_no_longer_counts_and_a_skipped_pair_comes_back_last(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    app = open_page("rate", "Ada")
    button(app, "A is").click().run()
    button(app, "Undo").click().run()
    assert len(store.history(UserId("Ada"))) == 0
    assert "0 of 54" in words(app)
    button(app, "Skip").click().run()
    assert "0 of 54" in words(app)


def test_a_rating_that_comes_too_soon_is_not_stored_and_said_so(
    open_page: Open, demo: Database, store: PreferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFROUTE_MINIMUM_DWELL", "3600")
    app = open_page("rate", "Ada")
    button(app, "A is").click().run()
    assert "Too quick" in words(app)
    assert len(store.history(UserId("Ada"))) == 0


def test_the_routing_page_says_that_there_is_no_router_and_marks_simulated_users(
    open_page: Open, demo: Database
) -> None:
    app = open_page("routing", "Ada")
    assert "No router yet" in words(app)
    assert app.selectbox(key="routing.user").options[0] == "Ada (you)"
    assert "simulated-brief-01 (simulated)" in app.selectbox(key="routing.user").options
    assert "bradley_terry" in words(app)


def test_training_is_offered_when_there_is_enough_and_one_run_is_active_at_a_time(
    open_page: Open, demo: Database
) -> None:
    app = open_page("training", "Ada")
    button(app, "Train").click().run()
    runs = TrainingRuns(demo, 30)
    active = runs.active()
    assert active is not None and active.requested_by == "Ada"
    assert "Waiting for a worker" in words(app)
    assert button(app, "Train").disabled
    button(app, "Cancel").click().run()
    assert runs.get(active.id).status == "cancelled"


def test_training_without_ratings_is_refused_with_what_is_missing(open_page: Open) -> None:
    app = open_page("training", "Ada")
    assert button(app, "Train").disabled
    assert "0 of 60 ratings" in button(app, "Train").help


def test_an_unexpected_error_shows_a_reference_and_not_its_text(
    open_page: Open, demo: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(PreferenceStore, "assign", broken)
    app = open_page("rate", "Ada")
    assert not app.exception
    shown = app.error[0].value
    assert "secret" not in shown and "Nothing you saved is lost" in shown
    reference = shown.rstrip(".").split()[-1]
    assert reference in caplog.text
