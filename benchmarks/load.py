"""Many people rate at once while routers train and the server is killed: nothing lost, nothing twice, how fast.

The server is a process of its own that holds what the app's server holds (the store and its matchmaker) and does behind
HTTP what the rating page's callback does, without drawing a page. Raters repeat what got no answer, with the token of
their assignment, as a person does who sees "Not saved. Retry".
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.report import progress, write_json
from core.domain import LLM, Bundle, Comparison, LLMId, Outcome, Query, QueryId, Response, User, UserId
from core.encoders import SentenceEncoder
from core.errors import InvalidInput, PrefRouteError, RunActive
from core.settings import ROOT
from db.embeddings import CachedEncoder
from db.engine import Database
from db.matchmaker import Matchmaker
from db.people import People
from db.preferences import PreferenceStore
from db.reports import outcomes_of_assignments
from db.runs import TrainingRuns
from db.serving import Serving

KILLS = 2
PATIENCE = 120.0  # seconds a rater goes on asking a server that does not answer
MINIMUM_DWELL = 0.8  # seconds: the setting's default, and so the fastest a rater can be
SPARE = 20  # queries beyond those a rater rates
SIMULATED = (40, 25)  # users and their ratings, for the routers that train beside
HEARTBEAT = 30.0
SAVED = ("saved", "extra", "already_saved")


@dataclass(frozen=True)
class Plan:
    """What to run. Raters read each pair for `pause` to three times `pause` seconds. Without a `url`, on a SQLite file
    of its own; `training` says whether routers train beside.
    """

    raters: int
    ratings: int
    url: str = ""
    pause: float = MINIMUM_DWELL
    training: bool = True


@dataclass
class Heard:
    """What the raters were told: what they said by token, once acknowledged; milliseconds inside the server and until
    the answer was here; and the answers that were errors.
    """

    said: dict[str, Outcome] = field(default_factory=dict)
    inside: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def load(plan: Plan, out: Path | None) -> bool:
    """Run it and print the figures as JSON. Whether nothing was lost, nothing doubled and nothing refused."""
    with tempfile.TemporaryDirectory(prefix="prefroute-load-") as folder:
        url = plan.url or f"sqlite:///{folder}/load.db"
        database = Database.open(url)
        try:
            if not PreferenceStore(database).pristine():
                raise InvalidInput("That database is in use; give an empty one. Nothing was written.")
            figures = _run(plan, url, database)
        finally:
            database.dispose()
    print(json.dumps(figures))
    write_json(out, figures)
    return not (figures["lost"] or figures["doubled"] or figures["errors"])


def _run(plan: Plan, url: str, database: Database) -> dict[str, Any]:
    names = [f"rater {i}" for i in range(plan.raters)]
    PreferenceStore(database).add_bundle(world(plan.ratings + SPARE))
    for name in names:
        People(database).sign_in(name)
    heard, began = Heard(), time.monotonic()
    with _training(database, url) if plan.training else _nothing() as trained:
        _rate_and_kill(plan, url, names, heard)
    seconds = time.monotonic() - began
    lost, doubled = losses(heard.said, outcomes_of_assignments(database))
    (p50, p95), (_, outside) = (np.quantile(ms or [0.0], [0.5, 0.95]) for ms in (heard.inside, heard.outside))
    return {
        "lost": lost, "doubled": doubled, "p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1),
        "errors": len(heard.errors),
        "acknowledged": len(heard.said), "raters": plan.raters, "kills": KILLS, "database": database.dialect,
        "seconds": round(seconds), "outside_p95_ms": round(float(outside), 1), "trainings": trained,
        "first_errors": heard.errors[:5],
    }  # fmt: skip


def losses(said: Mapping[str, Outcome], stored: Mapping[str, Sequence[Outcome | None]]) -> tuple[int, int]:
    """How many acknowledged answers (by token) are not stored as they were given, and how many are stored twice."""
    lost = sum(outcome not in stored.get(token, ()) for token, outcome in said.items())
    return lost, sum(len(outcomes) > 1 for outcomes in stored.values())


def _rate_and_kill(plan: Plan, url: str, names: list[str], heard: Heard) -> None:
    port = _free_port()
    server = _start(url, port, min(MINIMUM_DWELL, plan.pause))
    raters = [threading.Thread(target=_rate, args=(port, name, plan, heard), daemon=True) for name in names]
    try:
        for rater in raters:
            rater.start()
        for kill in range(1, KILLS + 1):
            _wait_for(heard, plan.raters * plan.ratings * kill / (KILLS + 1), raters)
            server.kill()
            server.join()
            progress(f"server killed after {len(heard.said)} ratings, and started again")
            server = _start(url, port, min(MINIMUM_DWELL, plan.pause))
        for rater in raters:
            rater.join()
    finally:
        server.kill()
        server.join()


def world(queries: int) -> Bundle:
    """Queries answered by four LLMs, and ratings by simulated users of two opposite tastes, to train on."""
    llms = tuple(LLM(LLMId(f"llm-{i}"), description=f"writes in manner {i}") for i in range(4))
    asked = tuple(Query(QueryId(f"query-{i}"), (f"What about number {i}?",), f"task-{i % 3}") for i in range(queries))
    said = {(q.query_id, m.llm_id): Response(q.query_id, m.llm_id, (f"{q.query_id} by {m.llm_id}",)) for q in asked
            for m in llms}  # fmt: skip
    users, each = SIMULATED
    rng, rated = Random(0), []
    for u in range(users):
        for i, query in enumerate(rng.sample(asked, min(each, queries))):
            a, b = rng.sample(llms, 2)
            outcome = Outcome.A if (a.llm_id < b.llm_id) == (u % 2 == 0) else Outcome.B
            rated.append(Comparison(
                UserId(f"simulated-{u}"), query.query_id, a.llm_id, b.llm_id, outcome,
                said[query.query_id, a.llm_id].response_id, said[query.query_id, b.llm_id].response_id, f"load-{u}-{i}",
            ))  # fmt: skip
    everyone = tuple(User(UserId(f"simulated-{u}"), simulated=True) for u in range(users))
    return Bundle("load", everyone, (), llms, asked, tuple(said.values()), tuple(rated))


@contextmanager
def _nothing() -> Iterator[dict[str, int]]:
    yield {}


@contextmanager
def _training(database: Database, url: str) -> Iterator[dict[str, int]]:
    """One training run after the other in a worker of its own; at the end how many came to which end."""
    runs, over, ends = TrainingRuns(database, HEARTBEAT), threading.Event(), dict[str, int]()
    environment = os.environ | {"DATABASE_URL": url}
    worker = subprocess.Popen([sys.executable, "cli.py", "worker"], cwd=ROOT, env=environment)

    def again() -> None:
        while not over.is_set():
            try:
                runs.request({}, by="benchmark")
            except RunActive:
                over.wait(0.5)

    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    try:
        yield ends
    finally:
        over.set()
        thread.join()
        if running := runs.active():
            runs.cancel(running.id, "benchmark")
        worker.terminate()
        try:
            worker.wait(60)
        except subprocess.TimeoutExpired:
            worker.kill()
        for run in runs.latest(1000):
            ends[run.status] = ends.get(run.status, 0) + 1


def serve(url: str, port: int, minimum_dwell: float) -> None:
    """Answer POST {"user", "token"?, "outcome"?}: record what is given, and tell the next pair's token."""
    database = Database.open(url)
    serving = Serving(database, CachedEncoder(SentenceEncoder(""), database))
    store = PreferenceStore(database, suggest=Matchmaker(database, serving).suggestions)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            started, told = time.perf_counter(), dict[str, object]()
            try:
                if "token" in asked:
                    outcome = Outcome(asked["outcome"])
                    stored = store.record(asked["user"], asked["token"], outcome, minimum_dwell=minimum_dwell)
                    told["status"] = stored.status
                shown = store.assign(asked["user"])
                told["next"] = shown.token if shown else None
            except PrefRouteError as error:
                told = {"error": str(error)}
            told["ms"] = 1000 * (time.perf_counter() - started)
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: thousands of lines."""

    ThreadingHTTPServer.request_queue_size = 256
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def _start(url: str, port: int, minimum_dwell: float) -> BaseProcess:
    # Spawned and not forked: a server begins with nothing of ours in memory.
    process = get_context("spawn").Process(target=serve, args=(url, port, minimum_dwell), daemon=True)
    process.start()
    return process


def _rate(port: int, name: str, plan: Plan, heard: Heard) -> None:
    rng = Random(name)
    token = _asked(port, {"user": name}, heard).get("next")
    for _ in range(plan.ratings):
        if not token:
            return
        time.sleep(rng.uniform(plan.pause, 3 * plan.pause))
        outcome = rng.choice(list(Outcome))
        told = _asked(port, {"user": name, "token": token, "outcome": outcome}, heard)
        with heard.lock:
            if told.get("status") not in SAVED:
                heard.errors.append(str(told.get("error") or told.get("status")))
                return
            heard.said[str(token)] = outcome
            heard.inside.append(float(told["ms"]))
            heard.outside.append(float(told["outside"]))
        token = told.get("next")


def _asked(port: int, question: dict[str, object], heard: Heard) -> dict[str, Any]:
    """The answer, however often the server must be asked. What it refuses is an error, and it is asked again."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        connection, asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60), time.perf_counter()
        try:
            connection.request("POST", "/", json.dumps(question))
            told: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):  # killed before, or in the middle of its answer
            time.sleep(0.1)
            continue
        finally:
            connection.close()
        if "error" not in told:
            return told | {"outside": 1000 * (time.perf_counter() - asked)}
        with heard.lock:
            heard.errors.append(str(told["error"]))
        time.sleep(0.5)
    return {"error": "The server did not come back."}


def _wait_for(heard: Heard, ratings: float, raters: list[threading.Thread]) -> None:
    while len(heard.said) < ratings and any(rater.is_alive() for rater in raters):
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
