"""The learned map in Chromium: what is selected on it is what stands beside it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.test_main_job import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


def test_a_brush_on_the_map_filters_the_heat_map_and_the_table_and_a_chart_is_kept_by_keyboard(
    page: "Page", serve: Callable[..., str], tmp_path: Path, trained_world: Path
) -> None:
    shutil.copy(trained_world, tmp_path / "app.db")
    address = serve(PREFROUTE_DEMO="false")
    page.set_viewport_size({"width": 1400, "height": 1400})
    sign_in(page, address)
    page.goto(f"{address}/embeddings")
    page.get_by_text("everyone, 60 people").wait_for(timeout=120_000)
    chart = page.locator(".st-key-map-chart .marks").first  # the picture, not an icon of its toolbar
    chart.wait_for()
    page.locator("[data-test-script-state=notRunning]").wait_for()
    page.wait_for_timeout(1000)  # what is drawn last moves the chart
    box = chart.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] * 0.5
    # As a hand drags: the chart follows the pointer with some delay.
    page.mouse.move(box["x"] + 30, box["y"] + 40)
    page.mouse.down()
    for step in range(1, 21):
        page.mouse.move(box["x"] + 30 + (middle - box["x"] - 30) * step / 20, box["y"] + 40 + 440 * step / 20)
        page.wait_for_timeout(25)
    page.wait_for_timeout(300)
    page.mouse.up()
    selection = page.get_by_text(re.compile(r"in the selection, \d+ people"))
    selection.wait_for(timeout=120_000)
    page.locator("[data-test-script-state=notRunning]").wait_for()
    said = re.search(r"in the selection, (\d+) people", selection.inner_text())
    assert said is not None
    people = int(said[1])
    assert 0 < people < 60
    page.locator(f".st-key-map-tab [aria-rowcount='{people + 1}']").first.wait_for(state="attached")
    page.locator(f"[aria-label*='of {people} people']").first.wait_for(state="attached")

    page.get_by_label("Find").fill("Demo Terse")
    page.get_by_label("Find").press("Enter")
    page.get_by_text("nearest in the full space").wait_for(timeout=120_000)
    keep_as_svg(page)


def keep_as_svg(page: "Page") -> None:
    """Save the map by keyboard alone."""
    save = page.get_by_role("button", name="Save chart").first
    save.focus()
    page.keyboard.press("Enter")
    vector = page.get_by_role("button", name="SVG")
    vector.wait_for(timeout=120_000)
    with page.expect_download(timeout=120_000) as kept:
        vector.focus()
        page.keyboard.press("Enter")
    assert kept.value.suggested_filename == "map-chart.svg"
    assert "Demo Terse" in kept.value.path().read_text(encoding="utf-8")
