"""Read-only figures, each in one statement."""

from dataclasses import dataclass

import pandas as pd
from sqlalchemy import case, distinct, func, select

from core.domain import Outcome, Query, QueryId, UserId
from core.readiness import Requirement, readiness
from db.engine import Database
from db.events import in_force_of_all
from db.models import AssignmentRow, ComparisonRow, LLMRow, QueryRow, RunStatus, TaskRow, TrainingRunRow, UserRow
from db.pools import unrated
from db.runs import TRAINING


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is. Users are people and simulated users; ratings are those in force."""

    users: int
    people: int
    simulated: int
    ratings: int
    queries: int
    llms: int


def counts(database: Database) -> Counts:
    """How much there is, now."""
    users = select(func.count()).select_from(UserRow)
    statement = select(
        users.scalar_subquery(),
        users.where(~UserRow.simulated).scalar_subquery(),
        users.where(UserRow.simulated).scalar_subquery(),
        select(func.count()).select_from(ComparisonRow).where(in_force_of_all()).scalar_subquery(),
        select(func.count()).select_from(QueryRow).scalar_subquery(),
        select(func.count()).select_from(LLMRow).scalar_subquery(),
    )
    with database.read() as session:
        return Counts(*session.execute(statement).one())


def task_names(database: Database) -> tuple[str, ...]:
    """Every task by name."""
    with database.read() as session:
        return tuple(session.scalars(select(TaskRow.name).order_by(TaskRow.name)))


def ratings_per_user(database: Database) -> pd.DataFrame:
    """Columns user, ratings, simulated: every user, those without ratings too, most ratings first."""
    ratings = func.count(ComparisonRow.id)
    statement = (
        select(UserRow.name, ratings, UserRow.simulated)
        .outerjoin(ComparisonRow, (ComparisonRow.user_id == UserRow.id) & in_force_of_all())
        .group_by(UserRow.id)
        .order_by(ratings.desc(), UserRow.name)
    )
    with database.read() as session:
        return pd.DataFrame(session.execute(statement).all(), columns=["user", "ratings", "simulated"])


def training_readiness(database: Database) -> tuple[Requirement, ...]:
    """What training needs and how much of it there is."""
    decisive = case((ComparisonRow.outcome.in_([Outcome.A, Outcome.B]), 1), else_=0)
    sides = (
        select(ComparisonRow.llm_a_id)
        .where(in_force_of_all())
        .union(select(ComparisonRow.llm_b_id).where(in_force_of_all()))
        .subquery()
    )
    statement = select(
        func.count(),
        func.coalesce(func.sum(decisive), 0),
        func.count(distinct(ComparisonRow.query_id)),
        select(func.count()).select_from(sides).scalar_subquery(),
    ).where(in_force_of_all())
    with database.read() as session:
        return readiness(*session.execute(statement).one())


def tasks(database: Database) -> list[str]:
    """The names of all tasks, sorted."""
    with database.read() as session:
        return list(session.scalars(select(TaskRow.name).order_by(TaskRow.name)))


def past_trainings(database: Database, limit: int = 10) -> list[tuple[float, int, int]]:
    """Seconds, ratings and epochs asked for of the newest trainings that ended well, for an estimate."""
    it = TrainingRunRow
    statement = (
        select(it.started_at, it.finished_at, it.report)
        .where(it.kind == TRAINING, it.status == RunStatus.DONE)
        .order_by(it.id.desc())
        .limit(limit)
    )
    with database.read() as session:
        return [
            ((finished - started).total_seconds(), sum(report["ratings"].values()), report["config"]["epochs"])
            for started, finished, report in session.execute(statement)
            if started and finished and report
        ]


def unrated_queries(database: Database, user: UserId, limit: int) -> list[Query]:
    """The first `limit` queries with responses to compare that this user has not rated, by task; a stranger has rated
    none.
    """
    person = select(UserRow.id).where(UserRow.name == user).scalar_subquery()
    statement = (
        select(QueryRow.key, QueryRow.turns, TaskRow.name)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .where(QueryRow.id.in_(unrated(func.coalesce(person, 0))))
        .order_by(TaskRow.name, QueryRow.id)
        .limit(limit)
    )
    with database.read() as session:
        return [Query(QueryId(key), tuple(turns), task or "") for key, turns, task in session.execute(statement)]


def outcomes_of_assignments(database: Database) -> dict[str, list[Outcome | None]]:
    """What was said first of each answered assignment, by its token: one outcome of a pair, several of a choice among
    more responses.
    """
    first = (ComparisonRow.assignment_id == AssignmentRow.id, ComparisonRow.supersedes_id.is_(None))
    found: dict[str, list[Outcome | None]] = {}
    with database.read() as session:
        for token, outcome in session.execute(select(AssignmentRow.token, ComparisonRow.outcome).where(*first)):
            found.setdefault(token, []).append(outcome)
    return found
