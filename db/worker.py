"""The process that executes training runs: claims one, beats while it works, publishes what it trained."""

import logging
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from core.encoders import TextEncoder
from core.errors import PrefRouteError, TrainingCancelled
from core.providers import Providers
from core.settings import ROOT, Settings
from db.answers import StoredResponses
from db.calls import CallLedger
from db.comparisons import COMPARISON, compare_versions
from db.engine import Database
from db.evaluations import EVALUATION, evaluate_honestly
from db.execution import Execution, Pulse
from db.generations import GENERATION, generate
from db.projections import PROJECTION, draw
from db.run_log import RunLog, listening
from db.runs import TRAINING, LostRun, Run, TrainingRuns, worker_name
from db.trainings import train_router

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
POLL_SECONDS = 1.0
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc")  # torch raises RuntimeError with such words


EXECUTORS: dict[str, Callable[[Execution], tuple[dict[str, Any], str]]] = {
    TRAINING: train_router,
    COMPARISON: compare_versions,
    EVALUATION: evaluate_honestly,
    PROJECTION: draw,
    GENERATION: generate,
}


class Worker:
    """One worker of one database. Several may run, on one host or many; the run's row says who has it."""

    def __init__(self, database: Database, encoder: TextEncoder, settings: Settings) -> None:
        """`encoder` should cache its vectors in the same database."""
        self.name = worker_name()
        self._database, self._encoder, self._settings = database, encoder, settings
        self._runs = TrainingRuns(database, settings.heartbeat_timeout)
        self._providers = Providers(settings.providers, StoredResponses(database, encoder), CallLedger(database))

    def run_once(self) -> Run | None:
        """Execute the oldest queued run to its end, whatever end that is; None when there was none."""
        self._runs.reap()
        run = self._runs.claim(self.name)
        if run is None:
            return None
        with listening(self._database, run.id) as said:
            log.info("run %d claimed by %s", run.id, self.name)
            self._execute(run, said)
        return self._runs.get(run.id)

    def _execute(self, run: Run, said: RunLog) -> None:
        try:
            with self._beating(run, said) as pulse:
                execution = Execution(run, self.name, self._runs, self._database, self._encoder, self._providers, pulse)
                report, fingerprint = EXECUTORS[run.kind](execution)
                pulse.check()
                self._runs.finish(run.id, self.name, report, fingerprint)
                log.info("done")
        except LostRun:
            log.warning("run %d was taken from %s; its work is dropped", run.id, self.name)
        except TrainingCancelled:
            self._runs.cancelled(run.id, self.name)
            log.info("cancelled")
        except PrefRouteError as error:
            self._runs.fail(run.id, self.name, str(error))
            log.info("failed: %s", error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must end and say so
            self._runs.fail(run.id, self.name, _cause(run, error))

    def run_forever(self, stop: threading.Event) -> None:
        """Execute runs as they come until `stop` is set."""
        while not stop.is_set():
            if self.run_once() is None:
                stop.wait(POLL_SECONDS)

    @contextmanager
    def _beating(self, run: Run, said: RunLog) -> Iterator[Pulse]:
        pulse = Pulse()
        thread = threading.Thread(target=self._beat, args=(run, pulse, said), daemon=True)
        thread.start()
        try:
            yield pulse
        finally:
            pulse.done.set()
            thread.join()

    def _beat(self, run: Run, pulse: Pulse, said: RunLog) -> None:
        while not pulse.done.wait(BEAT_SECONDS):
            try:
                said.write()
                if self._runs.beat(run.id, self.name):
                    pulse.cancel.set()
            except LostRun:
                pulse.lost.set()
                return
            except PrefRouteError:
                log.warning("a heartbeat of run %d failed; trying again", run.id)


def _cause(run: Run, error: Exception) -> str:
    """What a person reads of an error that is not meant for people; the rest goes to the log under a reference."""
    unchanged = "The router in service is unchanged"
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY):
        log.warning("run %d ran out of memory: %s", run.id, error)
        return f"It ran out of memory. {unchanged}; use a smaller preset, or a larger machine."
    reference = uuid.uuid4().hex[:8]
    log.error("run %d failed, reference %s", run.id, reference, exc_info=error)
    return f"It failed. {unchanged}. The log has the cause under {reference}."


def spawn_worker(settings: Settings) -> subprocess.Popen[bytes]:
    """Start a worker process that executes what is queued and ends. It outlives the app that started it; its log is
    data/worker.log.
    """
    folder = ROOT / "data"
    folder.mkdir(exist_ok=True)
    with (folder / "worker.log").open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own program, no outside argument
            [sys.executable, str(ROOT / "cli.py"), "worker", "--once"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=ROOT,
            # One thread for its products of small matrices: more of them mostly wait for each other, and take the
            # processor from the raters.
            env={"OMP_NUM_THREADS": "1", **os.environ, "DATABASE_URL": settings.database_url},
        )  # fmt: skip
