"""The leaderboard page: empty, full, filtered, adjusted, with few ratings, and its charts as data."""

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest
import streamlit as st
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from core.domain import LLMId, Outcome, QueryId, UserId
from db.base import utc_now
from db.demo import LLMS
from db.engine import Database
from db.models import AssignmentRow, GoldRow
from db.preferences import PreferenceStore
from pages.parts.charts import FEW, strength_chart, win_matrix_chart
from tests.db.worlds import world
from tests.pages.test_pages import button, words

Open = Callable[..., AppTest]
PAGE = "pages/explore/leaderboard.py"


@pytest.fixture(autouse=True)
def nothing_remembered(url: str) -> None:
    st.cache_data.clear()


def charts(app: AppTest) -> int:
    return len(app.get("vega_lite_chart"))


def test_without_ratings_it_says_where_they_come_from(open_page: Open, database: Database) -> None:
    app = open_page("leaderboard", "Ada")
    assert "No comparisons yet" in words(app) and "Nothing to rate yet" in words(app)
    assert not charts(app) and not app.metric and not app.selectbox
    PreferenceStore(database).add_bundle(world())
    assert "Nothing to rate yet" not in words(open_page("leaderboard", "Ada"))


def test_the_demo_world_is_ranked_and_marked_as_simulated(open_page: Open, demo: Database) -> None:
    app = open_page("leaderboard", "Ada")
    said = words(app)
    assert "**2,400 of 2,400 ratings**" in said and "2,400 by simulated users" in said
    assert "95 % interval" in said and "Left out" not in said
    assert charts(app) == 2
    assert [metric.label for metric in app.metric] == ["Ties", "Side A won", "Longer response won"]
    assert app.get("download_button")


def test_a_rating_counts_here_at_once_and_one_taken_back_is_said_to_be(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    app = open_page("rate", "Ada")
    button(app, "A is").click().run()
    assert "**2,401 of 2,401 ratings**" in words(app.switch_page(PAGE).run())
    store.withdraw(UserId("Ada"), next(said.key for said in store.comparisons(UserId("Ada"))))
    said = words(app.run())
    assert "**2,400 of 2,401 ratings**" in said
    assert "Left out: 1 taken back by the person who gave them." in said


def test_the_task_stands_in_the_url(demo: Database, open_page: Open) -> None:
    app = open_page("welcome", "Ada")
    app.query_params["leaderboard.task"] = "code"
    app.switch_page(PAGE).run()
    assert app.selectbox(key="leaderboard.task").value == "code"
    assert "about other tasks" in words(app) and "of 2,400 ratings" in words(app)
    app.query_params["leaderboard.task"] = "no such task"
    assert open_page("leaderboard", "Ada").selectbox(key="leaderboard.task").value == "All tasks"


def test_filtered_to_nothing_offers_to_clear_the_filters(open_page: Open, demo: Database) -> None:
    app = open_page("leaderboard", "Ada")
    app.toggle(key="leaderboard.simulated").set_value(False).run()
    assert "No rating is left with these filters" in words(app)
    assert "2,400 given by simulated users" in words(app) and not charts(app)
    button(app, "Clear filters").click().run()
    assert "**2,400 of 2,400 ratings**" in words(app)


def test_days_and_campaigns_filter_and_each_reason_has_its_way_back(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    rate = open_page("rate", "Ada")
    button(rate, "A is").click().run()
    app = rate.switch_page(PAGE).run()
    app.selectbox(key="leaderboard.group").select("Everything").run()
    assert "2,400 of other campaigns and files" in words(app) and "**1 of 2,401 ratings**" in words(app)
    app.button(key="leaderboard.count.GROUP").click().run()
    assert "**2,401 of 2,401 ratings**" in words(app) and "Left out" not in words(app)
    app.date_input(key="leaderboard.to").set_value(date(2001, 1, 2)).run()
    app.date_input(key="leaderboard.from").set_value(date(2001, 2, 3)).run()
    assert "2,401 given on other days" in words(app) and "the other way round" in words(app)
    app.button(key="leaderboard.count.DAYS").click().run()
    assert "**2,401 of 2,401 ratings**" in words(app)
    assert app.date_input(key="leaderboard.from").value is None


def test_answers_to_gold_items_count_on_request(open_page: Open, demo: Database, store: PreferenceStore) -> None:
    app = open_page("rate", "Ada")
    assignment = store.assign(UserId("Ada"))
    assert assignment is not None
    with demo.write() as session:
        row = session.scalars(select(AssignmentRow).where(AssignmentRow.token == assignment.token)).one()
        gold = GoldRow(
            query_id=row.query_id, response_a_id=row.response_a_id, response_b_id=row.response_b_id,
            expected=Outcome.A, reason="clear", set_by="Ada", created_at=utc_now(),
        )  # fmt: skip
        session.add(gold)
        session.flush()
        row.gold_id = gold.id
    button(app, "A is").click().run()
    app.switch_page(PAGE).run()
    assert "1 answers to gold items" in words(app) and "**2,400 of 2,401 ratings**" in words(app)
    app.button(key="leaderboard.count.GOLD").click().run()
    assert "**2,401 of 2,401 ratings**" in words(app)


def test_few_ratings_are_counted_and_not_ranked(open_page: Open, database: Database) -> None:
    PreferenceStore(database).add_bundle(world(queries=20, ratings=20))
    app = open_page("leaderboard", "Ada")
    assert "Not enough ratings to rank (20 of 30)" in words(app)
    assert not charts(app) and not app.metric
    table = app.dataframe[0].value
    assert table["llm"].tolist() == ["llm-0", "llm-1", "llm-2"]
    assert table["ratings"].tolist() == [20, 20, 0] and table["wins"].tolist() == [20, 0, 0]


def test_an_llm_that_never_lost_and_one_without_ratings_are_spoken_of(open_page: Open, database: Database) -> None:
    PreferenceStore(database).add_bundle(world(queries=40, ratings=40))
    said = words(open_page("leaderboard", "Ada"))
    assert "never lost, or never won" in said
    assert "1 LLM without ratings here is not shown" in said


def test_llms_that_were_never_compared_stand_in_groups_of_their_own(open_page: Open, database: Database) -> None:
    for name in ("one", "two"):
        bundle = world(queries=20, ratings=20, source=name, user=f"robot-{name}")
        renamed = {llm.llm_id: LLMId(f"{name}-{llm.llm_id}") for llm in bundle.llms}
        queries = {query.query_id: QueryId(f"{name}-{query.query_id}") for query in bundle.queries}
        responses = tuple(replace(r, llm_id=renamed[r.llm_id], query_id=queries[r.query_id]) for r in bundle.responses)
        ids = {old.response_id: new.response_id for old, new in zip(bundle.responses, responses, strict=True)}
        said = tuple(
            replace(
                c, llm_a=renamed[c.llm_a], llm_b=renamed[c.llm_b], query_id=queries[c.query_id],
                response_a=ids[c.response_a], response_b=ids[c.response_b],
            )
            for c in bundle.comparisons
        )  # fmt: skip
        PreferenceStore(database).add_bundle(
            replace(
                bundle, llms=tuple(replace(llm, llm_id=renamed[llm.llm_id]) for llm in bundle.llms),
                queries=tuple(replace(q, query_id=queries[q.query_id]) for q in bundle.queries),
                responses=responses, comparisons=said,
            )
        )  # fmt: skip
    app = open_page("leaderboard", "Ada")
    assert "2 groups that were never compared" in words(app)
    assert "Group 2 of 2" in words(app) and charts(app) == 3


def test_adjusting_shows_what_length_and_format_do(open_page: Open, demo: Database) -> None:
    app = open_page("leaderboard", "Ada")
    app.toggle(key="leaderboard.adjust").set_value(True).run()
    assert not app.exception and not app.error
    assert "as if all responses had equal length and format" in words(app)
    assert app.dataframe[0].value["trait"].tolist() == ["length", "headers", "lists", "bold"]


def download(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    given: list[Any] = []
    monkeypatch.setattr(st, "download_button", lambda *arguments, **_: given.append(arguments))
    app.run()
    return pd.read_csv(io.BytesIO(next(data for _, data, *_ in given if isinstance(data, bytes))))


def test_the_download_has_every_llm_with_its_interval(
    open_page: Open, demo: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = download(open_page("leaderboard", "Ada"), monkeypatch)
    assert set(table["llm_id"]) == {llm.llm_id for llm in LLMS}
    assert (table["low"] < table["chance"]).all() and (table["chance"] < table["high"]).all()
    assert table["ratings"].sum() == 2 * 2400
    assert (table["wins"] + table["losses"] + table["ties"] == table["ratings"]).all()


def test_a_name_that_is_a_formula_is_downloaded_as_text(
    open_page: Open, demo: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import text

    with demo.write() as session:
        session.execute(text("UPDATE llms SET name = '=1+1' WHERE key = 'demo-terse'"))
    table = download(open_page("leaderboard", "Ada"), monkeypatch)
    assert "'=1+1" in set(table["llm"])


def test_the_strength_chart_names_rank_and_n_and_keeps_the_order() -> None:
    table = pd.DataFrame({
        "rank": [1, 2], "llm": ["one", "two"], "chance": [0.6, 0.4], "low": [0.55, 0.35], "high": [0.65, 0.45],
        "ratings": [1200, 900],
    })  # fmt: skip
    drawn = strength_chart(table, {"one": "#111111", "two": "#222222"}).to_dict()
    rows = next(rows for rows in drawn["datasets"].values() if "label" in rows[0])
    assert [row["label"] for row in rows] == ["1. one|n 1,200", "2. two|n 900"]
    assert len(drawn["layer"]) == 4


@pytest.mark.parametrize("columns", [3, 20])
def test_the_win_matrix_greys_cells_with_few_ratings(columns: int) -> None:
    order = [f"llm-{i}" for i in range(columns)]
    cells = pd.DataFrame({
        "row": ["llm-0", "llm-1"], "column": ["llm-1", "llm-2"], "share": [0.7, 0.4], "n": [9, 10],
        "few": [True, False],
    })  # fmt: skip
    drawn = win_matrix_chart(cells, order, dict.fromkeys(order, "#111111")).to_dict()
    rows = next(rows for rows in drawn["datasets"].values() if "note" in rows[0])
    assert [row["note"] for row in rows] == ["", "40%"]
    assert drawn["layer"][0]["encoding"]["color"]["condition"] == {"test": "datum.few", "value": FEW}
    assert len(drawn["layer"]) == 2 + (3 if columns == 3 else 2)  # two strips of colour; no room for n among many


def test_ratings_by_people_carry_no_badge(open_page: Open, database: Database, store: PreferenceStore) -> None:
    store.add_bundle(world(queries=3))
    app = open_page("leaderboard", "Ada")
    for _ in range(2):
        assignment = store.assign(UserId("Ada"))
        assert assignment is not None
        store.record(UserId("Ada"), assignment.token, Outcome.TIE, minimum_dwell=0)
    app.run()
    assert "**2 of 2 ratings**" in words(app) and "simulated users" not in words(app)
