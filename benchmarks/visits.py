"""Every page of a served app in headless Chromium, one after the other: when it is painted and what that cost."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks.report import progress
from core.errors import InvalidInput, PrefRouteError
from core.settings import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
VISITOR = "Benchmark"
START_SECONDS = 120
MOST_SECONDS = 120  # for a page, and for signing in
READING = 2_000  # milliseconds for which a person looks at a page before they open the next
# Inside a page what costs most is often behind a click: name of the page, words of the control.
VIEWS = {"routing": "Everyone", "leaderboard": "Adjust for length and format"}
CLICK_AND_PAINT = """([link, words, most]) => new Promise((resolve, reject) => {
  const app = document.querySelector('[data-test-script-state]');
  const target = link ? document.querySelector(`[data-testid=stSidebarNavLink][href="${link}"]`)
    : [...document.querySelectorAll('button, label')].find(e => e.innerText.trim().startsWith(words));
  let ran = false;  // observed, not looked at: a short run may begin and end between two frames
  const observer = new MutationObserver(() => { ran = true; });
  observer.observe(app, {attributes: true, attributeFilter: ['data-test-script-state']});
  const painted = () => ran && app.getAttribute('data-test-script-state') === 'notRunning'
    && !document.querySelector('[data-testid=stSkeleton]')
    && [...document.querySelectorAll('[data-testid=stVegaLiteChart]')].every(c => c.querySelector('canvas, svg'));
  const began = performance.now();
  const look = () => {
    const seconds = (performance.now() - began) / 1000;
    if (painted()) { observer.disconnect(); requestAnimationFrame(() => resolve(seconds)); }
    else if (seconds > most) reject(new Error(`ran: ${ran}, state: ${app.getAttribute('data-test-script-state')}`));
    else requestAnimationFrame(look);
  };
  (target.querySelector('input') ?? target).click();
  look();
})"""


@dataclass(frozen=True)
class Visit:
    """One view of a page. `seconds` from the click until the script was at its end and every chart drawn; the rest is
    what the server's process spent on it.
    """

    page: str
    seconds: float
    cpu_s: float
    statements: int
    rows: int
    peak_mb: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def visits(url: str, rounds: int = 2) -> list[list[Visit]]:
    """Each round every page of the navigation, the first with a server that has just started. Raises InvalidInput where
    there is no Chromium or no Playwright, and PrefRouteError where a page shows an error.
    """
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None or find_spec("playwright") is None:
        raise InvalidInput("This benchmark needs Chromium and Playwright: make test installs both.")
    from playwright.sync_api import sync_playwright

    with _served(url) as (address, spent), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_context(viewport={"width": 1440, "height": 1000}, reduced_motion="reduce").new_page()
        page.set_default_timeout(1000 * MOST_SECONDS)
        _sign_in(page, address)
        links = page.locator("[data-testid=stSidebarNavLink]").evaluate_all(
            "all => all.map(e => e.getAttribute('href'))"
        )
        found = [_round(page, links, spent, number) for number in range(1, rounds + 1)]
        browser.close()
    return found


def _round(page: "Page", links: list[str], spent: Callable[[], dict[str, Any]], number: int) -> list[Visit]:
    """Every page from the second on, and the first last: of a click on the page that is open nothing comes."""
    found = []
    for link in [*links[1:], links[0]]:
        name = link.rpartition("/")[2] or "welcome"
        progress(f"round {number}: {name}")
        found.append(_visit(page, name, [link, None], spent))
        if (words := VIEWS.get(name)) and page.locator("button, label").filter(has_text=words).count():
            found.append(_visit(page, f"{name}: {words.lower()}", [None, words], spent))
    return found


def _visit(page: "Page", name: str, where: list[str | None], spent: Callable[[], dict[str, Any]]) -> Visit:
    from playwright.sync_api import Error

    spent()
    try:
        seconds = float(page.evaluate(CLICK_AND_PAINT, [*where, MOST_SECONDS]))
    except Error as error:
        raise PrefRouteError(f"The page '{name}' was not painted within {MOST_SECONDS} s ({error.message}).") from None
    figures = spent()
    if page.get_by_text("Something went wrong here").count():
        raise PrefRouteError(f"The page '{name}' shows an error; the server's log is on stderr.")
    page.wait_for_timeout(READING)  # what the browser does after the paint is not the next page's either
    return Visit(name, seconds, **figures)


def _sign_in(page: "Page", address: str) -> None:
    page.goto(address)
    page.get_by_label("Your name").fill(VISITOR)
    page.get_by_role("button", name="Start").click()
    page.get_by_text(f"Signed in as {VISITOR}").wait_for()
    consent, inside = page.get_by_text("I have read this"), page.get_by_role("link", name="Train a router")
    consent.or_(inside).first.wait_for()
    if consent.is_visible():  # the visitor's first time here
        consent.click()
        page.get_by_role("button", name="I agree").click()
    inside.wait_for()
    page.locator("[data-test-script-state=notRunning]").wait_for()
    page.wait_for_timeout(READING)


@contextmanager
def _served(url: str) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """The app on a free port, ready; its address, and what tells what was spent since it was last called."""
    port, teller = _free_port(), _free_port()
    environment = {
        **os.environ, "DATABASE_URL": url, "PREFROUTE_PORT": str(port), "PREFROUTE_DEMO": "false",
        "PREFROUTE_AUTH": "open", "PREFROUTE_SPAWN_WORKER": "false",
    }  # fmt: skip
    process = subprocess.Popen(  # noqa: S603  our own server
        [sys.executable, "-m", "benchmarks.watched", str(teller)], cwd=ROOT, env=environment, stdout=sys.stderr
    )
    try:
        until = time.monotonic() + START_SECONDS
        while not _answers(f"http://127.0.0.1:{port}/_stcore/health"):
            if process.poll() is not None or time.monotonic() > until:
                raise PrefRouteError("The app did not start; its log is on stderr.")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", lambda: dict(json.loads(_asked(f"http://127.0.0.1:{teller}/")))
    finally:
        process.terminate()
        process.wait(30)


def _asked(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310  our own server
        return bytes(answer.read())


def _answers(address: str) -> bool:
    with suppress(OSError):
        return _asked(address) == b"ok"
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
