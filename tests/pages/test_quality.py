"""The rating quality page: empty, full, a measure taken and lifted, a disagreement decided."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.domain import Outcome
from db.engine import Database
from db.flags import Flags
from db.measures import Measures
from db.models import FlagReason
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import asked, world
from tests.pages.test_pages import button, words

Open = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def nothing_remembered(url: str) -> None:
    st.cache_data.clear()


@pytest.fixture
def opposed(database: Database) -> Database:
    """Two simulated users who rated the same forty pairs and always took different sides."""
    store = PreferenceStore(database)
    store.add_bundle(world(queries=40, ratings=40))
    other = world(queries=40, ratings=40, user="other", source="second")
    store.add_bundle(replace(other, comparisons=tuple(replace(c, outcome=Outcome.B) for c in other.comparisons)))
    return database


def test_without_ratings_it_says_what_it_needs(open_page: Open) -> None:
    said = words(open_page("quality", "Ada"))
    assert "Quality needs repeats and overlap; 0 ratings so far" in said


def test_the_table_flags_one_sided_raters_and_marks_simulated_ones(open_page: Open, opposed: Database) -> None:
    app = open_page("quality", "Ada")
    assert not app.exception
    table = app.dataframe[0].value
    assert list(table["Person"]) == ["other (simulated)", "robot (simulated)"]
    assert table["Flags"].str.contains("side").all()
    assert list(table["Left"]) == ["0% of 40", "100% of 40"]
    assert "corrected for testing many people" in words(app)
    assert "Krippendorff" in words(app)


def test_a_threshold_out_of_range_is_clamped_and_few_ratings_are_not_flagged(
    open_page: Open, opposed: Database
) -> None:
    app = open_page("quality", "Ada")
    app.number_input(key="quality.minimum").set_value(100_000).run()
    assert "lies between 10 and 1000; 1000 is used" in words(app)
    assert app.dataframe[0].value["Flags"].str.contains("not enough data").all()


def test_excluding_shows_its_effect_first_and_is_undone_on_the_same_page(open_page: Open, opposed: Database) -> None:
    app = open_page("quality", "Ada")
    app.selectbox(key="quality.person").set_value("other").run()
    assert "would rest on 40 ratings instead of 80" in words(app)
    assert "Flagged: chose the left response in 0 of 40" in words(app)
    button(app, "Exclude from training").click().run()
    assert "A reason is needed" in words(app)
    app.text_input(key="quality.reason.other").set_value("Always the right side").run()
    button(app, "Exclude from training").click().run()
    assert "noted in the audit log" in words(app)
    assert "exclude" in set(app.dataframe[0].value["Counts"])
    assert len(PreferenceStore(opposed).snapshot()) == 40
    board = words(open_page("leaderboard", "Ada"))
    assert "**40 of 80 ratings**" in board
    assert "40 by people who are excluded" in board
    app.text_input(key="quality.reason.other").set_value("A mistake").run()
    button(app, "Include again").click().run()
    assert len(PreferenceStore(opposed).snapshot()) == 80
    assert "lifted" in words(app)
    assert Measures(opposed).all()[0].lifted_by == "Ada"


def test_who_said_what_is_told_only_after_the_decision(open_page: Open, opposed: Database) -> None:
    app = open_page("quality", "Ada")
    assert "40 waiting" in words(app)
    assert "robot: " not in words(app)
    button(app, "A is better").click().run()
    assert "robot: A is better; other: B is better" in words(app)
    assert "39 waiting" in words(app)


def test_what_was_flagged_waits_with_its_reason_and_is_retired_and_brought_back(
    open_page: Open, opposed: Database
) -> None:
    store, ben = PreferenceStore(opposed), People(opposed).sign_in("Ben").name
    shown = asked(store, ben)
    store.flag(ben, shown.token, FlagReason.PERSONAL_DATA, "a telephone number")
    app = open_page("quality", "Ada")
    assert "1 waiting, 0 of them shown to nobody meanwhile" in words(app)
    said = " ".join(str(element.value) for element in app.text)
    assert "Personal data, by Ben" in said and "a telephone number" in said
    assert shown.response_a.llm_id in said and shown.response_a.text in said
    button(app, "Retire").click().run()
    assert "Give a reason" in words(app) and not Flags(opposed).retired()
    app.text_input(key=f"quality.flag.why.{shown.query.query_id}").set_value("It is a real one").run()
    button(app, "Retire").click().run()
    assert "It is shown to nobody any more" in words(app) and "Nothing that people flagged waits" in words(app)
    app.text_input(key="quality.retired.why").set_value("It is made up").run()
    button(app, "Show it again").click().run()
    assert "It is shown again" in words(app) and not Flags(opposed).retired()


def test_who_only_flags_is_heard_though_nobody_has_rated(open_page: Open, store: PreferenceStore) -> None:
    store.add_bundle(world())
    ben = People(store._database).sign_in("Ben").name
    store.flag(ben, asked(store, ben).token, FlagReason.BROKEN)
    assert "1 waiting" in words(open_page("quality", "Ada"))


def test_who_is_paused_reads_why_instead_of_a_pair(open_page: Open, demo: Database) -> None:
    from db.models import Measure

    People(demo).sign_in("Bob")
    Measures(demo).take(People(demo).sign_in("Bob").name, Measure.PAUSE, "Ann", "Let us talk first")
    app = open_page("rate", "Bob")
    assert "Rating is paused for you" in words(app)
    assert "Let us talk first" in words(app)
    assert not [found for found in app.button if found.label.startswith("A is")]
