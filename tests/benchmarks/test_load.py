"""The benchmark of many raters in its small form: a real server over HTTP, killed and started again twice."""

import json
from pathlib import Path

import pytest

from benchmarks.load import KILLS, Plan, load, losses
from core.domain import Outcome
from core.errors import InvalidInput
from db.engine import Database
from db.people import People


def test_raters_lose_nothing_and_say_nothing_twice_while_their_server_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    assert load(Plan(raters=4, ratings=6, pause=0.05, training=False), out)
    figures = json.loads(out.read_text())
    assert (figures["lost"], figures["doubled"], figures["errors"]) == (0, 0, 0)
    assert figures["acknowledged"] == 24 and figures["kills"] == KILLS == 2
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["outside_p95_ms"]


def test_an_answer_that_is_gone_or_changed_is_lost_and_a_second_one_is_counted() -> None:
    said = {"kept": Outcome.A, "gone": Outcome.A, "changed": Outcome.B, "twice": Outcome.TIE}
    stored = {"kept": [Outcome.A], "changed": [Outcome.A], "twice": [Outcome.TIE, Outcome.TIE], "unheard": [Outcome.B]}
    assert losses(said, stored) == (2, 1)
    assert losses({}, {}) == (0, 0)


def test_a_database_that_is_in_use_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'used.db'}"
    database = Database.open(url)
    People(database).sign_in("Ada")
    with pytest.raises(InvalidInput, match="give an empty one"):
        load(Plan(raters=1, ratings=1, url=url), None)
    assert [row.person.name for row in People(database).list()] == ["Ada"]
    database.dispose()
