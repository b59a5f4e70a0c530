"""Training by itself: after so many new ratings, or every so many hours with something new. Off until someone says so.

It asks for a run like a person would, and the run passes the same gate: its router serves only where held-out ratings
show that it is better.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from core.errors import InvalidInput, PrefRouteError, RunActive
from core.settings import Settings
from db.audit import note
from db.base import utc_now
from db.engine import Database
from db.events import in_force, is_test
from db.models import AutoTrainingRow, ComparisonRow, TrainingRunRow
from db.reports import training_readiness
from db.runs import TRAINING, Run, TrainingRuns
from db.trainings import wish
from db.worker import spawn_worker

log = logging.getLogger(__name__)

BY = "auto-train"  # who asks for the run, as its card and the audit log show it
RATINGS = (20, 1_000_000)
HOURS = (1, 8_760)
CHECK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """When to train by itself: after `ratings` new ones, every `hours`, whichever comes first; None for never.

    Raises InvalidInput for a number out of its bounds.
    """

    ratings: int | None = None
    hours: int | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in (("ratings", RATINGS), ("hours", HOURS)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InvalidInput(f"The number of {name} is {value:,}; it must be from {low:,} to {high:,}, or none.")

    @property
    def on(self) -> bool:
        """Whether it ever trains by itself."""
        return self.ratings is not None or self.hours is not None


@dataclass(frozen=True, slots=True)
class Standing:
    """How many ratings in force came since the last training was asked for, and when that was (None: never)."""

    new: int
    since: datetime | None


class AutoTraining:
    """The plan of one database, and what it asks for."""

    def __init__(self, database: Database, heartbeat_timeout: float, clock: Callable[[], datetime] = utc_now) -> None:
        self._database, self._clock = database, clock
        self._runs = TrainingRuns(database, heartbeat_timeout, clock)

    def plan(self) -> Plan:
        """The plan in force; off where nobody set one."""
        with self._database.read() as session:
            row = session.scalar(select(AutoTrainingRow).order_by(AutoTrainingRow.id.desc()).limit(1))
            return Plan(row.ratings, row.hours) if row else Plan()

    def set(self, plan: Plan, by: str) -> None:
        """Follow another plan from now on; kept with the one who chose it."""
        now = self._clock()
        with self._database.write() as session:
            session.add(AutoTrainingRow(ratings=plan.ratings, hours=plan.hours, set_by=by, set_at=now))
            note(session, now, by, "auto_train", "plan", ratings=plan.ratings, hours=plan.hours)

    def standing(self) -> Standing:
        """What has come since the last training, whatever became of it: one that failed is not tried for ever."""
        asked = select(func.max(TrainingRunRow.created_at)).where(TrainingRunRow.kind == TRAINING)
        with self._database.read() as session:
            since = session.scalar(asked)
            said = select(func.count(ComparisonRow.id)).where(in_force(), ~is_test())
            if since is not None:
                said = said.where(ComparisonRow.recorded_at > since)
            return Standing(session.scalar(said) or 0, since)

    def due(self) -> bool:
        """Whether the plan wants a training now, and there is enough to train on and something new to learn."""
        plan = self.plan()
        if not plan.on or self._runs.active():
            return False
        standing = self.standing()
        enough = plan.ratings is not None and standing.new >= plan.ratings
        waited = plan.hours is not None and (
            standing.since is None or self._clock() - standing.since >= timedelta(hours=plan.hours)
        )
        if not standing.new or not (enough or waited):
            return False
        return all(need.met for need in training_readiness(self._database))

    def request(self, device: str) -> Run | None:
        """Ask for a run where one is due; None where not, or where somebody was quicker."""
        if not self.due():
            return None
        try:
            return self._runs.request({"device": device, **wish()}, by=BY)
        except RunActive:
            return None


class Timekeeper:
    """Looks once a minute whether a training is due, for as long as the app runs, beside its pages."""

    def __init__(self, database: Database, settings: Settings, seconds: float = CHECK_SECONDS) -> None:
        self._auto, self._settings = AutoTraining(database, settings.heartbeat_timeout), settings
        self._seconds = seconds

    def look(self) -> Run | None:
        """One look: the run that was asked for, if one was due; a worker of our own takes it where the app has any."""
        run = self._auto.request(self._settings.device)
        if run is not None:
            log.info("run %d: a training was due", run.id)
            if self._settings.spawn_worker:
                spawn_worker(self._settings)
        return run

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set. What goes wrong is logged: there is another minute."""
        while not stop.wait(self._seconds):
            try:
                self.look()
            except PrefRouteError as error:
                log.warning("whether a training is due could not be seen: %s", error)
            except Exception:
                log.exception("whether a training is due could not be seen")
