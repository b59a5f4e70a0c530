"""Training runs executed for real: a small fit, in this process and in one that is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.dataset import PreferenceDataset
from core.domain import Query, UserId
from core.encoders import TextEncoder
from core.holdout import hold_out
from core.optimisation import FitReport, TrainConfig
from core.routers.bradley_terry import BradleyTerryRouter
from core.routers.ladder import LadderRouter
from core.routers.vectors import EncodedOnce
from core.settings import ROOT, Settings
from core.training import SHARES
from db.demo import demo_bundle
from db.engine import Database
from db.models import RunStatus
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.runs import TrainingRuns
from db.serving import Serving
from db.trainings import wish
from db.worker import Worker, spawn_worker
from tests.planted import HashEncoder

SHORT = {"epochs": 3, "steps_per_epoch": 2, "device": "cpu"}
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


def worker(database: Database, encoder: TextEncoder | None = None) -> Worker:
    return Worker(database, encoder or HashEncoder(), SETTINGS)


@pytest.fixture
def rated(database: Database) -> Database:
    PreferenceStore(database).add_bundle(demo_bundle())
    return database


def served(database: Database, *versions: str) -> RouterRegistry:
    """A registry with the population's ranking of the demo world in service, put there again for each of `versions`."""
    world = demo_bundle()
    dataset = PreferenceDataset.from_comparisons(world.comparisons, world.queries, world.llms)
    cheap = BradleyTerryRouter.fit(dataset, dataset, HashEncoder()).to_bytes()
    registry = RouterRegistry(database)
    for reason in versions:
        registry.activate(registry.publish("bradley_terry", cheap, {}).id, "Ada", reason)
    return registry


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
    assert set(active.card["gains"]) >= {"bradley_terry", "user_bradley_terry", "user_knn", "best_llm", "uniform"}
    assert [(g["name"], g["users"]) for g in active.card["groups"]] == [("20 ratings or more", 60)]
    assert active.card["promotion"]["allowed"] and active.card["promotion"]["incumbent"] is None
    assert active.trained_by == "Ada" and len(active.card["code"]) == 12


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


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_out_of_memory_is_said_plainly(rated: Database, runs: TrainingRuns, error: Exception) -> None:
    class Greedy(HashEncoder):
        def encode(self, texts):
            raise error

    runs.request(SHORT, by="Ada")
    ended = worker(rated, Greedy()).run_once()
    assert ended is not None and ended.status == RunStatus.FAILED and "out of memory" in str(ended.error)


def test_a_diverged_training_says_so_and_publishes_nothing(rated: Database, runs: TrainingRuns) -> None:
    class Boundless(HashEncoder):
        def encode(self, texts):
            return super().encode(texts) * np.float32("inf")

    runs.request(SHORT, by="Ada")
    ended = worker(rated, Boundless()).run_once()
    assert ended is not None and ended.status == RunStatus.FAILED
    assert RouterRegistry(rated).versions() == []


@pytest.fixture(scope="module")
def fitted() -> tuple[LadderRouter, FitReport]:
    """The demo world's router, fitted once by a few steps."""
    world = demo_bundle()
    dataset = PreferenceDataset.from_comparisons(world.comparisons, world.queries, world.llms)
    (fitting, validation, _), _ = hold_out(dataset, SHARES, seed=0)
    return LadderRouter.fit_with_report(fitting, validation, EncodedOnce(HashEncoder()), TrainConfig.from_dict(SHORT))


def test_the_gate_keeps_an_equal_router_out_and_a_reason_or_a_wish_decides_otherwise(
    rated: Database, runs: TrainingRuns, fitted: tuple[LadderRouter, FitReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LadderRouter, "fit_with_report", lambda *_: fitted)
    registry = RouterRegistry(rated)

    def trained(**wished: Any) -> dict[str, Any]:
        runs.request({**SHORT, **wish(**wished)}, by="Ada")
        ended = worker(rated, EncodedOnce(HashEncoder())).run_once()
        assert ended is not None and ended.status == RunStatus.DONE, ended and ended.error
        return dict(ended.report or {})

    assert not trained(promote=False)["in_service"] and registry.active() is None
    assert trained()["in_service"]
    serves = registry.active()
    assert (
        serves is not None and serves.id == 2 and "better than one ranking for all" in registry.activations()[0].reason
    )
    equal = trained()
    assert not equal["in_service"] and "neither better nor worse than version 2 in service" in equal["refused"]
    assert equal["promotion"]["trials"][0]["ratings"] == equal["ratings"]["test"]  # all new to both
    assert registry.active() == serves
    assert trained(reason="it knows the newest ratings")["in_service"]
    assert registry.activations(1)[0].reason == "it knows the newest ratings"


def test_a_cancel_is_heard_within_an_epoch_and_leaves_the_router_in_service(
    rated: Database, runs: TrainingRuns
) -> None:
    before = served(rated, "a test").active()
    long = runs.request({**SHORT, "epochs": 2000, "patience": 2000}, by="Ada")
    thread = threading.Thread(target=worker(rated).run_once)
    thread.start()
    deadline = time.monotonic() + 240
    while runs.get(long.id).stage != "training" and time.monotonic() < deadline:
        time.sleep(0.05)
    runs.cancel(long.id, "Ada")
    thread.join(timeout=240)
    assert runs.get(long.id).status == RunStatus.CANCELLED
    assert before is not None and RouterRegistry(rated).active() == before


ELSEWHERE = """
import sys
from core.domain import Query, UserId
from db.engine import Database
from db.serving import Serving
from tests.planted import HashEncoder

serving = Serving(Database.open(sys.argv[1]), HashEncoder())
for _ in sys.stdin:
    print(serving.decide(UserId("Ada"), Query.typed("hello"), explained=False).version, flush=True)
"""


def test_a_roll_back_counts_with_the_next_decision_of_another_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'two.db'}"
    database = Database.open(url)
    PreferenceStore(database).add_bundle(demo_bundle())
    registry = served(database, "first", "second")
    other = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, url], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    def decided() -> str:
        assert other.stdin is not None and other.stdout is not None
        other.stdin.write("\n")
        other.stdin.flush()
        return other.stdout.readline().strip()

    try:
        assert decided() == "2"
        registry.rollback("Ada", "worse")
        assert decided() == "1"
    finally:
        other.kill()
        other.communicate()  # closes the pipes too
        database.dispose()


def test_a_killed_worker_leaves_the_run_interrupted_and_the_next_one_succeeds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'killed.db'}"
    database = Database.open(url)
    PreferenceStore(database).add_bundle(demo_bundle())
    runs = TrainingRuns(database, heartbeat_timeout=30)
    served(database, "a test")
    serving = Serving(database, HashEncoder())
    before = serving.service().name
    doomed = runs.request({"epochs": 2000, "patience": 2000}, by="Ada")
    process = subprocess.Popen(
        [sys.executable, "cli.py", "worker", "--once"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 400
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
    assert serving.service().name == before
    assert len(serving.decide(UserId("simulated-brief-01"), Query.typed("hello")).choices) == 5
    runs.request(SHORT, by="Ada")
    ended = worker(database).run_once()
    assert ended is not None and ended.status == RunStatus.DONE
    database.dispose()


@pytest.mark.parametrize("wanted", [None, "4"])
def test_a_worker_has_one_thread_for_its_products_unless_the_operator_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None
) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *_, env, **__: started.append(env))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wanted:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    spawn_worker(Settings(_env_file=None))  # type: ignore[call-arg]
    assert started[0]["OMP_NUM_THREADS"] == (wanted or "1")
