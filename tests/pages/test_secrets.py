"""What a person typed and what a key is stand on no page of anybody else's, in no log and in no audit: a whole run."""

import json
import logging
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from db.audit import events
from db.engine import Database
from tests.openai_server import PROVIDER_BODY, SECRET, OpenAIServer
from tests.pages.test_pages import SCRIPTS, button, sent, words
from tests.pages.test_playground_live import ask, point, settled
from tests.planted import HashEncoder

PRIVATE = "My neighbour Ysolde sells contraband clarinets"
pytestmark = pytest.mark.timeout(900)  # it opens every page

# What a page shows only when it is asked to, by what its URL says.
MORE = [
    ("settings", {"settings.part": part})
    for part in ("LLMs", "API keys", "Campaigns", "Invites", "Health", "Audit log", "People")
]


@pytest.fixture(autouse=True)
def _a_provider_with_a_key(openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pages.parts.context.SentenceEncoder", lambda _: HashEncoder())
    monkeypatch.setenv("PREFROUTE_TEST_KEY", SECRET)
    provider = {"base_url": openai_server.base_url, "timeout": 60, "retries": 0, "key": "PREFROUTE_TEST_KEY"}
    monkeypatch.setenv("PREFROUTE_PROVIDERS", json.dumps({"test": provider}))


def test_what_one_person_asks_and_rates_for_themselves_and_every_key_stay_off_everybody_elses_pages(
    open_page: Callable[..., AppTest], demo: Database, openai_server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    point(demo, "one", "two", "three", "four", "five")
    ada = open_page("playground", "Ada")
    ada.segmented_control(key="playground.then").set_value("Decide only").run()
    ask(ada, PRIVATE)
    settled(button(ada, "Compare").click().run())
    button(ada, "A is").click().run()
    assert "Saved: A is better" in words(ada) and PRIVATE in words(ada)
    point(demo, "broken")
    ada.segmented_control(key="playground.then").set_value("Answer").run()
    ask(ada, f"{PRIVATE}, and flutes")
    shown = {"Ada's playground": sent(ada)}
    assert set(openai_server.keys) == {f"Bearer {SECRET}"}

    for name, query in [*((name, {}) for name in SCRIPTS), *MORE]:
        page = open_page(name, "Bob", query)
        assert not page.exception, name
        shown[f"{name} {query}"] = sent(page)
        assert PRIVATE.split()[2] not in shown[f"{name} {query}"], name
    shown |= {"log": caplog.text, "audit": str(events(demo, [], 1000))}
    for place, everything in shown.items():
        assert SECRET not in everything and PROVIDER_BODY not in everything, place
    for place in ("log", "audit"):
        assert PRIVATE.split()[2] not in shown[place], place
