"""Every page sends as many SQL statements for many users and ratings as for few."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.domain import Bundle, Comparison, User, UserId
from core.settings import ROOT
from db.demo import demo_bundle
from db.engine import Database
from db.people import People
from db.preferences import PreferenceStore
from pages.parts.consent import VERSION
from pages.parts.context import context
from pages.parts.preload import preload
from tests.db.worlds import statements
from tests.pages.test_pages import SCRIPTS

ADA = UserId("Ada")
LIKE_ADA = UserId("simulated-by-occasion-03")  # whose ratings she gives too
TOUCHED = UserId("simulated-brief-01")
MOST = 80  # of any page, at its first visit
BESIDE = ("matchmaker", "surveys")  # threads that work beside the pages

TABS = [
    ("my_ratings", "How I choose"), ("my_ratings", "My data"), ("settings", "Invites"), ("settings", "Campaigns"),
    ("settings", "LLMs"), ("settings", "API keys"), ("settings", "Health"),
]  # fmt: skip
# What stands behind a control: page, a name for the view, what the control holds.
VIEWS: list[tuple[str, str, dict[str, object]]] = [
    ("routing", "everyone", {"routing.view": "Everyone"}),
    ("routing", "another person", {"routing.user": TOUCHED}),
    ("playground", "another user", {"playground.way": "Another user"}),
    ("leaderboard", "adjusted", {"leaderboard.adjust": True}),
    ("quality", "one person", {"quality.person": TOUCHED}),
]
PAGES = [
    *((name, "", dict[str, object]()) for name in SCRIPTS), *VIEWS,
    *((name, part, dict[str, object]({f"{name}.part": part})) for name, part in TABS),
]  # fmt: skip


def renamed(said: Comparison, name: str) -> Comparison:
    return replace(said, user_id=UserId(name), key=f"{name}-{said.key}")


def more(people: int, of_ada: int) -> Bundle:
    """As many more users with 40 ratings each as asked for, who answer like those of the demo world, and Ada's."""
    world = demo_bundle()
    by_user: dict[str, list[Comparison]] = {}
    for said in world.comparisons:
        by_user.setdefault(said.user_id, []).append(said)
    users = sorted(by_user)[:people]
    copies = [renamed(said, f"copy of {user}") for user in users for said in by_user[user]]
    hers = [renamed(said, ADA) for said in by_user[LIKE_ADA][:of_ada]]
    copied = (*(User(UserId(f"copy of {user}"), simulated=True) for user in users), User(ADA))
    return replace(world, source="more", users=copied, comparisons=(*copies, *hers))


def visits(world: Path, patch: pytest.MonkeyPatch) -> dict[tuple[str, str], list[str]]:
    """The statements of the first visit of every page and view, in the same order in every world."""
    patch.setenv("DATABASE_URL", f"sqlite:///{world}")
    st.cache_resource.clear()
    st.cache_data.clear()
    People(context().database).agree(context().people.sign_in(ADA).name, VERSION)
    preload()
    found = {}
    for name, view, state in PAGES:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=180)
        app.session_state["account.name"] = ADA
        for key, value in state.items():
            app.session_state[key] = value
        script = next((ROOT / "pages").glob(f"*/{name}.py"))
        with statements(context().database, BESIDE) as sent:
            app.switch_page(str(script.relative_to(ROOT))).run()
        assert not app.exception and not app.error, (name, view)
        found[name, view] = sent
    context().database.dispose()
    return found


@pytest.fixture(scope="module")
def few_and_many(
    tmp_path_factory: pytest.TempPathFactory, trained_world: Path
) -> Iterator[list[dict[tuple[str, str], list[str]]]]:
    """What every page sends over 60 users with 2,430 ratings, and over 120 with 4,840."""
    folder, found = tmp_path_factory.mktemp("statements"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFROUTE_SPAWN_WORKER", "false")
        patch.setattr("pages.parts.context.browser_token", lambda: "this browser")
        patch.setattr("pages.parts.context.visitor_address", lambda: "here")
        for name, people, of_ada in (("few", 0, 30), ("many", 60, 40)):
            world = folder / f"{name}.db"
            shutil.copy(trained_world, world)
            database = Database.open(f"sqlite:///{world}")
            PreferenceStore(database).add_bundle(more(people, of_ada))
            database.dispose()
            found.append(visits(world, patch))
        yield found
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.mark.parametrize(("name", "view"), [(name, view) for name, view, _ in PAGES])
def test_the_statements_of_a_page_do_not_grow_with_users_and_ratings(
    few_and_many: list[dict[tuple[str, str], list[str]]], name: str, view: str
) -> None:
    few, many = (found[name, view] for found in few_and_many)
    assert 0 < len(many) == len(few) <= MOST, sorted(set(many) ^ set(few))
