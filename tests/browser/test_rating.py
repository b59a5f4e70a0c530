"""What only a browser shows of rating: keys beside open panels, what crosses the wire, text from right to left."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.campaigns import Mode
from core.domain import LLM, Bundle, LLMId, Query, QueryId, Response
from db.campaigns import Campaigns
from db.engine import Database
from db.preferences import PreferenceStore
from tests.browser.test_main_job import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocket

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LLMS = (LLM(LLMId("secret-llm-one"), "Hidden Name One"), LLM(LLMId("secret-llm-two"), "Hidden Name Two"))
HEBREW = "שלום, זה משפט ארוך.\n\n- פריט **מודגש** ראשון\n\n```\ncode = 1\n```"
TRACKED = "See ![pixel](https://tracker.example/pixel.png) and \\(x^2\\)."


def two_queries(path: Path) -> None:
    """Two queries with hard texts, asked in detail."""
    database = Database.open(f"sqlite:///{path}")
    queries = tuple(Query(QueryId(f"query-{i}"), ("Before?", "Then 100 < 200?")) for i in range(2))
    said = tuple(
        Response(query.query_id, llm.llm_id, ("Earlier.", text))
        for query in queries
        for llm, text in zip(LLMS, (HEBREW, TRACKED), strict=True)
    )
    PreferenceStore(database).add_bundle(Bundle("hard", (), (), LLMS, queries, said))
    Campaigns(database).edit("Everything", "test", mode=Mode.DETAILED, criteria=("Tone",))
    database.dispose()


def stored(path: Path) -> list[tuple[str, str | None]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(
            "SELECT outcome, comment FROM comparisons LEFT JOIN rating_details ON comparison_id = id ORDER BY id"
        ).fetchall()


def ready(page: "Page", n: int) -> None:
    """Wait until the page asks for what comes after n answers."""
    page.get_by_text(f" {n} of 2").wait_for()
    page.locator("[data-test-script-state=notRunning]").wait_for()
    page.get_by_role("button", name="Undo").wait_for()


def opened(page: "Page", words: str) -> None:
    """Wait for a panel and for the end of the run that drew it: a key in the middle of one is not heard."""
    page.get_by_text(words).wait_for()
    page.locator("[data-test-script-state=notRunning]").wait_for()


def test_rating_in_detail_by_keyboard_blind_on_the_wire_and_without_a_request_to_any_other_host(
    page: "Page", serve: Callable[..., str], tmp_path: Path
) -> None:
    two_queries(tmp_path / "app.db")
    outside: list[str] = []
    wire: list[bytes] = []

    def listen(socket: "WebSocket") -> None:
        socket.on("framereceived", lambda frame: wire.append(frame if isinstance(frame, bytes) else frame.encode()))

    page.on("request", lambda request: outside.append(request.url) if "127.0.0.1" not in request.url else None)
    page.on("websocket", listen)
    address = serve(PREFROUTE_DEMO="false", PREFROUTE_MINIMUM_DWELL="0")
    sign_in(page, address)
    wire.clear()
    page.goto(f"{address}/rate")
    ready(page, 0)

    turned = page.locator(".stMarkdown", has_text="משפט").first
    assert turned.locator("p").first.evaluate("it => getComputedStyle(it).textAlign") in ("right", "end")
    assert page.locator("code", has_text="code = 1").inner_text().strip() == "code = 1"
    assert page.locator(".katex").count() >= 1

    page.keyboard.press("2")
    comment = page.get_by_label("Comment")
    comment.click()
    page.keyboard.type("1 2 3 s f u g: keys typed here rate nothing")
    assert stored(tmp_path / "app.db") == []
    page.keyboard.press("Control+Enter")
    ready(page, 1)
    assert stored(tmp_path / "app.db") == [("b", "1 2 3 s f u g: keys typed here rate nothing")]

    page.keyboard.press("g")
    opened(page, "Press G to close")
    page.keyboard.press("f")
    opened(page, "What is wrong with it?")
    page.keyboard.press("1")  # with both panels open
    page.get_by_label("Comment").wait_for()
    page.locator("[data-test-script-state=notRunning]").wait_for()
    page.keyboard.press("Control+Enter")
    page.get_by_text("You rated all 2").wait_for()
    assert [outcome for outcome, _ in stored(tmp_path / "app.db")] == ["b", "a"]

    sent = b"".join(wire)
    assert "משפט".encode() in sent
    assert [llm.name for llm in LLMS if llm.name.encode() in sent or llm.llm_id.encode() in sent] == []
    assert [url for url in outside if url.startswith("http")] == []
