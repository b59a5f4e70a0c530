"""The playground in Chromium: the decision before the text, the answer as it comes, stop, and a blind comparison whose
rating counts and moves the choice; a failing provider keeps the prompt.
"""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.test_main_job import ratings_of, sign_in
from tests.openai_server import PROVIDER_BODY, SECRET, OpenAIServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PROMPT = "Explain recursion to a child who likes trains"
FAILURES = {
    "rate-limited": "has reached its rate limit", "stall": "did not answer in time",
    "garbage": "sent something that is no answer",
    "unauthorised": "refused the request", "short": "This is too long for every LLM that could answer",
}  # fmt: skip


def point(path: Path, model: str) -> None:
    """Let every LLM of this database be asked as that model."""
    with sqlite3.connect(path, timeout=30) as connection:
        connection.execute("UPDATE llms SET endpoint = ?", (f"{'hasty' if model == 'stall' else 'test'}/{model}",))


def ask(page: "Page", prompt: str) -> None:
    field = page.get_by_test_id("stChatInputTextArea")
    field.fill(prompt)
    field.press("Enter")


def fails(page: "Page", path: Path, server: OpenAIServer, model: str, says: str) -> None:
    """A provider that fails says how, the prompt is still there, and nobody was asked twice: the pick, then one other,
    or all of five where each says that it is too long.
    """
    point(path, model)
    ask(page, f"{PROMPT}, {model}")
    page.get_by_text(f"{PROMPT}, {model}").first.wait_for()
    page.get_by_text(says).first.wait_for()
    page.get_by_role("button", name="Try again").wait_for()
    assert page.get_by_text(f"{PROMPT}, {model}").first.is_visible()
    shown = page.content()
    assert PROVIDER_BODY not in shown and SECRET not in shown
    assert server.seen[model] == (5 if model == "short" else 2)


def test_from_a_prompt_to_a_rating_that_moves_the_choice(
    page: "Page",
    serve: Callable[..., str],
    tmp_path: Path,
    openai_server: OpenAIServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFROUTE_TEST_KEY", SECRET)
    provider = {"base_url": openai_server.base_url, "timeout": 60, "retries": 0, "key": "PREFROUTE_TEST_KEY"}
    providers = {"test": provider, "hasty": provider | {"timeout": 1}}
    address = serve(PREFROUTE_DEVICE="cpu", PREFROUTE_PROVIDERS=json.dumps(providers))
    sign_in(page, address)

    # The decision stands there while the answer is still being written; a stop keeps what was written.
    point(tmp_path / "app.db", "endless")
    page.goto(f"{address}/playground")
    ask(page, PROMPT)
    page.get_by_text("ms to decide").first.wait_for()
    page.get_by_text("and and and").first.wait_for()
    page.locator(".stMain").get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("You stopped it here").first.wait_for()
    assert page.get_by_text(PROMPT).first.is_visible()
    assert openai_server.seen == {"endless": 1}

    for model, says in FAILURES.items():
        fails(page, tmp_path / "app.db", openai_server, model, says)

    # Both sides at the same time, then a vote that counts.
    point(tmp_path / "app.db", "slow")
    page.get_by_text("Decide only").first.click()
    ask(page, f"{PROMPT}, once more")
    page.get_by_role("button", name="Compare with the runner-up, blind").click()
    page.get_by_role("button", name="Discard").wait_for()
    # Both are the same model here and say the same words: there is nothing to choose, and nothing is stored.
    page.get_by_text("Both wrote the same words").first.wait_for()
    assert ratings_of(tmp_path / "app.db", "Ada") == []
    with sqlite3.connect(tmp_path / "app.db", timeout=30) as connection:
        for (number,) in connection.execute("SELECT id FROM llms").fetchall():
            connection.execute("UPDATE llms SET endpoint = ? WHERE id = ?", (f"test/model-{number}", number))
    ask(page, f"{PROMPT}, at last")
    page.get_by_text(f"{PROMPT}, at last").first.wait_for()
    page.get_by_role("button", name="Compare with the runner-up, blind").click()
    vote = page.get_by_role("button", name="A is better")
    vote.wait_for()
    page.wait_for_timeout(1000)  # the minimum dwell
    vote.click()
    page.get_by_text("Saved: A is better").first.wait_for()
    page.get_by_text("nothing was trained in between").first.wait_for()
    assert [outcome for outcome, _ in ratings_of(tmp_path / "app.db", "Ada")] == ["a"]
    assert SECRET not in (tmp_path / "server.log").read_text() and PROMPT not in (tmp_path / "server.log").read_text()
