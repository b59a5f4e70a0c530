"""Every page in Chromium under axe-core, and on the narrowest and the widest screen that we promise."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.browser.screenshots import evaluate, page_names
from tests.browser.test_main_job import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SERIOUS = ("serious", "critical")
# What Streamlit and Vega draw by themselves and no page can change, each by its place and why:
NOT_OURS = [
    "[data-testid=stSidebarNavItems]",  # the navigation's groups: lists in a list
    "[data-testid=stBaseButton-segmented_controlActive]",  # dark: one accent for words and under white words
    "[class*=brush_brush]",  # the rectangle of a selection on a chart has a role and no name
    "[data-testid=stVerticalBlock][height]",  # panes that scroll: browsers let keys in by themselves
]


def settled(page: "Page", address: str) -> None:
    """Opened, its script at its end, its charts drawn."""
    page.goto(address)
    page.locator("[data-testid=stHeading], [data-testid=stAlert]").first.wait_for(timeout=120_000)
    page.locator("[data-test-script-state=notRunning]").wait_for(timeout=120_000)
    page.wait_for_timeout(1000)


def serious_findings(page: "Page") -> list[str]:
    """What axe-core calls serious or critical, with the first place of each."""
    from axe_playwright_python.sync_playwright import Axe

    found = (
        Axe()
        .run(page, {"exclude": [[place] for place in NOT_OURS]}, options={"resultTypes": ["violations"]})
        .response["violations"]
    )
    return [
        f"{finding['id']}: {finding['help']} ({len(finding['nodes'])}), first {finding['nodes'][0]['html'][:200]}"
        for finding in found
        if finding["impact"] in SERIOUS
    ]


def test_no_page_has_a_serious_finding_of_axe_and_none_is_wider_than_the_screen(
    page: "Page", serve: Callable[..., str], tmp_path: Path, trained_world: Path
) -> None:
    shutil.copy(trained_world, tmp_path / "app.db")
    evaluate(f"sqlite:///{tmp_path / 'app.db'}")
    address = serve(PREFROUTE_DEMO="false")
    sign_in(page, address)
    findings, wide = {}, {}
    for name in page_names():
        settled(page, f"{address}/{'' if name == 'welcome' else name}")
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(300)
            if found := serious_findings(page):
                findings[name, scheme] = found
        for width in (360, 2560):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(300)
            over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if over > 0:
                wide[name, width] = over
        page.set_viewport_size({"width": 1280, "height": 900})
    assert findings == {}
    assert wide == {}
