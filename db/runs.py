"""Training runs as rows: requested by people, claimed by one worker, which alone may write to its run from then on."""

import math
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.errors import NotFound, RunActive, TrainingCancelled
from db.audit import note
from db.base import insert_missing, utc_now
from db.engine import Database
from db.models import RunStatus, TrainingProgressRow, TrainingRunRow

ACTIVE = (RunStatus.QUEUED, RunStatus.RUNNING)
TRAINING = "training"  # the kind of run that ends in a router version
_PROC = Path("/proc")


class LostRun(TrainingCancelled):
    """The worker's run was given up on or ended by someone else; what it computed must not be stored."""


@dataclass(frozen=True, slots=True)
class Run:
    """A training run as it stood when it was read."""

    id: int
    kind: str
    status: RunStatus
    config: Mapping[str, Any]
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None
    worker: str | None
    stage: str
    step: int
    steps: int
    cancel_requested: bool
    error: str | None
    report: Mapping[str, Any] | None
    dataset_fingerprint: str | None

    @property
    def active(self) -> bool:
        """Whether it is queued or running."""
        return self.status in ACTIVE


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses after one step, None where not finite or not measured."""

    step: int
    train: float | None
    validation: float | None


class TrainingRuns:
    """The runs of one database. A worker proves with its name that a run is still its own, or gets LostRun."""

    def __init__(self, database: Database, heartbeat_timeout: float, clock: Callable[[], datetime] = utc_now) -> None:
        """`heartbeat_timeout` is how many seconds without a sign of life make a run interrupted."""
        self._database = database
        self._timeout = timedelta(seconds=heartbeat_timeout)
        self._clock = clock

    def request(self, config: Mapping[str, Any], by: str, kind: str = TRAINING) -> Run:
        """Queue a run. Raises RunActive, naming the one there is: only one of a kind may be queued or running."""
        now = self._clock()
        row = TrainingRunRow(kind=kind, config=dict(config), requested_by=by, created_at=now, status=RunStatus.QUEUED)
        try:
            with self._database.write() as session:
                session.add(row)
                session.flush()
                note(session, now, by, "request_run", str(row.id))
                return _run(row)
        except IntegrityError:  # the constraint decides and not a look beforehand, which two clicks could both pass
            raise RunActive(self._describe_active(kind)) from None

    def claim(self, worker: str) -> Run | None:
        """Make the oldest queued run this worker's; None where there is none. No two workers get the same."""
        now = self._clock()
        oldest = select(TrainingRunRow).where(TrainingRunRow.status == RunStatus.QUEUED).order_by(TrainingRunRow.id)
        with self._database.write() as session:
            row = session.scalar(oldest.limit(1).with_for_update(skip_locked=True))
            if row is None:
                return None
            row.status, row.worker, row.started_at, row.heartbeat_at = RunStatus.RUNNING, worker, now, now
            session.flush()
            return _run(row)

    def progress(
        self,
        run_id: int,
        worker: str,
        stage: str,
        step: int,
        steps: int,
        train_loss: float | None = None,
        validation_loss: float | None = None,
    ) -> None:
        """Tell how far the run is, which is a sign of life too; losses, where given, are kept per step."""
        with self._database.write() as session:
            self._held(session, run_id, worker, stage=stage, step=step, steps=steps, heartbeat_at=self._clock())
            if train_loss is not None or validation_loss is not None:
                row: dict[str, float | None] = {"run_id": run_id, "step": step}
                row |= {"train_loss": _finite(train_loss), "validation_loss": _finite(validation_loss)}
                session.execute(insert_missing(session, TrainingProgressRow), row)

    def beat(self, run_id: int, worker: str) -> bool:
        """Give a sign of life; True when someone asked to cancel."""
        with self._database.write() as session:
            return self._held(session, run_id, worker, heartbeat_at=self._clock())

    def cancel(self, run_id: int, by: str) -> None:
        """End a queued run at once, and ask a running one to end. A finished run stays as it is. Raises NotFound."""
        now = self._clock()
        with self._database.write() as session:
            row = session.get(TrainingRunRow, run_id, with_for_update=True)
            if row is None:
                raise _unknown(run_id)
            if row.status == RunStatus.QUEUED:
                row.status, row.finished_at = RunStatus.CANCELLED, now
            elif row.status == RunStatus.RUNNING:
                row.cancel_requested = True
            else:
                return
            note(session, now, by, "cancel_run", str(run_id))

    def finish(self, run_id: int, worker: str, report: Mapping[str, Any], dataset_fingerprint: str) -> None:
        """The run is done."""
        self._end(run_id, worker, RunStatus.DONE, report=dict(report), dataset_fingerprint=dataset_fingerprint)

    def fail(self, run_id: int, worker: str, error: str) -> None:
        """The run failed; `error` is shown to people."""
        self._end(run_id, worker, RunStatus.FAILED, error=error)

    def cancelled(self, run_id: int, worker: str) -> None:
        """The run ended because someone asked for it."""
        self._end(run_id, worker, RunStatus.CANCELLED)

    def reap(self) -> list[Run]:
        """Mark as interrupted the runs whose worker is gone, by its silence or by its process; they are returned."""
        now = self._clock()
        running = select(TrainingRunRow).where(TrainingRunRow.status == RunStatus.RUNNING)
        with self._database.read() as session:
            gone = [row for row in session.scalars(running) if self._is_gone(row, now)]
        return [run for row in gone if (run := self._interrupt(row, now))]

    def get(self, run_id: int) -> Run:
        """One run. Raises NotFound."""
        with self._database.read() as session:
            row = session.get(TrainingRunRow, run_id)
        if row is None:
            raise _unknown(run_id)
        return _run(row)

    def latest(self, n: int = 20, kind: str = TRAINING) -> list[Run]:
        """The newest runs of a kind, newest first."""
        newest = select(TrainingRunRow).where(TrainingRunRow.kind == kind).order_by(TrainingRunRow.id.desc()).limit(n)
        with self._database.read() as session:
            return [_run(row) for row in session.scalars(newest)]

    def active(self, kind: str = TRAINING) -> Run | None:
        """The run of a kind that is queued or running, if any."""
        with self._database.read() as session:
            row = session.scalar(_active(kind))
            return _run(row) if row else None

    def curve(self, run_id: int) -> list[Losses]:
        """The losses of a run, step by step."""
        it = TrainingProgressRow
        with self._database.read() as session:
            rows = session.execute(
                select(it.step, it.train_loss, it.validation_loss).where(it.run_id == run_id).order_by(it.step)
            )
            return [Losses(*row) for row in rows]

    def _end(self, run_id: int, worker: str, status: RunStatus, **values: Any) -> None:
        with self._database.write() as session:
            self._held(session, run_id, worker, status=status, finished_at=self._clock(), **values)

    def _held(self, session: Session, run_id: int, worker: str, **values: Any) -> bool:
        """Write to a run that is this worker's, and give back whether a cancel was asked for."""
        statement = (
            update(TrainingRunRow)
            .where(TrainingRunRow.id == run_id, *_held_by(worker))
            .values(**values)
            .returning(TrainingRunRow.cancel_requested)
        )
        cancel: bool | None = session.scalar(statement.execution_options(synchronize_session=False))
        if cancel is None:
            raise LostRun(f"Run {run_id} is no longer this worker's; nothing was stored.")
        return cancel

    def _is_gone(self, row: TrainingRunRow, now: datetime) -> bool:
        silent = row.heartbeat_at is None or now - row.heartbeat_at > self._timeout
        return silent or _process_is_gone(row.worker or "")

    def _interrupt(self, row: TrainingRunRow, now: datetime) -> Run | None:
        """None when the worker gave a sign of life or ended its run since the row was read."""
        unchanged = (*_held_by(row.worker), TrainingRunRow.heartbeat_at == row.heartbeat_at)
        error = "The process that worked on it was stopped. The router in service is unchanged; start it again."
        statement = update(TrainingRunRow).where(TrainingRunRow.id == row.id, *unchanged)
        values = {"status": RunStatus.INTERRUPTED, "finished_at": now, "error": error}
        with self._database.write() as session:
            changed = session.scalar(statement.values(**values).returning(TrainingRunRow))
            return _run(changed) if changed else None

    def _describe_active(self, kind: str) -> str:
        with self._database.read() as session:
            row = session.scalar(_active(kind))
        if row is None:
            return "A run of this kind ended just now; try again."
        done = "started" if row.status == RunStatus.RUNNING else "requested"
        return (
            f"Already {row.status}: run {row.id}, {done} {row.started_at or row.created_at:%H:%M} UTC by "
            f"{row.requested_by}. Wait for it or cancel it."
        )


def _active(kind: str) -> Select[TrainingRunRow]:
    return select(TrainingRunRow).where(TrainingRunRow.kind == kind, TrainingRunRow.status.in_(ACTIVE))


def _held_by(worker: str | None) -> tuple[ColumnElement[bool], ...]:
    return TrainingRunRow.worker == worker, TrainingRunRow.status == RunStatus.RUNNING


def _run(row: TrainingRunRow) -> Run:
    return Run(**{name: getattr(row, name) for name in Run.__slots__})


def _unknown(run_id: int) -> NotFound:
    return NotFound(f"There is no training run {run_id}.")


def _finite(loss: float | None) -> float | None:
    return loss if loss is not None and math.isfinite(loss) else None


def worker_name() -> str:
    """A name for this process that no other has had or will have: host:pid:start of the process:random."""
    pid = os.getpid()
    return f"{_host()}:{pid}:{_started(pid) or 0}:{secrets.token_hex(4)}"


def _host() -> str:
    """The host name, and on Linux which process numbers are meant: two containers may share the name but not those."""
    try:
        return f"{socket.gethostname()}/{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> int | None:
    """When a process started, in ticks since boot; None where it is gone or there is no /proc to ask."""
    try:
        # The name in brackets may hold anything, brackets and spaces too: what is wanted comes after the last one.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _process_is_gone(worker: str) -> bool:
    """Whether this is surely so: the worker ran here, and its number is free or another process's by now."""
    host, _, rest = worker.rpartition(":")[0].partition(":")
    pid, _, start = rest.partition(":")
    if host != _host() or not pid.isdigit():
        return False
    if _started(os.getpid()) is not None:
        return _started(int(pid)) != int(start)
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
