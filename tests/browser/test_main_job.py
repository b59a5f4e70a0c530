"""The main job as a person does it: rate by keyboard, train, see the routing page change."""

import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.settings import Settings
from db.demo import LLMS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

QUERIES = 54


def sign_in(page: "Page", address: str, name: str = "Ada") -> None:
    page.goto(address)
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Start").click()
    page.get_by_text(f"Signed in as {name}").wait_for()
    page.get_by_text("I have read this").click()
    page.get_by_role("button", name="I agree").click()
    page.get_by_role("button", name="Start rating").wait_for()


def rated(page: "Page", n: int) -> None:
    """Wait until the page shows the pair that comes after n ratings, all of it."""
    page.get_by_text(f" {n} of {QUERIES}").wait_for()
    page.locator("[data-test-script-state=notRunning]").wait_for()
    page.get_by_role("button", name="Undo").wait_for()


def pair_of(page: "Page") -> str:
    """The query and both responses as they read, once they stay as they are: code is coloured a little later."""
    before, now = "", _words(page)
    while now != before:
        page.wait_for_timeout(700)
        before, now = now, _words(page)
    return now


def shows(page: "Page", pair: str) -> bool:
    """Whether the page comes to show this pair."""
    for _ in range(400):
        if _words(page) == pair:
            return True
        page.wait_for_timeout(250)
    return False


def _words(page: "Page") -> str:
    read = (page.locator(f".st-key-panes-{part}").inner_text() for part in ("query", "A", "B"))
    return " ".join(" ".join(read).split())


def ratings_of(path: Path, name: str) -> list[tuple[str, int]]:
    """(outcome, assignment) of every event by a user, straight from the file."""
    with sqlite3.connect(path) as connection:
        return connection.execute(
            "SELECT outcome, assignment_id FROM comparisons JOIN users ON users.id = user_id "
            "WHERE name = ? ORDER BY comparisons.id",
            (name,),
        ).fetchall()


def test_ten_ratings_by_keyboard_then_training_change_the_routing_page(
    page: "Page", serve: Callable[..., str], tmp_path: Path
) -> None:
    outside: list[str] = []
    page.on(
        "request",
        lambda request: (
            outside.append(request.url) if "127.0.0.1" not in request.url and request.url.startswith("http") else None
        ),
    )
    address = serve(PREFROUTE_DEVICE="cpu")
    sign_in(page, address)
    page.goto(f"{address}/rate")
    keys = "1234212121"
    for i, key in enumerate(keys):
        rated(page, i)
        shown = page.locator(".stMain").inner_text()
        assert not any(llm.name in shown or llm.llm_id in shown for llm in LLMS)
        page.wait_for_timeout(900)  # the minimum dwell
        page.keyboard.press(key)
    rated(page, len(keys))
    names = {"1": "a", "2": "b", "3": "tie", "4": "both_bad"}
    stored = ratings_of(tmp_path / "app.db", "Ada")
    assert [outcome for outcome, _ in stored] == [names[key] for key in keys]
    assert len({assignment for _, assignment in stored}) == len(keys)

    page.goto(f"{address}/routing")
    page.get_by_text("No router yet").wait_for(timeout=120_000)  # the first decision of a server reads the encoder
    page.get_by_text("Ratings that weighed most").first.wait_for(timeout=120_000)

    page.goto(f"{address}/training")
    page.get_by_role("button", name="Train").click()
    page.get_by_text(re.compile(r"Version 1 · ladder · in service")).wait_for(timeout=600_000)
    page.get_by_text("Personal routing is better than one ranking for all").wait_for(timeout=120_000)

    page.goto(f"{address}/routing")
    page.get_by_text("Router: ladder-1").wait_for(timeout=120_000)
    page.get_by_text("Early days: 10 of 20 ratings").wait_for()
    assert outside == []


def test_a_held_key_a_reload_and_a_second_tab_rate_a_pair_once(
    page: "Page", serve: Callable[..., str], tmp_path: Path
) -> None:
    address = serve()
    sign_in(page, address)
    page.goto(f"{address}/rate")
    rated(page, 0)
    pair = pair_of(page)
    page.reload()
    rated(page, 0)
    assert shows(page, pair)  # same assignment, same sides

    second = page.context.new_page()
    second.goto(f"{address}/rate")
    rated(second, 0)
    assert shows(second, pair)

    page.wait_for_timeout(900)
    page.bring_to_front()
    began = time.monotonic()
    for _ in range(12):  # as a held key repeats
        page.keyboard.down("1")
        page.wait_for_timeout(30)
    page.keyboard.up("1")
    held = time.monotonic() - began  # under half a second, and several where the machine is busy
    page.get_by_text(re.compile("Too quick|Already saved|Saved")).first.wait_for()
    page.wait_for_timeout(500)
    stored = ratings_of(tmp_path / "app.db", "Ada")
    assert len(stored) == len({assignment for _, assignment in stored})
    assert 1 <= len(stored) <= 2 + held // Settings.model_fields["minimum_dwell"].default  # each was shown for so long

    second.bring_to_front()
    second.keyboard.press("2")  # it still shows the pair that the first tab rated
    second.get_by_text(re.compile("Already saved|Too quick")).wait_for()
    after = ratings_of(tmp_path / "app.db", "Ada")
    assert after[: len(stored)] == stored and after[0][0] == "a"


def test_undo_brings_the_pair_back_and_keeps_both_versions(
    page: "Page", serve: Callable[..., str], tmp_path: Path
) -> None:
    address = serve()
    sign_in(page, address)
    page.goto(f"{address}/rate")
    rated(page, 0)
    pair = pair_of(page)
    page.wait_for_timeout(900)
    page.get_by_role("button", name="A is better").click()
    rated(page, 1)
    page.keyboard.press("u")
    rated(page, 0)
    assert shows(page, pair)
    page.wait_for_timeout(900)
    page.keyboard.press("2")
    rated(page, 1)
    assert [outcome for outcome, _ in ratings_of(tmp_path / "app.db", "Ada")] == ["a", None, "b"]


def test_the_first_page_paints_before_torch_is_imported_and_after_a_restart_the_person_is_still_known(
    page: "Page", serve: Callable[..., str], tmp_path: Path
) -> None:
    address = serve(PYTHONPROFILEIMPORTTIME="1")
    sign_in(page, address)
    page.reload()
    page.get_by_text("Signed in as Ada").wait_for()
    page.goto(f"{address}/rate")
    rated(page, 0)
    imported = (tmp_path / "server.log").read_text()
    assert "| streamlit" in imported
    for heavy in ("torch", "sentence_transformers", "transformers", "torch_geometric"):
        assert not re.search(rf"\| +{heavy}$", imported, re.MULTILINE), heavy
