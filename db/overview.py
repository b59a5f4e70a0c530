"""What the front page shows of the whole: four statements, however many ratings there are."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd
from sqlalchemy import case, distinct, func, select

from db.base import utc_now
from db.engine import Database
from db.events import in_force_of_all
from db.models import ComparisonRow, LLMRow, UserRow
from db.reports import Counts, counts

ENOUGH = 10  # ratings of a pair of LLMs below which a win rate says nothing


@dataclass(frozen=True, slots=True)
class Active:
    """Who rated in the last days: users in all, and people among them."""

    days: int
    users: int
    people: int


@dataclass(frozen=True)
class Overview:
    """The state of everything that was rated. `daily` has columns day, kind ("people" or "simulated users") and
    ratings; `pairs` has columns first, second and ratings, one row for every pair of LLMs, least rated first.
    """

    counts: Counts
    daily: pd.DataFrame
    active: Active
    pairs: pd.DataFrame

    @property
    def compared(self) -> int:
        """How many pairs of LLMs were compared at all."""
        return int((self.pairs["ratings"] > 0).sum())

    @property
    def enough(self) -> int:
        """How many pairs of LLMs were compared often enough to say something."""
        return int((self.pairs["ratings"] >= ENOUGH).sum())


def overview(database: Database, now: datetime | None = None, days: int = 7) -> Overview:
    """The state of everything that was rated, with the users active in the last `days`."""
    return Overview(
        counts(database), _daily(database), _active(database, (now or utc_now()) - timedelta(days=days), days),
        _pairs(database),
    )  # fmt: skip


def _daily(database: Database) -> pd.DataFrame:
    """By the day they were given (UTC); those of unknown time by the day they came in."""
    day = func.date(func.coalesce(ComparisonRow.rated_at, ComparisonRow.recorded_at))
    statement = (
        select(day, UserRow.simulated, func.count())
        .join(UserRow, UserRow.id == ComparisonRow.user_id)
        .where(in_force_of_all())
        .group_by(day, UserRow.simulated)
        .order_by(day, UserRow.simulated)
    )
    with database.read() as session:
        rows = [
            (when if isinstance(when, date) else date.fromisoformat(when), _kind(simulated), n)
            for when, simulated, n in session.execute(statement)
        ]
    found = pd.DataFrame(rows, columns=["day", "kind", "ratings"])
    return found.assign(day=pd.to_datetime(found["day"]))


def _kind(simulated: bool) -> str:
    return "simulated users" if simulated else "people"


def _active(database: Database, since: datetime, days: int) -> Active:
    person = case((UserRow.simulated.is_(False), UserRow.id))
    statement = (
        select(func.count(distinct(UserRow.id)), func.count(distinct(person)))
        .join(ComparisonRow, UserRow.id == ComparisonRow.user_id)
        .where(in_force_of_all(), func.coalesce(ComparisonRow.rated_at, ComparisonRow.recorded_at) >= since)
    )
    with database.read() as session:
        return Active(days, *session.execute(statement).one())


def _pairs(database: Database) -> pd.DataFrame:
    a, b = ComparisonRow.llm_a_id, ComparisonRow.llm_b_id
    low, high = case((a < b, a), else_=b), case((a < b, b), else_=a)
    rated = (
        select(low.label("low"), high.label("high"), func.count().label("n"))
        .where(in_force_of_all())
        .group_by(low, high)
    )
    with database.read() as session:
        names = {row: name or key for row, name, key in session.execute(select(LLMRow.id, LLMRow.name, LLMRow.key))}
        found = {(first, second): n for first, second, n in session.execute(rated)}
    ids = sorted(names)
    rows = [
        (names[first], names[second], found.get((first, second), 0))
        for i, first in enumerate(ids) for second in ids[i + 1 :]
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["first", "second", "ratings"])
    return table.sort_values(["ratings", "first", "second"], ignore_index=True)
