import os
import signal
import subprocess
import sys
import time

import pytest

from core.errors import NotFound, RunActive, TrainingCancelled
from core.settings import ROOT
from db.runs import Losses, LostRun, TrainingRuns, _process_is_gone, worker_name
from tests.db.worlds import at_once


@pytest.fixture
def runs(database, clock):
    return TrainingRuns(database, heartbeat_timeout=30, clock=clock)


@pytest.fixture
def running(runs):
    """A run that worker "w" has claimed."""
    runs.request({"epochs": 3}, by="Ada")
    return runs.claim("w")


def test_a_run_goes_from_queued_to_done(runs, clock):
    queued = runs.request({"epochs": 3}, by="Ada")
    assert (queued.status, queued.config, queued.requested_by, queued.active) == ("queued", {"epochs": 3}, "Ada", True)
    clock.wait(5)
    run = runs.claim("w")
    assert (run.id, run.status, run.worker, run.started_at) == (queued.id, "running", "w", clock.now)
    runs.progress(run.id, "w", "training", 1, 3, train_loss=0.7, validation_loss=float("nan"))
    runs.progress(run.id, "w", "training", 2, 3, train_loss=0.6)
    assert (runs.get(run.id).stage, runs.get(run.id).step, runs.get(run.id).steps) == ("training", 2, 3)
    assert runs.curve(run.id) == [Losses(1, 0.7, None), Losses(2, 0.6, None)]
    clock.wait(5)
    runs.finish(run.id, "w", {"log_loss": float("nan"), "auc": 0.8}, "f" * 64)
    done = runs.get(run.id)
    assert (done.status, done.active, done.finished_at) == ("done", False, clock.now)
    assert (done.report, done.dataset_fingerprint) == ({"log_loss": None, "auc": 0.8}, "f" * 64)
    assert runs.request({}, by="Bob").id > done.id
    assert [run.id for run in runs.latest(1)] == [done.id + 1]


def test_a_second_request_names_the_one_there_is(runs):
    first = runs.request({}, by="Ada")
    with pytest.raises(RunActive, match=rf"Already queued: run {first.id}, requested 12:00 UTC by Ada"):
        runs.request({}, by="Bob")
    runs.claim("w")
    with pytest.raises(RunActive, match="Already running: run"):
        runs.request({}, by="Bob")
    assert len(runs.latest()) == 1


def test_of_eight_requests_at_once_one_wins(runs):
    results = at_once(8, lambda i: runs.request({}, by=f"user {i}"))
    assert sorted(type(result).__name__ for result in results) == ["Run"] + ["RunActive"] * 7


def test_of_eight_workers_one_gets_the_run(runs):
    runs.request({}, by="Ada")
    claimed = at_once(8, lambda i: runs.claim(f"worker {i}"))
    assert sum(run is not None for run in claimed) == 1
    assert runs.claim("late") is None


def test_only_the_worker_that_has_the_run_may_write_to_it(runs, running):
    acts = [
        lambda w: runs.progress(running.id, w, "x", 1, 1, 0.5),
        lambda w: runs.beat(running.id, w),
        lambda w: runs.finish(running.id, w, {}, ""),
        lambda w: runs.fail(running.id, w, "x"),
        lambda w: runs.cancelled(running.id, w),
    ]
    for act in acts:
        with pytest.raises(LostRun):
            act("other")
    assert runs.get(running.id) == running
    assert runs.curve(running.id) == []
    runs.fail(running.id, "w", "broken")
    for act in acts:
        with pytest.raises(TrainingCancelled):
            act("w")
    assert (runs.get(running.id).status, runs.get(running.id).error) == ("failed", "broken")


def test_a_queued_run_is_cancelled_at_once(runs):
    run = runs.request({}, by="Ada")
    runs.cancel(run.id, by="Bob")
    assert runs.get(run.id).status == "cancelled"
    assert runs.claim("w") is None
    runs.request({}, by="Ada")


def test_a_running_run_is_asked_to_end(runs, running):
    assert runs.beat(running.id, "w") is False
    runs.cancel(running.id, by="Bob")
    assert runs.get(running.id).status == "running"
    assert runs.beat(running.id, "w") is True
    runs.cancelled(running.id, "w")
    runs.cancel(running.id, by="Bob")
    assert runs.get(running.id).status == "cancelled"


def test_an_unknown_run_is_not_found(runs):
    for act in (runs.get, lambda i: runs.cancel(i, by="Ada")):
        with pytest.raises(NotFound, match="no training run 99"):
            act(99)


def test_a_silent_run_is_interrupted_and_its_worker_learns_it(runs, running, clock):
    clock.wait(29)
    assert runs.reap() == []
    runs.beat(running.id, "w")
    clock.wait(29)
    assert runs.reap() == []
    clock.wait(2)
    (reaped,) = runs.reap()
    assert (reaped.id, reaped.status, reaped.finished_at) == (running.id, "interrupted", clock.now)
    assert "start it again" in reaped.error
    assert runs.reap() == []
    with pytest.raises(LostRun):
        runs.beat(running.id, "w")
    runs.request({}, by="Ada")


def test_a_run_whose_process_was_killed_is_interrupted_without_waiting(database, runs):
    run = runs.request({}, by="Ada")
    program = (
        "import sys, time; from db.engine import Database; from db.runs import TrainingRuns, worker_name\n"
        "TrainingRuns(Database.open(sys.argv[1]), 3600).claim(worker_name()); print('claimed', flush=True)\n"
        "time.sleep(60)"
    )
    url = database._engine.url.render_as_string(hide_password=False)
    worker = subprocess.Popen([sys.executable, "-c", program, url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "claimed\n"
    runs = TrainingRuns(database, heartbeat_timeout=3600)
    assert runs.reap() == []
    os.kill(worker.pid, signal.SIGKILL)
    give_up = time.monotonic() + 120
    while not (reaped := runs.reap()) and time.monotonic() < give_up:  # it is a zombie still: nobody has waited for it
        time.sleep(0.02)
    assert [r.id for r in reaped] == [run.id]
    worker.communicate()


def test_a_living_process_is_not_gone_and_a_reused_number_is():
    name = worker_name()
    host, pid, start, random = name.split(":")
    assert name != worker_name()
    assert not _process_is_gone(name)
    assert not _process_is_gone(f"elsewhere:{pid}:{start}:{random}")
    assert not _process_is_gone("nonsense")
    assert _process_is_gone(f"{host}:{pid}:{int(start) + 1}:{random}")
