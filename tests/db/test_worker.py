"""Training runs executed for real: a small fit, in this process and in one that is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.settings import ROOT, Settings
from db.demo import demo_bundle
from db.engine import Database
from db.models import RunStatus
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.runs import TrainingRuns
from db.serving import Serving
from db.worker import Worker
from tests.planted import HashEncoder

SHORT = {"epochs": 3, "steps_per_epoch": 2, "device": "cpu"}
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


def worker(database: Database, encoder: TextEncoder | None = None) -> Worker:
    return Worker(database, encoder or HashEncoder(), SETTINGS)


@pytest.fixture
def rated(database: Database) -> Database:
    PreferenceStore(database).add_bundle(demo_bundle())
    return database


@pytest.fixture
def runs(database: Database) -> TrainingRuns:
    return TrainingRuns(database, heartbeat_timeout=30)


def test_a_run_ends_in_a_router_in_service_with_its_card(rated: Database, runs: TrainingRuns) -> None:
    requested = runs.request(SHORT, by="Ada")
    ended = worker(rated).run_once()
    assert ended is not None and ended.status == RunStatus.DONE and ended.id == requested.id
    active = RouterRegistry(rated).active()
    assert active is not None and active.run_id == requested.id
    assert active.card["fingerprint"] == PreferenceStore(rated).snapshot().fingerprint() == ended.dataset_fingerprint
    assert active.card["config"]["epochs"] == 3 and active.card["encoder"] == "hash-64"
    assert {standing["router"] for standing in active.card["standings"]} >= {
        "ladder",
        "gat",
        "user_task_best",
        "matrix_factorization",
        "bradley_terry",
        "user_bradley_terry",
    }
    assert [losses.step for losses in runs.curve(requested.id)] == list(range(1, 10))  # three networks


def test_without_a_queued_run_a_worker_does_nothing(rated: Database) -> None:
    assert worker(rated).run_once() is None


def test_too_few_ratings_fail_the_run_and_say_how_many_are_missing(database: Database, runs: TrainingRuns) -> None:
    runs.request(SHORT, by="Ada")
    ended = worker(database).run_once()
    assert ended is not None and ended.status == RunStatus.FAILED
    assert "0 of 60 ratings" in str(ended.error)


def test_a_bug_fails_the_run_under_a_reference_and_keeps_its_text_from_the_page(
    rated: Database, runs: TrainingRuns
) -> None:
    class Broken(HashEncoder):
        def encode(self, texts):
            raise RuntimeError("secret detail")

    runs.request(SHORT, by="Ada")
    ended = worker(rated, Broken()).run_once()
    assert ended is not None and ended.status == RunStatus.FAILED
    assert "The log has the cause under" in str(ended.error) and "secret" not in str(ended.error)


def test_a_cancel_is_heard_within_an_epoch_and_leaves_the_router_in_service(
    rated: Database, runs: TrainingRuns
) -> None:
    runs.request(SHORT, by="Ada")
    worker(rated).run_once()
    before = RouterRegistry(rated).active()
    long = runs.request({**SHORT, "epochs": 2000, "patience": 2000}, by="Ada")
    thread = threading.Thread(target=worker(rated).run_once)
    thread.start()
    deadline = time.monotonic() + 60
    while runs.get(long.id).stage != "training" and time.monotonic() < deadline:
        time.sleep(0.05)
    runs.cancel(long.id, "Ada")
    thread.join(timeout=60)
    assert runs.get(long.id).status == RunStatus.CANCELLED
    assert RouterRegistry(rated).active() == before


def test_a_killed_worker_leaves_the_run_interrupted_and_the_next_one_succeeds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'killed.db'}"
    database = Database.open(url)
    PreferenceStore(database).add_bundle(demo_bundle())
    runs = TrainingRuns(database, heartbeat_timeout=30)
    runs.request(SHORT, by="Ada")
    worker(database).run_once()
    serving = Serving(database, HashEncoder())
    served = serving.service().name
    doomed = runs.request({"epochs": 2000, "patience": 2000}, by="Ada")
    process = subprocess.Popen(
        [sys.executable, "cli.py", "worker", "--once"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while runs.get(doomed.id).stage != "training" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert runs.get(doomed.id).stage == "training"
        os.kill(process.pid, signal.SIGKILL)
        # The process is dead but not yet waited for, as under the app that started it.
        while runs.get(doomed.id).status == RunStatus.RUNNING and time.monotonic() < deadline:
            runs.reap()
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert runs.get(doomed.id).status == RunStatus.INTERRUPTED
    assert serving.service().name == served
    assert len(serving.decide(UserId("simulated-brief-01"), Query.typed("hello")).choices) == 5
    runs.request(SHORT, by="Ada")
    ended = worker(database).run_once()
    assert ended is not None and ended.status == RunStatus.DONE
    database.dispose()
