"""Every file of a folder of data sets, imported through the page *Data in and out* in Chromium, as a person does it.

Each set gets a fresh app with a database of its own. A file goes in together with its set's queries, LLMs and
responses, which the page wants beside it; what the page says of a file that it cannot take is kept, so that nothing is
left out unsaid. Seconds are those that the person waits; CPU seconds are the app's process.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import progress, show_table, write_json
from core.errors import InvalidInput
from core.importers import SUFFIXES
from core.settings import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu")
BESIDE = ("queries", "llms", "responses")  # what a file by ids needs beside it, as the page does
PATIENCE = 600_000  # milliseconds
LOOK = 0.1  # seconds between two looks at the page
READY = re.compile(r"([\d,]+) ready · ([\d,]+) already here · ([\d,]+) rejected")


def imports(data: Path, out: Path | None) -> bool:
    """Import all sets and print the figures. Whether each set with tables in it came in."""
    folders = sorted(path for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    if not folders:
        raise InvalidInput(f"There are no folders in '{data}', so nothing was imported.")
    done: list[dict[str, Any]] = []
    with _chromium() as browser:
        for folder in folders:
            done += _import_set(browser, folder)
            write_json(out, {"files": done})  # what is measured is kept, whatever comes
    taken = [row for row in done if "seconds" in row]
    show_table(
        "Imported through the page",
        ("set", "file", "format", "rows", "refused", "s", "s per 1,000 rows", "CPU s per 1,000 rows", "progress shown"),
        [(row["set"], row["file"], row["format"], f"{row['rows']:,}", f"{row['rejected']:,}", f"{row['seconds']:.1f}",
          f"{row['s_per_1000']:.3f}", f"{row['cpu_s_per_1000']:.3f}", str(row["progress"])) for row in taken],
    )  # fmt: skip
    show_table(
        "Not imported", ("set", "file", "why"),
        [(row["set"], row["file"], row["why"]) for row in done if "why" in row],
    )  # fmt: skip
    return {row["set"] for row in taken} == {folder.name for folder in folders}


def _import_set(browser: "Browser", folder: Path) -> Iterator[dict[str, Any]]:
    """What became of every file of a set."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    tables = [path for path in files if path.name.lower().endswith(SUFFIXES)]
    beside = [path for path in tables if _stem(path) in BESIDE]
    with _app() as (address, pid):
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        _sign_in(page, address)
        taken = ""
        for path in files:
            row: dict[str, Any] = {"set": folder.name, "file": path.name}
            if path not in tables:
                yield row | {"why": f"no table: the page takes {', '.join(SUFFIXES)}"}
            elif path not in beside:
                progress(f"{folder.name}: {path.name}")
                row |= _import_file(page, address, pid, path, beside)
                progress(f"  {row.get('said', row.get('why'))} {row.get('seconds', '')}")
                taken = taken or ("" if "why" in row else path.name)
                yield row
        for path in beside:
            why = f"goes in beside {taken}" if taken else "nothing in its set to go in beside"
            yield {"set": folder.name, "file": path.name, "why": why}
        page.close()


def _import_file(page: "Page", address: str, pid: int, path: Path, beside: list[Path]) -> dict[str, Any]:
    """Its figures, or `why` the page did not take it."""
    page.goto(f"{address}/data")
    _settled(page)
    page.locator("input[type=file]").first.set_input_files([path, *beside])
    page.get_by_text(re.compile("^Recognised as|Choose what it is|nothing was stored")).first.wait_for()
    _settled(page)
    found = page.get_by_text(re.compile("^Recognised as"))
    if not found.count():
        return {"why": _told(page, "Choose what it is|nothing was stored")}
    words = found.first.inner_text()
    began, worked, shown = time.monotonic(), _cpu_seconds(pid), set[str]()
    page.get_by_role("button", name="Check the file").click()
    _watch(page, shown, ".st-key-data-confirm button")
    counted = READY.search(page.locator(".stMain").inner_text())
    if counted is None:
        why = _told(page, "stored")
        page.get_by_role("button", name="Import another file").click()
        return {"why": why}
    ready, already, rejected = (int(figure.replace(",", "")) for figure in counted.groups())
    if rejected:
        page.get_by_text("Import valid rows only").click()
        _settled(page)
    page.locator(".st-key-data-confirm button").click()
    _watch(page, shown, ".st-key-data-again button")
    seconds, cpu = time.monotonic() - began, _cpu_seconds(pid) - worked
    said = _told(page, " is in: |stored")
    page.get_by_role("button", name="Import another file").click()
    _settled(page)
    if " is in: " not in said:
        return {"why": said}
    thousands = max(ready + already + rejected, 1) / 1000
    return {
        "format": words.removeprefix("Recognised as ").split(":")[0], "rows": ready + already + rejected,
        "rejected": rejected, "seconds": round(seconds, 2), "s_per_1000": round(seconds / thousands, 4),
        "cpu_s_per_1000": round(cpu / thousands, 4), "progress": len(shown), "said": said,
    }  # fmt: skip


def _watch(page: "Page", shown: set[str], until: str) -> None:
    """Keep what the progress bar says until the next step, or an error, is there."""
    end = time.monotonic() + PATIENCE / 1000
    while not page.locator(f"{until}, .st-key-data-again button").count() and time.monotonic() < end:
        shown.update(page.locator("[data-testid=stProgress]").all_inner_texts())
        time.sleep(LOOK)


def _told(page: "Page", words: str) -> str:
    """The notice of the page that has these words in it."""
    return " ".join(page.get_by_test_id("stAlert").filter(has_text=re.compile(words)).first.inner_text().split())


def _settled(page: "Page") -> None:
    page.wait_for_timeout(500)
    page.locator("[data-test-script-state=notRunning]").wait_for()


def _sign_in(page: "Page", address: str) -> None:
    page.goto(address)
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("I have read this").click()
    page.get_by_role("button", name="I agree").click()
    page.get_by_role("link", name="See how things stand").wait_for()


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def _cpu_seconds(pid: int) -> float:
    """CPU seconds of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _chromium() -> "Iterator[Browser]":
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise InvalidInput("This benchmark drives Chromium: pip install -r tests/requirements.txt first.") from None
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        raise InvalidInput("Chromium is not installed (sudo apt-get install chromium), so nothing was imported.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def _app() -> Iterator[tuple[str, int]]:
    """A fresh app without demo data: its address and its process."""
    with tempfile.TemporaryDirectory(prefix="prefroute-imports-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        settings = {"PREFROUTE_PORT": str(port), "PREFROUTE_DEMO": "false", "PREFROUTE_AUTH": "open"}
        environment = {**os.environ, "DATABASE_URL": f"sqlite:///{folder}/app.db", **settings}
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, "cli.py", "run"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        try:
            _wait_until_it_answers(port, server)
            yield f"http://127.0.0.1:{port}", server.pid
        finally:
            server.terminate()
            server.wait(30)


def _wait_until_it_answers(port: int, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise InvalidInput("The app did not start, so nothing was imported.")
