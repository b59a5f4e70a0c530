"""The app under Streamlit's own test runner, on a database of its own."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.settings import ROOT
from db.engine import Database
from db.people import People
from db.preferences import PreferenceStore
from pages.parts.consent import VERSION
from pages.parts.context import context


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address that the app will read; nothing is there yet."""
    address = f"sqlite:///{tmp_path / 'app.db'}"
    monkeypatch.setenv("DATABASE_URL", address)
    monkeypatch.setenv("PREFROUTE_MINIMUM_DWELL", "0")
    monkeypatch.setenv("PREFROUTE_SPAWN_WORKER", "false")
    # The test runner has no browser; its stand-in for cookies is no text.
    monkeypatch.setattr("pages.parts.context.browser_token", lambda: "this browser")
    monkeypatch.setattr("pages.parts.context.visitor_address", lambda: "here")
    st.cache_resource.clear()
    yield address
    context().database.dispose()
    st.cache_resource.clear()


def copied(world: Path, url: str) -> None:
    """Put a world into the app's file."""
    with (
        closing(sqlite3.connect(world)) as source,
        closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as target,
    ):
        source.backup(target)  # not a copy of the file: the app's database may be open already


@pytest.fixture
def database(url: str, empty_world: Path) -> Iterator[Database]:
    if not Path(url.removeprefix("sqlite:///")).exists():  # `trained` may have come first
        copied(empty_world, url)
    database = Database.open(url)
    yield database
    database.dispose()


@pytest.fixture
def demo(database: Database, url: str, demo_world: Path) -> Database:
    copied(demo_world, url)
    return database


@pytest.fixture
def trained(url: str, trained_world: Path) -> Iterator[Database]:
    """The demo world with a router in service."""
    copied(trained_world, url)
    database = Database.open(url)
    yield database
    database.dispose()


@pytest.fixture
def store(database: Database) -> PreferenceStore:
    return PreferenceStore(database)


@pytest.fixture
def open_page(url: str, database: Database) -> Callable[..., AppTest]:
    """open_page("rate", "Ada") runs the app at that page as Ada, or as nobody; `query` is what its URL says."""

    def opened(name: str, person: str | None = None, query: Mapping[str, str] | None = None) -> AppTest:
        script = next((ROOT / "pages").glob(f"*/{name}.py"))
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=180)
        if person:
            People(database).agree(People(database).sign_in(person).name, VERSION)
            app.session_state["account.name"] = person
        for parameter, value in (query or {}).items():
            app.query_params[parameter] = value
        return app.switch_page(str(script.relative_to(ROOT))).run()

    return opened
