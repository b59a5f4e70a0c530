"""`python cli.py generate` as people call it: the estimate first, and what cannot be asked."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app
from core.domain import LLM, Bundle, LLMId, Query, QueryId
from core.errors import PrefRouteError
from db.engine import Database
from db.preferences import PreferenceStore
from tests.openai_server import OpenAIServer


def told(*arguments: str) -> Any:
    """The last line as JSON, of a command in this process; what it refuses is raised."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    if done.exception:
        raise done.exception
    return json.loads(done.stdout.splitlines()[-1])


def test_the_estimate_comes_first_and_asks_nothing(
    tmp_path: Path, openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'cli.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(PrefRouteError, match="No LLM here can be asked"):
        told("generate")
    llm = LLM(LLMId("one"), endpoint=f"{openai_server.base_url}#one", input_price=1.0, output_price=2.0)
    queries = tuple(Query(QueryId(f"q{i}"), (f"Question {i}?",)) for i in range(3))
    database = Database.open(url)
    PreferenceStore(database).add_bundle(Bundle("file", llms=(llm, LLM(LLMId("mute"))), queries=queries))
    (estimate,) = told("generate", "--max-tokens", "100")["estimates"]
    assert (estimate["llm"], estimate["responses"], estimate["input_tokens"]) == ("one", 3, 9)
    assert 0 < estimate["cost"] <= estimate["at_most"] == (9 + 2 * 300) / 1e6
    with pytest.raises(PrefRouteError, match="its endpoint is empty"):
        told("generate", "--llms", "mute", "--yes")
    assert not openai_server.seen
    database.dispose()
