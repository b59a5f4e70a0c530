"""Generating responses on the page "Data in and out": the cost before anything is asked, progress, what came of it."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.domain import LLM, Bundle, LLMId, Query, QueryId
from core.settings import Settings
from db.engine import Database
from db.generations import GENERATION
from db.preferences import PreferenceStore
from db.runs import TrainingRuns
from db.worker import Worker
from pages.parts.importing import desk_of
from tests.openai_server import OpenAIServer
from tests.pages.test_pages import button, words
from tests.planted import HashEncoder

Open = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def a_clean_desk(url: str) -> None:
    desk_of("Ada").clear()


@pytest.fixture
def imported(store: PreferenceStore, openai_server: OpenAIServer) -> PreferenceStore:
    llms = (
        LLM(LLMId("one"), "First", endpoint=f"{openai_server.base_url}#one", input_price=1.0, output_price=1.0),
        LLM(LLMId("two"), "Second", endpoint=f"{openai_server.base_url}#two"),
        LLM(LLMId("mute"), "Mute"),
    )
    queries = tuple(Query(QueryId(f"q{i}"), (f"Question {i}?",)) for i in range(3))
    store.add_bundle(Bundle("file", llms=llms, queries=queries))
    return store


def test_the_cost_is_shown_before_anything_is_asked_and_the_end_tells_what_came(
    open_page: Open, imported: PreferenceStore, database: Database, openai_server: OpenAIServer
) -> None:
    app = open_page("data", "Ada")
    assert "1 LLMs cannot be asked" in words(app) + " ".join(str(e.label) for e in app.expander)
    app.multiselect(key="data.generate.llms").select("one").run()
    shown = next(frame.value for frame in app.dataframe if "missing" in frame.value)
    assert shown["missing"].tolist() == [3] and shown["at_most"].iloc[0] >= shown["expected"].iloc[0] > 0
    assert not openai_server.seen
    button(app, "Generate 3 responses for about $").click().run()
    assert "Waiting for a worker" in words(app) and not app.exception
    Worker(database, HashEncoder(), Settings(_env_file=None)).run_once()  # type: ignore[call-arg]
    app.run()
    told = next(frame.value for frame in app.dataframe if "answered" in frame.value)
    assert told["answered"].tolist() == [3] and openai_server.seen == {"one": 3}
    app.multiselect(key="data.generate.llms").select("one").run()
    assert button(app, "Generate 0 responses").disabled


def test_a_budget_without_prices_is_refused_before_the_click(open_page: Open, imported: PreferenceStore) -> None:
    app = open_page("data", "Ada")
    app.multiselect(key="data.generate.llms").select("two").run()
    assert button(app, "Generate 3 responses").label == "Generate 3 responses"  # no price, no sum
    app.number_input(key="data.generate.budget").set_value(1.0).run()
    assert button(app, "Generate 3 responses").disabled
    assert "needs prices" in str(button(app, "Generate 3 responses").help)


def test_a_cancelled_run_can_be_asked_for_its_rest(
    open_page: Open, imported: PreferenceStore, database: Database
) -> None:
    app = open_page("data", "Ada")
    app.multiselect(key="data.generate.llms").select("two").run()
    button(app, "Generate 3 responses").click().run()
    button(app, "Cancel").click().run()
    assert "Cancelled" in words(app)
    button(app, "Ask for the rest").click().run()
    runs = TrainingRuns(database, 30)
    assert [run.status for run in runs.latest(5, GENERATION)] == ["queued", "cancelled"]
    assert "Waiting for a worker" in words(app)
