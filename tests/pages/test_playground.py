"""The playground by Streamlit's test runner: deciding, the slider, what a prompt may be, and what may not be seen."""

import json
import shlex
from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.domain import LLMId, Outcome, UserId
from db.engine import Database
from db.preferences import PreferenceStore
from db.pricing import Past
from pages.parts.snippets import curl, python
from pages.parts.spending import spending, spending_chart, worth_of
from tests.pages.test_pages import button, sent, words
from tests.planted import HashEncoder

Open = Callable[..., AppTest]
PROMPT = "Explain recursion to a child"


@pytest.fixture(autouse=True)
def _words_for_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here does not hang on what an encoder makes of words."""
    monkeypatch.setattr("pages.parts.context.SentenceEncoder", lambda _: HashEncoder())


def ask(app: AppTest, prompt: str) -> AppTest:
    app.segmented_control(key="playground.then").set_value("Decide only").run()
    return app.chat_input[0].set_value(prompt).run()


def decisions(database: Database) -> list[tuple[str | None, str]]:
    """Who was decided for and from where, straight from the table."""
    from sqlalchemy import text

    with database.read() as session:
        return [
            (name, source)
            for name, source in session.execute(
                text(
                    "SELECT users.name, routing_decisions.source FROM routing_decisions "
                    "LEFT JOIN users ON users.id = user_id ORDER BY routing_decisions.id"
                )
            )
        ]


def test_a_prompt_is_decided_once_and_the_decision_says_what_it_rests_on(open_page: Open, demo: Database) -> None:
    app = ask(open_page("playground", "Ada"), PROMPT)
    assert not app.exception and not app.error
    shown = words(app)
    assert "Using one ranking for all" in shown
    assert "to be liked best" in shown and "next Demo" in shown and "ms to decide" in shown and "about \\$" in shown
    app.run()
    assert decisions(demo) == [("Ada", "playground")]


def test_for_the_average_user_nobody_is_written_down(open_page: Open, demo: Database) -> None:
    app = open_page("playground", "Ada")
    app.segmented_control(key="playground.way").set_value("The average user").run()
    ask(app, PROMPT)
    assert decisions(demo) == [(None, "playground preview")]


def test_a_rater_cannot_route_as_another_user(open_page: Open, demo: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFROUTE_AUTH", "invite")
    app = open_page("playground", "Ada")
    assert app.segmented_control(key="playground.way").options == ["Me", "The average user"]


def test_an_analyst_can_and_a_simulated_user_is_called_one(open_page: Open, demo: Database) -> None:
    app = open_page("playground", "Ada")
    app.segmented_control(key="playground.way").set_value("Another user").run()
    assert "simulated-brief-01 (simulated)" in app.selectbox(key="playground.other").options
    ask(app, PROMPT)
    assert decisions(demo) == [("simulated-brief-01", "playground preview")]


def test_an_empty_prompt_does_nothing_and_a_long_one_is_refused_and_kept(open_page: Open, demo: Database) -> None:
    app = ask(open_page("playground", "Ada"), "   ")
    assert not app.error and "Type a prompt below" in words(app)
    ask(app, "x" * 8001)
    assert "8,001 characters" in app.error[0].value and "Nothing was sent" in app.error[0].value
    assert app.text_area(key="playground.kept").value == "x" * 8001
    assert decisions(demo) == []
    ask(app, PROMPT)
    assert not app.error


def test_money_makes_the_pick_cheaper_without_asking_the_router_again(open_page: Open, demo: Database) -> None:
    app = ask(open_page("playground", "Ada"), PROMPT)
    app.slider(key="playground.alpha").set_value(0.95).run()
    assert "Demo Terse" in [heading.value for heading in app.subheader]  # the cheapest
    assert decisions(demo) == [("Ada", "playground")]


def test_the_slider_says_what_it_would_do_to_ones_own_queries(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    app = open_page("playground", "Ada")
    assert "You rated no queries yet" in words(app)
    rated(store, 3)
    app.run()
    assert "on your last 3 rated queries" in words(app) and "a query" in words(app)


def test_every_setting_is_shown_at_once_with_the_number_of_queries(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    app = open_page("playground", "Ada")
    rated(store, 3)
    app.run()
    next(t for t in app.toggle if t.label == "Show every setting at once").set_value(True).run()
    assert not app.exception and "last 3 rated queries, each share to within" in words(app)
    assert "liked 4 times in 5" in sent(app)


def test_the_picture_of_all_settings_goes_from_the_cheapest_to_the_best_liked() -> None:
    liked = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1]])
    cost = np.tile([0.004, 0.001, 0.0001], (2, 1))
    bands = spending(Past((LLMId("a"), LLMId("b"), LLMId("c")), ("A", "B", "C"), liked, cost))
    assert bands.groupby("worth")["share"].sum().round(9).eq(1).all()
    ends = bands[bands["worth"].isin([bands["worth"].min(), bands["worth"].max()])].pivot(
        index="worth", columns="llm", values="share"
    )
    assert ends.to_numpy().tolist() == [[0, 0, 1], [0.5, 0.5, 0]]
    assert (bands["low"] <= bands["share"]).all() and (bands["share"] <= bands["high"]).all()
    drawn = spending_chart(bands, ["C", "B", "A", "never used"], worth_of(0.5)).to_dict()
    assert drawn["layer"][0]["encoding"]["color"]["scale"]["domain"] == ["C", "B", "A"]
    assert worth_of(0) == np.inf and worth_of(0.5) == pytest.approx(1.386, abs=1e-3) and worth_of(1) == 0


def test_why_is_answered_when_asked_for(open_page: Open, demo: Database) -> None:
    app = ask(open_page("playground", "Ada"), PROMPT)
    assert "Ratings that weighed most" not in words(app)
    next(t for t in app.toggle if t.label.startswith("Why")).set_value(True).run()
    assert "Ratings that weighed most" in words(app)


def test_a_few_cards_tell_what_a_better_answer_is_worth_and_set_the_slider(open_page: Open, demo: Database) -> None:
    app = open_page("playground", "Ada")
    assert "Not enough answers for a figure (0 of 5)" in words(app)
    for _ in range(5):
        button(app, "No, the cheaper one").click().run()
    assert "4 times in 5 is worth about" in words(app) and "from 5 answers" in words(app)
    button(app, "Spend as I would").click().run()
    assert not app.exception and app.session_state["playground.alpha"] > 0.2


def test_a_budget_sets_the_slider_and_one_that_cannot_be_kept_is_refused(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    open_page("playground", "Ada")  # signs in
    rated(store, 3)
    app = open_page("playground", "Ada")
    app.number_input(key="playground.budget").set_value(0.10).run()
    button(app, "Set the slider").click().run()
    assert not app.error and app.session_state["playground.alpha"] > 0
    app.number_input(key="playground.budget").set_value(0.0).run()
    button(app, "Set the slider").click().run()
    assert "The cheapest LLMs cost" in app.error[0].value


def test_two_llms_by_a_threshold_say_which_queries_go_where(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    open_page("playground", "Ada")  # signs in
    rated(store, 3)
    app = open_page("playground", "Ada")
    app.toggle(key="playground.two").set_value(True).run()
    assert "wins with at least" in words(app) and "your last 3 rated queries" in words(app)
    app.selectbox(key="playground.weak").set_value(0).run()
    assert "two different LLMs" in words(app)


def rated(store: PreferenceStore, n: int) -> None:
    for _ in range(n):
        assignment = store.assign(UserId("Ada"))
        assert assignment is not None
        store.record(UserId("Ada"), assignment.token, Outcome.A, minimum_dwell=0)


@pytest.mark.parametrize("prompt", ["it's", 'say "hi" & $HOME `x` \\n', "two\nlines", "ü 漢字"])
def test_snippets_carry_any_prompt_unchanged(prompt: str) -> None:
    arguments = shlex.split(curl("http://h/v1", UserId("O'Neil"), prompt, 0.3).replace("\\\n", ""))
    body = json.loads(arguments[-1])
    assert body["messages"][0]["content"] == prompt and body["user"] == "O'Neil" and body["model"] == "prefroute:0.3"
    tree = compile(python("http://h/v1", UserId("O'Neil"), prompt, 0), "snippet", "exec")
    assert prompt in str(tree.co_consts) or repr(prompt)[1:-1] in str(tree.co_consts)
