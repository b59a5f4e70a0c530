"""What tests may ask for (PostgreSQL, a browser, a page in it, shared data), and the rules under which all run."""

import fcntl
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import hypothesis
import pytest

from tests.throwaway_postgres import PostgresAbsent, throwaway_postgres

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from db.engine import Database
    from tests.openai_server import OpenAIServer

# Before anything imports torch or transformers, which read these only once; tests that start processes hand them on.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# One thread: on graphs this small a second one doubles the CPU for nothing, and waits busily on a full machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every machine and on every run, and no verdict by the clock of a busy one.
hypothesis.settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=50, database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # drawing is slow on a busy machine; that is no failure
)  # fmt: skip
hypothesis.settings.load_profile("ci")

ROOT = Path(__file__).resolve().parent.parent
NOT_RUN = "NOT RUN: "
REPORT = pytest.StashKey[pytest.TestReport]()
PATIENCE = 120_000  # milliseconds for what a page is to show: a busy machine is no failure
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Measured in docs/platform.md: no sandbox (CI is root), no GPU, and nothing that asks Google's hosts by itself.
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def not_run(reason: str) -> NoReturn:
    """Skip loudly, for want of something of the machine; with PREFROUTE_TESTS_MUST_RUN=1, fail instead."""
    if os.environ.get("PREFROUTE_TESTS_MUST_RUN") == "1":
        pytest.fail(f"{NOT_RUN}{reason}, and PREFROUTE_TESTS_MUST_RUN=1", pytrace=False)
    pytest.skip(f"{NOT_RUN}{reason}")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a private PostgreSQL server for this session, whose role may do all; tests make their own databases."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(throwaway_postgres())
        except PostgresAbsent as absent:
            not_run(str(absent))
        yield url


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """made_once(name, make) gives the file that make(path) writes, once for all worker processes of this session."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # a worker's own lies in the session's

    def made(name: str, make: Callable[[Path], None]) -> Path:
        path, unfinished = folder / name, folder / f"unfinished-{name}"
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # who comes second waits
            if not path.exists():
                make(unfinished)
                unfinished.rename(path)
        return path

    return made


@pytest.fixture(scope="session", autouse=True)
def _one_model_in_memory() -> Iterator[None]:
    """Who reads the weights of a text encoder first has read them for all tests of this process."""
    from core.encoders import SentenceEncoder

    load, models = SentenceEncoder._load, dict[str, Any]()

    def loaded(encoder: SentenceEncoder) -> Any:
        if encoder._name not in models:
            models[encoder._name] = load(encoder)
        return models[encoder._name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SentenceEncoder, "_load", loaded)
        yield


@pytest.fixture(scope="session")
def empty_world(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """An SQLite file with every table and nothing in them. To be copied, which takes a fortieth of making one."""
    return made_once("empty_world.db", _fill_with(lambda _: None))


@pytest.fixture(scope="session")
def demo_world(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The same with the demo world. To be copied."""
    from db.demo.loading import load

    return made_once("demo_world.db", _fill_with(load))


def _fill_with(act: "Callable[[Database], object]") -> Callable[[Path], None]:
    from db.engine import Database

    def fill(path: Path) -> None:
        database = Database.open(f"sqlite:///{path}")
        act(database)
        database.dispose()  # the last connection's end folds the write-ahead log into the one file

    return fill


@pytest.fixture(scope="session")
def trained_world(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """An SQLite file with the demo world and a GAT in service, trained briefly. To be copied, never written to."""
    return made_once("trained_world.db", _train_world)


def _train_world(path: Path) -> None:
    from core.encoders import SentenceEncoder
    from core.evaluation import predict_pairs, standings
    from core.holdout import hold_out
    from core.optimisation import TrainConfig
    from core.outcomes import OutcomeModel, report
    from core.routers.bradley_terry import BradleyTerryRouter
    from core.routers.gat import GatRouter
    from core.routers.vectors import EncodedOnce
    from db.demo.loading import load
    from db.embeddings import CachedEncoder
    from db.engine import Database
    from db.preferences import PreferenceStore
    from db.routers import RouterRegistry

    database = Database.open(f"sqlite:///{path}")
    load(database)
    encoder = EncodedOnce(CachedEncoder(SentenceEncoder(""), database))
    (fitting, validation, test), holdout = hold_out(PreferenceStore(database).snapshot(), (0.7, 0.1, 0.2), 0)
    router, _ = GatRouter.fit_with_report(fitting, validation, encoder, TrainConfig(epochs=10, device="cpu"))
    population = BradleyTerryRouter.fit(fitting, validation, encoder)
    outcomes = OutcomeModel.fit(router, fitting, validation)
    measured = {each.kind: predict_pairs(each, test, fitting) for each in (router, population)}
    card = {
        "outcomes": {**outcomes.to_dict(), "test": report(outcomes, router, fitting, test, fitting).to_dict()},
        "standings": [standing.to_dict() for standing in standings(measured, "bradley_terry")],
        "ratings": {"train": len(fitting), "validation": len(validation), "test": len(test)},
        "kind": router.kind, "encoder": encoder.id, "llms": list(router.llms), "holdout": holdout._asdict(),
    }  # fmt: skip
    registry = RouterRegistry(database)
    registry.activate(registry.publish(router.kind, router.to_bytes(), card).id, by="test", reason="for tests")
    database.dispose()  # the last connection's end folds the write-ahead log into the one file


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where the system's Chromium is."""
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        not_run("Chromium is not installed (sudo apt-get install chromium fonts-dejavu-core fonts-noto-color-emoji)")
    return path


@pytest.fixture(scope="session")
def chromium(chromium_path: str) -> "Iterator[Browser]":
    """The system's Chromium, driven by Playwright; nothing is downloaded."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: "Browser", request: pytest.FixtureRequest) -> "Iterator[Page]":
    """A blank page with cookies and storage of its own; a failing test leaves a screenshot."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    report = request.node.stash.get(REPORT, None)
    if report is not None and report.failed:
        name = re.sub(r"[^\w.-]+", "_", request.node.nodeid)[-150:]
        page.screenshot(path=ROOT / ".screenshots-failed" / f"{name}.png")
    context.close()


@pytest.fixture(scope="session")
def _openai_server() -> "Iterator[OpenAIServer]":
    from tests.openai_server import openai_server

    with openai_server() as server:
        yield server


@pytest.fixture
def openai_server(_openai_server: "OpenAIServer") -> "OpenAIServer":
    """A real server of OpenAI's protocol with models that work, fail, stall and babble; nothing was asked of it yet."""
    _openai_server.clear()
    return _openai_server


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real preference data beside the repository, and no part of it: absence is never a failure."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{NOT_RUN}{folder} is not there")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Let `page` know at its end whether the test itself failed."""
    report = yield
    if report.when == "call":
        item.stash[REPORT] = report
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put browser tests last: Playwright's event loop stays until the session ends, and no other runs beside it."""
    items.sort(key=lambda item: "chromium" in getattr(item, "fixturenames", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once more, where it is read, what was not tested."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].partition(NOT_RUN)[2] for report in skipped if NOT_RUN in report.longrepr[2])
    if reasons:
        terminalreporter.section("NOT RUN on this machine", yellow=True, bold=True)
    for reason, count in reasons.items():
        terminalreporter.line(f"{count} test{'s' if count > 1 else ''} not run: {reason}", yellow=True, bold=True)
