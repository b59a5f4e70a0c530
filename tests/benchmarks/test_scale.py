"""The benchmark of the pages at size, on a world small enough for a test: what it plants, counts and visits."""

import urllib.request
from pathlib import Path

import pytest
from sqlalchemy import text

from benchmarks.scale import Plan, place, planted
from benchmarks.visits import visits
from benchmarks.watched import SPENT, watching
from core.errors import InvalidInput
from db.engine import Database
from db.reports import counts
from db.routers import RouterRegistry

SMALL = Plan(users=12, ratings=20, queries=24, router="user_task_best")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('scale') / 'small.db'}"
    database = Database.open(url)
    place(database, SMALL)
    database.dispose()
    return url


def test_the_planted_world_is_as_large_as_it_says_simulated_and_always_the_same() -> None:
    one, again = planted(SMALL), planted(SMALL)
    assert one == again and all(user.simulated for user in one.users) and "simulated" in one.source
    assert (len(one.users), len(one.comparisons), len(one.queries)) == (12, 240, 24)
    assert len(one.responses) == 24 * len(one.llms)
    assert len({said.rated_at for said in one.comparisons}) > 50


def test_a_router_serves_in_it_with_its_figures_on_held_out_ratings(small: str) -> None:
    database = Database.open(small)
    found, active = counts(database), RouterRegistry(database).active()
    database.dispose()
    assert (found.simulated, found.ratings, found.llms) == (12, 240, 10)
    assert active is not None and active.kind == "user_task_best"
    assert active.card["standings"][0]["gain"]["users"] > 0 and sum(active.card["ratings"].values()) == 240


def test_statements_and_rows_are_counted_as_they_are(tmp_path: Path) -> None:
    seven = " UNION ALL ".join(f"SELECT {i}" for i in range(7))
    with watching():
        database = Database.open(f"sqlite:///{tmp_path / 'x.db'}")
        with database.read() as session:
            session.execute(text("SELECT 1")).all()
            SPENT.told()
            session.execute(text(seven)).all()
            assert session.execute(text("SELECT 1")).scalar_one() == 1
            rows = session.execute(text(seven).execution_options(yield_per=2))
            assert len(list(rows)) == 7
            found = SPENT.told()
        database.dispose()
    assert (found["statements"], found["rows"]) == (3, 15)
    assert found["peak_mb"] > 0 or not Path("/proc/self/status").exists()


def test_without_a_browser_it_says_what_is_missing(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.visits.CHROMIUM", ("no-such-browser",))
    monkeypatch.setattr(urllib.request, "urlopen", None)  # nothing is started
    with pytest.raises(InvalidInput, match="Chromium"):
        visits(small)
