"""Pictures of the learned map that a worker drew: asked for by version and method, kept in their run."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.domain import UserId
from core.layout import KINDS, Layout
from core.projection import check_method, project
from core.survey import Survey
from db.engine import Database
from db.execution import Execution
from db.models import RunStatus, TrainingRunRow, UserRow
from db.preferences import PreferenceStore
from db.surveys import Surveys

PROJECTION = "projection"
LOOKED_THROUGH = 50  # newest pictures among which one of a version is looked for


@dataclass(frozen=True, eq=False)
class Projected:
    """A picture: `layout` has the survey's points that it shows, at their places on it; `missing` joined since."""

    layout: Layout
    missing: int
    at: datetime


def of_version(version: int, method: str) -> dict[str, Any]:
    """The config of a run. Raises InvalidInput for a method that is not here."""
    return {"version": version, "method": check_method(method)}


def draw(execution: Execution) -> tuple[dict[str, Any], str]:
    """The report and the fingerprint of the ratings. Users are named by their row, so that whoever leaves is gone here
    too. Raises NotFound, CorruptArtifact and InvalidInput.
    """
    config = execution.run.config
    ratings = PreferenceStore(execution.database).snapshot()
    execution.encode(ratings)
    survey = Surveys(execution.database, execution.encoder).of(config["version"]).survey
    if survey.states is None:
        return {"points": []}, ratings.fingerprint()
    layout = survey.layout
    place = project(config["method"], layout, execution.reach)
    with execution.database.read() as session:
        names = _names(session, survey)
    points = [
        [int(kind), names[kind][row], round(float(x), 4), round(float(y), 4)]
        for kind, row, (x, y) in zip(layout.kind, layout.row, place, strict=True)
    ]
    return {"points": points}, ratings.fingerprint()


def latest(database: Database, version: int, method: str) -> int | None:
    """The run with the newest picture of a version by this method."""
    it = TrainingRunRow
    rows = select(it.id, it.config).where(it.kind == PROJECTION, it.status == RunStatus.DONE)
    with database.read() as session:
        found = session.execute(rows.order_by(it.id.desc()).limit(LOOKED_THROUGH)).all()
    return next((run for run, config in found if config == {"version": version, "method": method}), None)


def projected(database: Database, run_id: int, survey: Survey) -> Projected:
    """The picture that a run drew, of those points that the survey still has."""
    it = TrainingRunRow
    with database.read() as session:
        report, at = session.execute(select(it.report, it.finished_at).where(it.id == run_id)).one()
        names = _names(session, survey)
    drawn = {(kind, name): (x, y) for kind, name, x, y in report["points"]}
    layout = survey.layout
    found = [drawn.get((int(kind), names[kind][row])) for kind, row in zip(layout.kind, layout.row, strict=True)]
    kept = np.array([place is not None for place in found], bool)
    places = np.array([place for place in found if place is not None], float).reshape(-1, 2)
    shown = replace(layout, kind=layout.kind[kept], row=layout.row[kept], vector=layout.vector[kept], place=places)
    return Projected(shown, int((~kept).sum()), at)


def _names(session: Session, survey: Survey) -> tuple[list[Any], ...]:
    """What each point of each kind is called in a report: people by row, the others by key."""
    rows: dict[UserId, int] = {UserId(row.name): row.id for row in session.execute(select(UserRow.name, UserRow.id))}
    named = [rows.get(user) for user in survey.users], [q.query_id for q in survey.mapped], list(survey.llms)
    assert len(named) == len(KINDS)  # noqa: S101
    return named
