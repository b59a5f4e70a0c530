"""The process that executes training runs: claims one, beats while it works, publishes what it trained."""

import logging
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from core.dataset import PreferenceDataset
from core.encoders import TextEncoder
from core.errors import PrefRouteError, TrainingCancelled
from core.readiness import check_enough
from core.settings import ROOT, Settings
from db.engine import Database
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.runs import LostRun, Run, TrainingRuns, worker_name

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
POLL_SECONDS = 1.0
TEXTS_PER_STEP = 64  # encoded between two looks at the cancel flag: under a second on one core


class Worker:
    """One worker of one database. Several may run, on one host or many; the run's row says who has it."""

    def __init__(self, database: Database, encoder: TextEncoder, settings: Settings) -> None:
        """`encoder` should cache its vectors in the same database."""
        self.name = worker_name()
        self._database, self._encoder, self._settings = database, encoder, settings
        self._runs = TrainingRuns(database, settings.heartbeat_timeout)

    def run_once(self) -> Run | None:
        """Execute the oldest queued run to its end, whatever end that is; None when there was none."""
        self._runs.reap()
        run = self._runs.claim(self.name)
        if run is None:
            return None
        log.info("run %d claimed by %s", run.id, self.name)
        try:
            with self._beating(run) as pulse:
                self._execute(run, pulse)
        except LostRun:
            log.warning("run %d was taken from %s; its work is dropped", run.id, self.name)
        except TrainingCancelled:
            self._runs.cancelled(run.id, self.name)
        except PrefRouteError as error:
            self._runs.fail(run.id, self.name, str(error))
        except MemoryError:
            self._runs.fail(
                run.id,
                self.name,
                "Training ran out of memory. The router in service is unchanged; train on a larger machine.",
            )
        except Exception:
            reference = uuid.uuid4().hex[:8]
            log.exception("run %d failed, reference %s", run.id, reference)
            self._runs.fail(
                run.id,
                self.name,
                f"Training failed; the router in service is unchanged. The log has the cause under {reference}.",
            )
        return self._runs.get(run.id)

    def run_forever(self, stop: threading.Event) -> None:
        """Execute runs as they come until `stop` is set."""
        while not stop.is_set():
            if self.run_once() is None:
                stop.wait(POLL_SECONDS)

    def _execute(self, run: Run, pulse: "_Pulse") -> None:
        import torch  # an idle worker need not hold it

        from core.optimisation import Epoch, TrainConfig
        from core.training import train

        def report(epoch: Epoch) -> None:
            pulse.check()
            self._runs.progress(
                run.id,
                self.name,
                "training",
                epoch.number,
                epoch.epochs,
                train_loss=epoch.train_loss,
                validation_loss=epoch.validation_loss,
            )

        dataset = PreferenceStore(self._database).snapshot()
        check_enough(dataset)
        self._encode(run, dataset, pulse)
        # The graphs are small: a second thread doubles the CPU for little, and takes it from the raters.
        torch.set_num_threads(1)
        trained = train(dataset, self._encoder, TrainConfig.from_dict(run.config), report)
        pulse.check()
        self._runs.progress(
            run.id, self.name, "publishing", len(trained.report.fit.curve), len(trained.report.fit.curve)
        )
        card = {
            **trained.report.to_dict(),
            "kind": trained.router.kind,
            "encoder": self._encoder.id,
            "llms": list(trained.router.llms),
        }
        registry = RouterRegistry(self._database)
        version = registry.publish(trained.router.kind, trained.router.to_bytes(), card, run_id=run.id)
        registry.activate(version.id, by=run.requested_by, reason=f"trained by run {run.id}")
        self._runs.finish(
            run.id, self.name, {**trained.report.to_dict(), "router_version": version.id}, dataset.fingerprint()
        )

    def _encode(self, run: Run, dataset: PreferenceDataset, pulse: "_Pulse") -> None:
        """Embed every text first, in small steps, so that a cancel is heard and progress is seen."""
        texts = [q.text for q in dataset.queries] + [m.text for m in dataset.llms]
        for start, chunk in _chunks(texts, TEXTS_PER_STEP):
            pulse.check()
            self._runs.progress(run.id, self.name, "encoding", start, len(texts))
            self._encoder.encode(chunk)

    @contextmanager
    def _beating(self, run: Run) -> Iterator["_Pulse"]:
        pulse = _Pulse()
        thread = threading.Thread(target=self._beat, args=(run, pulse), daemon=True)
        thread.start()
        try:
            yield pulse
        finally:
            pulse.done.set()
            thread.join()

    def _beat(self, run: Run, pulse: "_Pulse") -> None:
        while not pulse.done.wait(BEAT_SECONDS):
            try:
                if self._runs.beat(run.id, self.name):
                    pulse.cancel.set()
            except LostRun:
                pulse.lost.set()
                return
            except PrefRouteError:
                log.warning("a heartbeat of run %d failed; trying again", run.id)


class _Pulse:
    """What the heartbeat thread tells the training thread."""

    def __init__(self) -> None:
        self.done, self.cancel, self.lost = threading.Event(), threading.Event(), threading.Event()

    def check(self) -> None:
        if self.lost.is_set():
            raise LostRun
        if self.cancel.is_set():
            raise TrainingCancelled


def _chunks(texts: Sequence[str], size: int) -> Iterator[tuple[int, Sequence[str]]]:
    for start in range(0, len(texts), size):
        yield start, texts[start : start + size]


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
            env={**os.environ, "DATABASE_URL": settings.database_url},
        )  # fmt: skip
