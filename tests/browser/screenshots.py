"""`make screenshots`: every page, wide and narrow, light and dark, empty and full, as PNG files in screenshots/ here.

The README shows two of them. Run it after a change that people see, and look at what it made.
"""

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from playwright.sync_api import sync_playwright

from core.routers.vectors import EncodedOnce
from core.settings import ROOT
from tests.browser.conftest import serving
from tests.conftest import CHROMIUM_FLAGS, CHROMIUM_NAMES
from tests.planted import HashEncoder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = Path(__file__).parent / "screenshots"
SIZES = {"wide": (1280, 1000), "narrow": (390, 844)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# What a phone says of itself; the rating page then shows one response at a time.
PHONE = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36"
# Heights of pages whose figures stand far below the first screen.
TALL = {"evaluation": {"wide": 3400, "narrow": 5200}}
EVALUATED = "user_task_best"  # the kind of router whose evaluation takes seconds
SHOWN_USER = "simulated-by-occasion-03"


def page_names() -> list[str]:
    """Every page of the navigation, as `app.py` lists them (which cannot be imported: it is the app)."""
    tree = ast.parse((ROOT / "app.py").read_text(encoding="utf-8"))
    pages = next(
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PAGES"
    )
    groups: dict[str, dict[str, str]] = ast.literal_eval(pages)
    return [name for scripts in groups.values() for name in scripts]


def main() -> None:
    """Make all of them."""
    import shutil

    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)))
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        for state in ("empty", "full"):
            url = f"sqlite:///{folder}/{state}.db"
            if state == "full":
                for command in ("demo", "train"):
                    environment = {**os.environ, "DATABASE_URL": url}
                    subprocess.run([sys.executable, "cli.py", command], cwd=ROOT, check=True, env=environment)
                evaluate(url)
            with serving(url, Path(folder) / "log", PREFROUTE_DEMO="false") as address:
                for size in SIZES:
                    for scheme in SCHEMES:
                        shoot(browser, address, state, size, scheme)
        browser.close()


def evaluate(url: str) -> None:
    """An honest evaluation by a worker, whose results the page then shows."""
    from core.settings import load_settings
    from db.engine import Database
    from db.evaluations import EVALUATION, of_kind
    from db.models import RunStatus
    from db.runs import TrainingRuns
    from db.worker import Worker

    database = Database.open(url)
    try:
        TrainingRuns(database, 30).request(of_kind(EVALUATED), by="Ada", kind=EVALUATION)
        ended = Worker(database, EncodedOnce(HashEncoder()), load_settings()).run_once()
        assert ended is not None and ended.status == RunStatus.DONE, ended and ended.error
    finally:
        database.dispose()


def shoot(browser: "Browser", address: str, state: str, size: str, scheme: Literal["light", "dark"]) -> None:
    """All pages in one size and scheme, as one person."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce",
        user_agent=PHONE if size == "narrow" else None,
    )  # fmt: skip
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Signed in as Ada").wait_for()
    settle(page)
    if page.get_by_text("I have read this").is_visible():  # asked once, in the first of the sizes
        page.screenshot(path=FOLDER / f"consent-{state}-{size}-{scheme}.png")
        page.get_by_text("I have read this").click()
        page.get_by_role("button", name="I agree").click()
    page.get_by_role("link", name="Train a router").wait_for()
    for name in page_names():
        page.goto(f"{address}/{'' if name == 'welcome' else name}")
        settle(page)
        if name == "routing" and state == "full":
            choose_user(page)
        if state == "full" and name in TALL:
            page.set_viewport_size({"width": width, "height": TALL[name][size]})
            settle(page)
        page.screenshot(path=FOLDER / f"{name}-{state}-{size}-{scheme}.png")
        page.set_viewport_size({"width": width, "height": height})
    context.close()


def choose_user(page: "Page") -> None:
    """Show a simulated user, whose ratings make a picture."""
    page.locator(".st-key-routing-user input").click()
    page.keyboard.type(SHOWN_USER)
    page.keyboard.press("Enter")
    settle(page)
    page.get_by_text("Ratings that weighed most").wait_for()
    settle(page)


def settle(page: "Page") -> None:
    """Wait until the script has run and the charts are drawn."""
    page.wait_for_timeout(1500)
    page.locator("[data-test-script-state=notRunning]").wait_for(timeout=60_000)
    page.wait_for_timeout(1200)


if __name__ == "__main__":
    main()
