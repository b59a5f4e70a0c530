"""My ratings by Streamlit's test runner: the list, one rating, two tabs, habits, download, and leaving."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from streamlit.testing.v1 import AppTest

from core.campaigns import Reveal
from core.domain import Outcome, UserId
from db import histories
from db.campaigns import Campaigns
from db.demo import LLMS
from db.engine import Database
from db.histories import Filter
from db.people import People
from db.preferences import PreferenceStore
from pages.parts.charts import share_chart
from tests.db.worlds import statements
from tests.pages.test_pages import button, sent, words

Open = Callable[..., AppTest]
ADA = UserId("Ada")


def rate(store: PreferenceStore, *outcomes: Outcome, person: str = "Ada") -> None:
    People(store._database).sign_in(person)
    for outcome in outcomes:
        assignment = store.assign(UserId(person))
        assert assignment
        store.record(UserId(person), assignment.token, outcome, minimum_dwell=0)


def listed(database: Database) -> list[histories.Rated]:
    return histories.ratings(database, ADA, Filter(), limit=100)


def opened(open_page: Open, key: str) -> AppTest:
    app = open_page("my_ratings", "Ada")
    app.session_state["my_ratings.open"] = key
    return app.run()


def part(open_page: Open, name: str) -> AppTest:
    return open_page("my_ratings", "Ada", {"my_ratings.part": name})


def table(app: AppTest):
    return app.dataframe[0].value


def test_before_the_first_rating_it_says_so_and_leads_to_rating(open_page: Open, demo: Database) -> None:
    app = open_page("my_ratings", "Ada")
    assert "No ratings yet. The first takes about 10 seconds." in words(app)
    button(app, "Rate").click().run()
    assert not app.exception
    assert "Which answer do you like better?" in words(app)


def test_the_list_shows_what_i_said_last_first(open_page: Open, demo: Database, store: PreferenceStore) -> None:
    rate(store, Outcome.A, Outcome.TIE)
    app = open_page("my_ratings", "Ada")
    assert table(app)["My choice"].tolist() == ["Tie", "A is better"]
    assert "2 rated · 1 prefer one response · 0 skipped" in words(app)
    assert "1 to 2 of 2" in words(app)


def test_filters_come_from_the_url_and_nothing_found_is_not_nothing_yet(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    rate(store, Outcome.A, Outcome.TIE)
    app = open_page("my_ratings", "Ada", {"my_ratings.choice": "Tie"})
    assert table(app)["My choice"].tolist() == ["Tie"]
    app.selectbox(key="my_ratings.choice").select(Outcome.BOTH_BAD).run()
    assert "No rating fits these filters." in words(app) and "No ratings yet" not in words(app)
    button(app, "Clear filters").click().run()
    assert len(table(app)) == 2
    assert "my_ratings.choice" not in app.query_params


def test_dates_the_wrong_way_round_are_read_as_a_span(open_page: Open, demo: Database, store: PreferenceStore) -> None:
    rate(store, Outcome.A)
    today = datetime.now(UTC).date()
    app = open_page("my_ratings", "Ada")
    app.date_input(key="my_ratings.from").set_value(today + timedelta(days=1))
    app.date_input(key="my_ratings.to").set_value(today - timedelta(days=1)).run()
    assert "other way round" in words(app) and len(table(app)) == 1
    app.date_input(key="my_ratings.from").set_value(today - timedelta(days=3)).run()
    assert "No rating fits" in words(app)


def test_pages_come_from_the_url_and_another_filter_starts_at_the_first(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    rate(store, *[Outcome.A] * 21, Outcome.B)
    app = open_page("my_ratings", "Ada")
    assert len(table(app)) == 10 and "1 to 10 of 22" in words(app)
    app = open_page("my_ratings", "Ada", {"my_ratings.page": "3"})
    assert "21 to 22 of 22" in words(app)
    app.selectbox(key="my_ratings.choice").select(Outcome.A).run()
    assert "1 to 10 of 21" in words(app)
    app = open_page("my_ratings", "Ada", {"my_ratings.page": "99", "my_ratings.choice": "nonsense"})
    assert "1 to 10 of 22" in words(app)


def test_an_open_rating_shows_both_responses_and_names_no_llm(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    rate(store, Outcome.A)
    shown = next(iter(store.responses(ADA)))
    app = opened(open_page, listed(demo)[0].key)
    assert not app.exception and "Your answer: **A is better**" in words(app)
    # The longest word: which pair was drawn is chance, and signs of Markdown in it may be escaped.
    assert max(re.findall("[A-Za-z]+", shown.text), key=len) in words(app)
    for llm in LLMS:
        assert llm.llm_id not in sent(app) and llm.name not in sent(app)


def test_closing_a_rating_leaves_the_list(open_page: Open, demo: Database, store: PreferenceStore) -> None:
    rate(store, Outcome.A)
    app = opened(open_page, listed(demo)[0].key)
    button(app, "Close").click().run()
    assert "This rating" not in words(app) and len(table(app)) == 1


def test_changing_an_answer_keeps_both_versions(open_page: Open, demo: Database, store: PreferenceStore) -> None:
    rate(store, Outcome.A)
    app = opened(open_page, listed(demo)[0].key)
    button(app, "Change to: Tie").click().run()
    assert "Changed. Both versions are kept." in words(app) and "Your answer: **Tie**" in words(app)
    assert "Rated: A is better" in words(app) and "Changed to: Tie" in words(app)
    assert table(app)[["My choice", "Edited"]].values.tolist() == [["Tie", "edited"]]
    assert "Change to: Tie" not in [found.label for found in app.button]


def test_a_withdrawn_rating_no_longer_counts_and_says_so(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    rate(store, Outcome.A)
    app = opened(open_page, listed(demo)[0].key)
    button(app, "Withdraw this rating").click().run()
    assert "It no longer counts" in words(app) and "1 withdrawn" in words(app)
    assert table(app)["My choice"].tolist() == ["Withdrawn"]
    assert len(store.history(ADA)) == 0
    assert not [found for found in app.button if found.label.startswith("Change")]


def test_the_second_of_two_tabs_is_told_to_reload_and_changes_nothing(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    rate(store, Outcome.A)
    key = listed(demo)[0].key
    first, second = opened(open_page, key), opened(open_page, key)
    button(first, "Change to: B").click().run()
    button(second, "Change to: Tie").click().run()
    assert "Changed elsewhere; reload" in second.error[0].value
    assert "Your answer: **B is better**" in words(second)
    assert store.history(ADA).outcome_of(0) == Outcome.B


def test_someone_elses_rating_does_not_open(open_page: Open, demo: Database, store: PreferenceStore) -> None:
    rate(store, Outcome.A)
    rate(store, Outcome.B, person="Bob")
    (theirs,) = histories.ratings(demo, UserId("Bob"), Filter(), limit=1)
    app = opened(open_page, theirs.key)
    assert not app.exception and "This rating" not in words(app)


def test_a_skipped_pair_is_listed_and_can_be_rated_now(open_page: Open, demo: Database, store: PreferenceStore) -> None:
    rate(store, Outcome.A)
    skipped = store.assign(ADA)
    assert skipped
    store.skip(ADA, skipped.token)
    app = open_page("my_ratings", "Ada")
    assert "Skipped" in words(app) and "1 skipped" in words(app)
    button(app, "Rate it now").click().run()
    assert "Which answer do you like better?" in words(app)
    now = store.assign(ADA)
    assert now and now.token == skipped.token


def test_below_twenty_ratings_there_is_the_way_there_and_no_number(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    rate(store, *[Outcome.A] * 7)
    app = part(open_page, "How I choose")
    assert "not enough data (7 of 20)" in words(app)
    assert not app.get("vega_lite_chart") and not app.get("arrow_vega_lite_chart")
    assert not any(llm.name in sent(app) for llm in LLMS)
    assert "7 of 20 ratings" in sent(app)


def test_after_twenty_decisive_ratings_there_are_shares_and_an_own_ranking(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    rate(store, *[Outcome.A] * 14, *[Outcome.B] * 8, Outcome.TIE)
    app = part(open_page, "How I choose")
    assert not app.exception and not app.error
    assert "From my 23 ratings alone, 22 of which prefer one" in words(app)
    assert all(llm.name in sent(app) for llm in LLMS)


def test_the_number_of_statements_of_each_part_is_the_same_for_twenty_ratings_and_for_fifty(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    from pages.parts.context import context

    def numbers() -> list[int]:
        found = []
        for name in ("Ratings", "How I choose", "My data"):
            app = part(open_page, name)
            with statements(context().database) as heard:
                app.run()
            found.append(len(heard))
        return found

    rate(store, *[Outcome.A] * 20)  # enough for every chart
    few = numbers()
    rate(store, *[Outcome.B] * 30)
    assert numbers() == few
    assert max(few) <= 8


@pytest.mark.parametrize(("how", "farewell"), [("erase", "was deleted"), ("anonymise", "random one")])
def test_who_leaves_types_their_name_and_is_nobody_then(
    open_page: Open, demo: Database, store: PreferenceStore, how: str, farewell: str
) -> None:
    rate(store, Outcome.A)
    people, before = People(demo), len(store.snapshot())
    app = part(open_page, "My data")
    assert button(app, "Delete my data").disabled
    app.radio(key="my_ratings.how").set_value(how).run()
    app.text_input(key="my_ratings.typed").set_value("ada").run()
    assert button(app, "Delete my data").disabled
    app.text_input(key="my_ratings.typed").set_value("Ada").run()
    button(app, "Delete my data").click().run()
    assert not app.exception and not app.error
    assert farewell in words(app) and "Say who you are first" in words(app)
    assert "Ada" not in [one.person.name for one in people.list(simulated=False)]
    assert len(store.snapshot()) == before - (how == "erase")
    assert farewell not in words(app.run())


def test_a_name_that_is_not_mine_deletes_nothing_even_when_the_button_is_forced(
    demo: Database, store: PreferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamlit as st

    from pages.parts.my_data import leave

    rate(store, Outcome.A)
    for state in ({}, {"my_ratings.how": "erase", "my_ratings.typed": "ada"}, {"my_ratings.typed": "Ada"}):
        monkeypatch.setattr(st, "session_state", dict(state))
        leave(ADA)
        assert "Nothing was deleted" in st.session_state["errors.pending"]
    assert len(store.history(ADA)) == 1


def test_the_download_is_offered_and_is_my_data(open_page: Open, demo: Database, store: PreferenceStore) -> None:
    import json

    from pages.parts.my_data import _document

    rate(store, Outcome.A)
    app = part(open_page, "My data")
    assert app.get("download_button")[0].proto.label == "Download my data (JSON)"
    assert len(json.loads(_document(ADA).read())["ratings"]) == 1


def test_the_chart_draws_dot_interval_and_reference_on_one_axis_from_0_to_1() -> None:
    import pandas as pd

    row = {"name": "x", "value": 0.6, "low": 0.4, "high": 0.8, "reference": None, "note": "60 %, n = 20"}
    drawn = share_chart(pd.DataFrame([row]), "Share").to_dict()
    assert [layer["mark"]["type"] for layer in drawn["layer"]] == ["rule", "tick", "point", "text"]
    assert drawn["layer"][2]["encoding"]["x"]["scale"]["domain"] == [0, 1]


def test_a_rating_of_a_closed_campaign_is_read_only_and_says_why_and_then_tells_the_llms_if_it_may(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    campaigns = Campaigns(demo)
    campaigns.edit("Everything", "test", reveal=Reveal.END)
    rate(store, Outcome.A)
    app = open_page("my_ratings", "Ada")
    app.session_state["my_ratings.open"] = next(store.comparisons(ADA)).key
    app.run()
    assert button(app, "Change to: Tie") and "A was" not in words(app)
    campaigns.set_open("Everything", "test", open=False)
    app.run()
    assert "is closed, so its ratings can be read and no longer changed" in words(app)
    assert [found.label for found in app.button if found.label.startswith("Change to")] == []
    assert "A was " in words(app)


def test_what_was_written_and_not_sent_is_listed_with_the_way_back(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    People(demo).sign_in("Ada")
    pair = store.assign(ADA)
    assert pair
    store.save_draft(ADA, pair.token, {"chosen": "a"})
    app = open_page("my_ratings", "Ada")
    assert "Drafts" in words(app)
    button(app, "Go on").click().run()
    now = store.assign(ADA)
    assert now and now.token == pair.token
