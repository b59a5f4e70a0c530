"""What a run's worker says, line by line, for whoever reads along."""

import logging
import threading

import pytest

from core.errors import DatabaseUnavailable
from core.settings import Settings
from db import run_log
from db.models import RunStatus
from db.run_log import RunLog, listening, tail
from db.runs import TrainingRuns
from db.worker import EXECUTORS, Worker
from tests.planted import HashEncoder

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


@pytest.fixture
def runs(database):
    return TrainingRuns(database, 30)


@pytest.fixture
def run(runs):
    return runs.request({}, by="Ann", kind="speaking")


def texts(database, run, most=50):
    return [line.text for line in tail(database, run.id, most)]


def test_the_stages_and_losses_of_a_run_can_be_read_along_and_stay(database, runs, run, monkeypatch):
    halfway, go_on = threading.Event(), threading.Event()

    def speak(execution):
        execution.reach("encoding", 0, 2)
        execution.reach("encoding", 1, 2)
        execution.reach("training", 1, 75, train_loss=0.61, validation_loss=0.6234)
        halfway.set()
        assert go_on.wait(60)
        return {}, "fingerprint"

    monkeypatch.setitem(EXECUTORS, "speaking", speak)
    monkeypatch.setattr("db.worker.BEAT_SECONDS", 0.05)
    worker = threading.Thread(target=Worker(database, HashEncoder(), SETTINGS).run_once)
    worker.start()
    assert halfway.wait(60)
    for _ in range(1000):
        if len(texts(database, run)) >= 4:
            break
        go_on.wait(0.02)
    lines = texts(database, run)
    go_on.set()
    worker.join()
    assert lines[0].startswith(f"run {run.id} claimed by")
    assert lines[1:] == ["encoding", "training", "epoch 1 of at most 75: loss 0.6100, validation 0.6234"]
    assert texts(database, run)[-1] == "done" and texts(database, run, 2) == [lines[-1], "done"]


@pytest.mark.parametrize("error", [RuntimeError("a secret"), DatabaseUnavailable("The disk is full.")])
def test_a_run_that_fails_says_so_and_tells_no_more_than_people_may_read(database, runs, run, monkeypatch, error):
    def fail(_execution):
        raise error

    monkeypatch.setitem(EXECUTORS, "speaking", fail)
    ended = Worker(database, HashEncoder(), SETTINGS).run_once()
    assert ended and ended.status == RunStatus.FAILED
    said = texts(database, run)
    assert "failed" in said[-1] and "a secret" not in " ".join(said)


def test_lines_wait_while_the_database_is_busy_and_come_in_their_order(database, run, monkeypatch):
    heard = RunLog(database, run.id)
    real, busy = database.write, [True]

    def write():
        if busy:
            raise DatabaseUnavailable("busy")
        return real()

    monkeypatch.setattr(database, "write", write)
    for word in ("one", "two"):
        heard.emit(logging.LogRecord("db", logging.INFO, "", 0, word, (), None))
    heard.write()
    busy.clear()
    heard.emit(logging.LogRecord("db", logging.INFO, "", 0, "three", (), None))
    heard.write()
    assert texts(database, run) == ["one", "two", "three"]


def test_a_run_keeps_so_many_lines_and_no_line_is_endless(database, run, monkeypatch):
    monkeypatch.setattr(run_log, "MOST_LINES", 3)
    with listening(database, run.id):
        for i in range(5):
            logging.getLogger("core.somewhere").info("%d %s", i, "x" * 10_000)
        logging.getLogger("elsewhere").warning("not ours")
    lines = tail(database, run.id, 50)
    assert [line.text[0] for line in lines] == ["0", "1", "2"]
    assert all(len(line.text) == run_log.MOST_CHARACTERS for line in lines)
    assert logging.getLogger("db").handlers == [] and logging.getLogger("db").level == logging.NOTSET
