"""A run while a worker executes it: how far it is, whether it should stop, and what it may use."""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.dataset import PreferenceDataset
from core.encoders import TextEncoder
from core.errors import TrainingCancelled
from core.providers import Providers
from db.engine import Database
from db.runs import LostRun, Run, TrainingRuns

log = logging.getLogger(__name__)

TEXTS_PER_STEP = 64  # encoded between two looks at the cancel flag: under a second on one core


class Pulse:
    """What the heartbeat thread tells the thread that works."""

    def __init__(self) -> None:
        self.done, self.cancel, self.lost = threading.Event(), threading.Event(), threading.Event()
        self.stage = ""  # what was reached last

    def check(self) -> None:
        """Raises LostRun or TrainingCancelled where the work should end."""
        if self.lost.is_set():
            raise LostRun
        if self.cancel.is_set():
            raise TrainingCancelled


@dataclass(frozen=True, eq=False)
class Execution:
    """One claimed run in the hands of one worker. `encoder` should cache its vectors in `database`."""

    run: Run
    worker: str
    runs: TrainingRuns
    database: Database
    encoder: TextEncoder
    providers: Providers
    pulse: Pulse

    def reach(
        self, stage: str, step: int, steps: int, train_loss: float | None = None, validation_loss: float | None = None
    ) -> None:
        """Tell how far the run is. Raises TrainingCancelled where someone asked to stop, LostRun where it was taken."""
        self.pulse.check()
        if stage != self.pulse.stage:
            log.info("%s", stage)
            self.pulse.stage = stage
        if train_loss is not None and validation_loss is not None:
            log.info("epoch %d of at most %d: loss %.4f, validation %.4f", step, steps, train_loss, validation_loss)
        self.runs.progress(self.run.id, self.worker, stage, step, steps, train_loss, validation_loss)

    def encode(self, dataset: PreferenceDataset) -> None:
        """Embed every text first, in small steps, so that a cancel is heard and progress is seen."""
        texts = [q.text for q in dataset.queries] + [m.text for m in dataset.llms]
        for start, chunk in _chunks(texts, TEXTS_PER_STEP):
            self.reach("encoding", start, len(texts))
            self.encoder.encode(chunk)


def _chunks(texts: Sequence[str], size: int) -> Iterator[tuple[int, Sequence[str]]]:
    for start in range(0, len(texts), size):
        yield start, texts[start : start + size]
