"""The terminal's side of live routing: keys, and what decisions have earned."""

import json

import pytest
from typer.testing import CliRunner

from cli import app
from core.domain import LLMId, QueryId, UserId
from core.errors import NotEnoughData, NotFound
from db.decisions import Decided, Decisions
from db.demo import demo_bundle
from db.engine import Database
from db.preferences import PreferenceStore


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'app.db'}")

    def ran(*arguments: str):
        result = CliRunner().invoke(app, list(arguments))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout.strip()

    return ran


def test_a_key_is_shown_once_listed_without_itself_and_revoked(run):
    made = json.loads(run("keys", "create", "mine", "--scope", "route", "--per-minute", "5", "--json"))
    assert made["key"].startswith("pr-") and made["scopes"] == ["route"]
    listed = run("keys", "list")
    assert listed.startswith("mine: pr-") and made["key"] not in listed
    assert "revoked" in run("keys", "revoke", "mine")
    with pytest.raises(NotFound):
        run("keys", "revoke", "other")


def test_rewarded_decisions_are_weighed_by_their_propensity(run, tmp_path):
    with pytest.raises(NotEnoughData, match="rated"):
        run("decisions")
    database = Database.open(f"sqlite:///{tmp_path / 'app.db'}")
    PreferenceStore(database).add_bundle(demo_bundle())
    terse, tutor = LLMId("demo-terse"), LLMId("demo-tutor")
    user, store = UserId("simulated-brief-01"), Decisions(database)
    said = {terse: 0.75, tutor: 0.25}
    made = [
        Decided(user, QueryId("q"), llm, said, None, propensity, 0, "api")
        for llm, propensity in ((terse, 0.75), (terse, 0.75), (terse, 0.75), (tutor, 0.25))
    ]
    store.keep(made)
    for decision, up in zip(made, (True, True, False, False), strict=True):
        store.thumbs(decision.key, user, up=up)
    database.dispose()
    found = json.loads(run("decisions", "--json"))
    assert found["decisions"] == 4
    always = found["routers"]["always demo-terse"]
    assert always["normalised"]["value"] == pytest.approx(2 / 3) and always["covered"] == pytest.approx(1)
    assert found["routers"]["always demo-tutor"]["normalised"]["value"] == 0
    assert "always demo-terse: 0.667" in run("decisions")
