import logging
from pathlib import Path
from typing import Any

import openai
import pytest
from sqlalchemy import text

from core.exporters import write
from core.exporters.material import Material
from db.keys import ApiKeys, Scope
from tests.api.conftest import Endpoint
from tests.openai_server import PROVIDER_BODY, SECRET, OpenAIServer

PRIVATE = "My neighbour Ysolde sells contraband clarinets"


def test_a_full_run_leaves_no_key_and_no_words_of_a_person_where_others_could_read_them(
    endpoint: Endpoint, openai_server: OpenAIServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    key, _ = ApiKeys(endpoint.database).create("a full run", list(Scope), 1000, "test")
    client = endpoint.client(key)
    asked: Any = [{"role": "user", "content": PRIVATE}]
    told: list[str] = []
    for model in ("prefroute", "fast", "broken", "html", "rate-limited", "nowhere", "prefroute:7", "none"):
        try:
            client.chat.completions.create(model=model, user="simulated-brief-01", messages=asked)
        except openai.APIError as error:
            told.append(str(error))
    for body in (
        {"queries": [PRIVATE], "user": 3},
        {"queries": [PRIVATE] * 1001},
        {"queries": [PRIVATE], "x": PRIVATE},
    ):
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            client.post("/route", cast_to=object, body=body)
        told.append(str(caught.value))
    with endpoint.database.read() as session:
        rows = [
            session.execute(text(f"SELECT * FROM {table}")).all()  # noqa: S608
            for table in ("routing_decisions", "provider_calls", "audit_events", "api_keys", "llms", "queries")
        ]
    store = endpoint.parts.store
    material = Material.of(store.queries(), store.responses(), store.users())
    write(tmp_path / "all.jsonl", store.comparisons(), material)
    places = {
        "errors": "\n".join(told), "log": caplog.text, "database": str(rows), "models": str(list(client.models.list())),
        "export": (tmp_path / "all.jsonl").read_text(encoding="utf-8"),
        "figures": endpoint.parts.metrics.text().decode(),
    }  # fmt: skip
    assert len(told) == 9
    for place, words in places.items():
        for secret in (SECRET, key, PROVIDER_BODY, PRIVATE, PRIVATE.split()[2]):
            assert secret not in words, (place, secret)
