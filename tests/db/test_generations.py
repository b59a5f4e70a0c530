"""Responses asked of a real server by a worker and kept: once each, whatever ends the run, on both databases."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from core.domain import LLM, Bundle, LLMId, Query, QueryId, Response, Task
from core.errors import InvalidInput, NotFound, RunActive
from core.generation import Answered, Limits
from core.providers import Providers
from core.settings import ROOT, Settings
from db.answers import StoredResponses
from db.calls import CallLedger
from db.engine import Database
from db.events import APP
from db.generations import GENERATION, Generations, keep
from db.models import FlagReason, FlagResolution, FlagRow, QueryRow, ResponseRow, RunStatus
from db.preferences import PreferenceStore
from db.runs import TrainingRuns
from db.sources import sources
from db.worker import Worker
from tests.db.worlds import NOON, asked
from tests.openai_server import OpenAIServer, words_of
from tests.planted import HashEncoder

QUICK = Limits(max_tokens=50, per_minute=100_000, at_once=2)
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


@pytest.fixture
def runs(database: Database) -> TrainingRuns:
    return TrainingRuns(database, heartbeat_timeout=30)


@pytest.fixture
def generations(database: Database, runs: TrainingRuns) -> Generations:
    stored = StoredResponses(database, HashEncoder())
    return Generations(database, Providers({}, stored, CallLedger(database)), runs)


@pytest.fixture
def imported(database: Database, openai_server: OpenAIServer) -> Callable[..., PreferenceStore]:
    """imported("one", "two") gives a store of six queries of two tasks, which such LLMs have not answered."""

    def made(*models: str, price: float | None = 2.0) -> PreferenceStore:
        llms = tuple(
            LLM(LLMId(m), endpoint=f"{openai_server.base_url}#{m}", input_price=price, output_price=price)
            for m in models
        )  # fmt: skip
        queries = tuple(Query(QueryId(f"query-{i}"), (f"Question {i}?",), f"task-{i % 2}") for i in range(6))
        store = PreferenceStore(database)
        store.add_bundle(Bundle("file", (), (Task("task-0"), Task("task-1")), llms, queries))
        return store

    return made


def worked(database: Database) -> None:
    Worker(database, HashEncoder(), SETTINGS).run_once()


def responses(database: Database) -> list[str]:
    with database.read() as session:
        return [turns[-1] for turns in session.scalars(select(ResponseRow.turns).order_by(ResponseRow.id))]


def test_what_is_missing_is_asked_kept_and_can_be_rated(database, imported, generations, runs, openai_server, ada):
    store = imported("one", "two")
    assert [(e.llm.llm_id, e.responses) for e in generations.estimates(["one", "two"], 50)] == [("one", 6), ("two", 6)]
    requested = generations.request(["one", "two"], QUICK, by="Ada")
    worked(database)
    ended = runs.get(requested.id)
    assert ended.status == RunStatus.DONE and (ended.step, ended.steps) == (12, 12)
    assert sorted(responses(database)) == sorted(
        "".join(words_of(model, f"Question {i}?")) for model in ("one", "two") for i in range(6)
    )
    told = {one["llm"]: one for one in ended.report["llms"]}
    assert told["one"]["answered"] == 6 and told["one"]["failed"] == told["one"]["not_asked"] == 0
    assert told["one"]["cost"] == pytest.approx(6 * 106 * 2 / 1e6) and told["one"]["output_tokens"] == 36
    assert {asked(store, ada).response_a.llm_id, asked(store, ada).response_b.llm_id} == {"one", "two"}
    assert [s.name for s in sources(database) if s.responses] == [f"generated in run {requested.id}"]
    assert generations.spent(ended) == pytest.approx(12 * 106 * 2 / 1e6)


def test_what_is_answered_is_never_asked_again(database, imported, generations, openai_server):
    imported("one")
    generations.request(["one"], QUICK, by="Ada", queries=2)
    worked(database)
    assert openai_server.seen["one"] == 2
    with pytest.raises(InvalidInput, match="answered every one"):
        generations.request(["one"], QUICK, by="Ada", queries=2)
    generations.request(["one"], QUICK, by="Ada")
    worked(database)
    assert openai_server.seen["one"] == 6 and len(responses(database)) == 6


def test_a_task_and_the_first_queries_can_be_chosen(imported, generations):
    imported("one")
    assert generations.estimates(["one"], 50, task="task-1")[0].responses == 3
    assert generations.estimates(["one"], 50, task="task-1", queries=2)[0].responses == 2
    assert generations.estimates(["one"], 50, task="nothing")[0].responses == 0


def test_what_people_typed_is_sent_to_nobody_and_what_was_retired_is_not_paid_for(
    database, imported, generations, store, ada
):
    imported("one")
    token = asked(store, ada).token
    store.flag(ada, token, FlagReason.BROKEN)
    with database.write() as session:
        session.execute(update(QueryRow).where(QueryRow.key == "query-3").values(source=APP))
        flag = session.scalars(select(FlagRow)).one()
        flag.resolution, flag.resolved_at, flag.resolved_by = FlagResolution.RETIRED, NOON, "Ada"
        retired = session.get_one(QueryRow, flag.query_id).key
        there = session.scalars(select(QueryRow.key)).all()
    assert generations.estimates(["one"], 50)[0].responses == len(there) - 2
    generations.request(["one"], QUICK, by="Ada")
    worked(database)
    with database.read() as session:
        written = select(QueryRow.key).join(ResponseRow).where(ResponseRow.source.startswith("generated"))
        assert set(session.scalars(written)) == set(there) - {"query-3", retired}


def test_a_run_that_fails_in_part_keeps_the_rest_and_says_why(database, imported, generations, runs):
    imported("one", "broken")
    requested = generations.request(["one", "broken"], QUICK, by="Ada")
    worked(database)
    report = {one["llm"]: one for one in runs.get(requested.id).report["llms"]}
    assert report["one"]["answered"] == 6 and report["broken"]["answered"] == 0
    assert report["broken"]["failed"] + report["broken"]["not_asked"] == 6 and report["broken"]["reasons"]
    assert len(responses(database)) == 6


def test_a_budget_holds_also_over_a_second_start(database, imported, generations, runs, openai_server):
    imported("one", price=1000.0)  # 0.106 a call
    limits = Limits(max_tokens=100, per_minute=100_000, at_once=2, budget=0.35)
    requested = generations.request(["one"], limits, by="Ada")
    worked(database)
    assert openai_server.seen["one"] == 3 and generations.spent(runs.get(requested.id)) == pytest.approx(0.318)
    again = generations.resume(requested.id, by="Ada")
    assert again.config["limits"]["budget"] == pytest.approx(0.032)
    worked(database)
    assert openai_server.seen["one"] == 3 and runs.get(again.id).report["llms"][0]["not_asked"] == 3


def test_a_request_that_cannot_be_is_refused_with_its_reason(imported, generations, runs, openai_server):
    imported("one", price=None)
    for llms, limits, match in (
        ([], QUICK, "at least one LLM"),
        (["one"], Limits(budget=1.0), "needs prices"),
    ):
        with pytest.raises(InvalidInput, match=match):
            generations.request(llms, limits, by="Ada")
    with pytest.raises(NotFound):
        generations.request(["nobody"], QUICK, by="Ada")
    generations.request(["one"], QUICK, by="Ada")
    with pytest.raises(RunActive, match="Already queued"):
        generations.request(["one"], QUICK, by="Ada")
    assert not openai_server.seen


def test_a_response_that_came_another_way_meanwhile_stays(database, imported):
    store = imported("one")
    theirs = Response(QueryId("query-0"), LLMId("one"), ("from a file",))
    store.add_bundle(Bundle("later", responses=(theirs,)))
    ours = Answered(LLM(LLMId("one")), Response(QueryId("query-0"), LLMId("one"), ("generated",)), ())
    assert not keep(database, ours, "generated in run 1")
    assert responses(database) == ["from a file"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the worker's own process takes seconds
def test_a_worker_that_is_killed_loses_only_what_was_under_way(database, imported, generations, runs, openai_server):
    imported("slow")
    url = database.address.render_as_string(hide_password=False)
    requested = generations.request(["slow"], Limits(50, 100_000, 1), by="Ada")
    process = subprocess.Popen(
        [sys.executable, "cli.py", "worker", "--once"], cwd=ROOT, env={**os.environ, "DATABASE_URL": url},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while len(responses(database)) < 2 and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [run.id for run in runs.reap()] == [requested.id]
    kept = len(responses(database))
    assert 2 <= kept < 6 and runs.get(requested.id).status == RunStatus.INTERRUPTED
    before = openai_server.seen["slow"]
    assert before - kept <= 1
    generations.resume(requested.id, by="Ada")
    worked(database)
    assert openai_server.seen["slow"] == before + 6 - kept and len(responses(database)) == 6
    with pytest.raises(InvalidInput, match="answered every one"):
        generations.resume(requested.id, by="Ada")


def test_a_cancelled_run_hangs_up_and_keeps_what_was_answered(database, imported, generations, runs, openai_server):
    imported("endless")
    requested = generations.request(["endless"], Limits(50, 100_000, 1), by="Ada")

    class Impatient(Worker):
        """Asks for its own end as soon as the first call is under way."""

        def _beat(self, run, pulse, said) -> None:
            while not openai_server.seen["endless"] and not pulse.done.wait(0.01):
                pass
            runs.cancel(run.id, "Ada")
            super()._beat(run, pulse, said)

    Impatient(database, HashEncoder(), SETTINGS).run_once()
    assert runs.get(requested.id).status == RunStatus.CANCELLED
    assert openai_server.seen["endless"] == 1 and not responses(database)
    assert runs.latest(1, GENERATION)[0].step == 0
