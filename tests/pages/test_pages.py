"""Every page by Streamlit's test runner: what it shows to whom, empty and full."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.domain import LLM, LLMId, Outcome, UserId
from core.settings import ROOT
from db.audit import actions
from db.campaigns import Campaigns
from db.catalogue import Catalogue, find
from db.demo import LLMS
from db.engine import Database
from db.invites import Invites
from db.keys import ApiKeys
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


@pytest.mark.parametrize(("mode", "says", "goes"), [("open", "Load the demo world", True), ("invite", "has to", False)])
def test_where_there_is_nothing_to_rate_only_who_can_import_is_sent_there(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, mode: str, says: str, goes: bool
) -> None:
    monkeypatch.setenv("PREFROUTE_AUTH", mode)
    app = open_page("rate", "Ada")
    assert says in words(app)
    assert ("Go to Data in and out" in [link.proto.label for link in app.get("page_link")]) == goes


def test_every_page_but_welcome_asks_for_a_role_and_the_navigation_knows_it() -> None:
    roles = {name: role for name in SCRIPTS if (role := role_of(name))}
    assert sorted({*SCRIPTS} - {*roles}) == ["welcome"]
    source = (ROOT / "app.py").read_text()
    hidden = dict(re.findall(r'"(\w+)": Role\.(\w+)', source))
    assert hidden == {name: role.name for name, role in roles.items() if not Role.RATER.includes(role)}


def test_nobody_rates_before_agreeing_and_is_asked_again_after_taking_it_back(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    app = open_page("welcome")
    app.text_input[0].set_value("Ada")
    button(app, "Start").click().run()
    assert button(app, "I agree").disabled and "who sees it" in words(app)
    app.switch_page("pages/annotate/rate.py").run()
    assert "read what is stored" in words(app) and not any(found.label == "Tie" for found in app.button)
    app.switch_page("pages/annotate/welcome.py").run()
    app.checkbox[0].check().run()
    button(app, "I agree").click().run()
    app.switch_page("pages/annotate/rate.py").run()
    button(app, "Tie").click().run()
    assert len(store.history(UserId("Ada"))) == 1
    People(demo).withdraw_consent(UserId("Ada"))
    later = AppTest.from_file(str(ROOT / "app.py"), default_timeout=180)
    later.session_state["account.name"] = "Ada"
    later.switch_page("pages/annotate/rate.py").run()
    assert "read what is stored" in words(later)
    assert len(store.history(UserId("Ada"))) == 1


def test_an_invitation_lets_a_person_in_once_and_says_the_same_of_every_link_that_does_not_work(
    open_page: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFROUTE_AUTH", "invite")
    assert "by invitation" in words(open_page("welcome"))
    link = Invites(database).create(Role.RATER, uses=1, days=1, by="test")
    app = open_page("welcome", query={"invite": link})
    app.text_input[0].set_value("")
    button(app, "Start").click().run()
    assert "empty" in app.error[0].value
    app.text_input[0].set_value("Ada")
    button(app, "Start").click().run()
    assert "Role: rater" in words(app)
    button(app, "Sign out").click().run()
    for token in (link, "made up"):
        late = open_page("welcome", query={"invite": token})
        late.text_input[0].set_value("Bob")
        button(late, "Start").click().run()
        assert late.error[0].value == "This link no longer works. Ask the person who sent it."


def test_an_administrator_opens_a_campaign_and_closes_it_and_a_wrong_one_is_refused(
    open_page: Open, demo: Database
) -> None:
    app = open_page("settings", "Ada", {"settings.part": "Campaigns"})
    app.text_input(key="campaigns.name").set_value("Code first")
    app.multiselect(key="campaigns.tasks").set_value(["code"])
    app.text_input(key="campaigns.criteria").set_value("clear, correct")
    button(app, "Open this campaign").click().run()
    assert "detailed mode only" in app.error[0].value
    app.selectbox(key="campaigns.mode").set_value("detailed")
    button(app, "Open this campaign").click().run()
    assert not app.error and "9 queries" in words(app)
    newest = Campaigns(demo).list()[0]
    assert (newest.campaign.plan.name, newest.campaign.open) == ("Code first", True)
    button(app, "Close").click().run()
    assert not Campaigns(demo).get("Code first").open


def test_an_administrator_changes_an_llm_and_makes_a_key_that_is_shown_once(open_page: Open, demo: Database) -> None:
    llm = LLMS[0].llm_id
    app = open_page("settings", "Ada", {"settings.part": "LLMs"})
    app.selectbox(key="llms.chosen").set_value(llm).run()
    app.number_input(key=f"llms.output_price.{llm}").set_value(7.5)
    button(app, "Save").click().run()
    assert find(Catalogue(demo).list(), llm).output_price == 7.5
    assert not button(app, "Test it").disabled  # it answers from its stored responses
    assert "Fill in" not in " ".join(found.label for found in app.button)
    Catalogue(demo).add(LLM(LLMId("claude-2.1")), by="test")
    app.run()
    app.selectbox(key="llms.chosen").set_value("claude-2.1").run()
    assert "List price: 8 in, 24 out, as of 2023-11" in words(app)
    button(app, "Fill in 1 missing price").click().run()
    assert find(Catalogue(demo).list(), "claude-2.1").output_price == 24 and "prices of 1 LLM." in words(app)
    app = open_page("settings", "Ada", {"settings.part": "API keys"})
    app.text_input(key="keys.name").set_value("a program")
    button(app, "Make a key").click().run()
    key = app.code[0].value
    assert ApiKeys(demo).find(key) is not None
    app.run()
    assert not app.code and "a program" in words(app)
    button(app, "Revoke").click().run()
    assert ApiKeys(demo).find(key) is None


def test_an_administrator_changes_roles_makes_a_link_and_backs_up(
    open_page: Open, database: Database, tmp_path: Path
) -> None:
    People(database).sign_in("Bob")
    app = open_page("settings", "Ada")
    app.selectbox(key="settings.person").set_value("Bob")
    app.selectbox(key="settings.role").set_value("analyst").run()
    button(app, "Change role").click().run()
    assert People(database).get(UserId("Bob")).role == Role.ANALYST
    app = open_page("settings", "Ada", {"settings.part": "Invites"})
    button(app, "Make a link").click().run()
    assert "/?invite=" in app.code[0].value
    button(app, "Revoke").click().run()
    assert Invites(database).list() == [] and not app.code
    app = open_page("settings", "Ada", {"settings.part": "Health"})
    button(app, "Back up now").click().run()
    assert "Backed up to" in words(app)
    assert len(list((tmp_path / "backups").glob("prefroute-*.db"))) == 1
    assert {"set_role", "invite", "revoke_invite", "backup"} <= {*actions(database)}


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
