"""Campaigns: which queries people rate, by how many of them, and how they are asked."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, bindparam, func, or_, select
from sqlalchemy.orm import Session, aliased

from core.campaigns import CampaignPlan
from core.errors import InvalidInput, NotFound
from db.audit import note
from db.base import table, utc_now
from db.engine import Database
from db.models import AssignmentRow, AssignmentStatus, CampaignRow, QueryRow, TaskRow

_PLANNED = tuple(field.name for field in fields(CampaignPlan))
COLUMNS = [table(CampaignRow).c[name] for name in ("id", "open", "version", *_PLANNED)]  # of which a campaign is made


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as it stands. `version` counts its edits."""

    id: int
    plan: CampaignPlan
    open: bool
    version: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A campaign with how many ratings it has, from how many people, and how many queries it may show."""

    campaign: Campaign
    ratings: int
    people: int
    queries: int


class Campaigns:
    """The campaigns of one database. Every method is one transaction."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    def list(self) -> list[Listed]:
        """All of them, the newest first, in the order in which people are asked for them."""
        mine = AssignmentRow.campaign_id == CampaignRow.id
        rated = (mine, AssignmentRow.status == AssignmentStatus.RATED)
        counted = [
            select(figure).where(*rated).correlate(CampaignRow).scalar_subquery()
            for figure in (func.count(AssignmentRow.id), func.count(AssignmentRow.user_id.distinct()))
        ]
        with self._database.read() as session:
            rows = session.execute(select(CampaignRow, *counted).order_by(CampaignRow.id.desc())).all()
            return [
                Listed(campaign := value_of(row), ratings, people, _size(session, campaign.plan.tasks))
                for row, ratings, people in rows
            ]

    def get(self, name: str) -> Campaign:
        """The campaign of this name. Raises NotFound."""
        with self._database.read() as session:
            return value_of(_row(session, name))

    def create(self, plan: CampaignPlan, by: str) -> Campaign:
        """Open a new campaign. Raises InvalidInput where its name is taken or a task is not there."""
        now = self._clock()
        with self._database.write() as session:
            _check(session, plan, None)
            row = CampaignRow(**_columns(plan), open=True, version=1, created_at=now)
            session.add(row)
            session.flush()
            note(session, now, by, "campaign_create", plan.name, **_detail(plan))
            return value_of(row)

    def edit(self, name: str, by: str, *, version: int | None = None, **changes: Any) -> Campaign:
        """Change what `CampaignPlan` names; what was rated before stays as it was asked then.

        Raises NotFound, and InvalidInput for a plan that cannot work and where `version` is no longer the newest.
        """
        now = self._clock()
        with self._database.write() as session:
            row = _row(session, name, lock=True)
            if version is not None and version != row.version:
                raise InvalidInput(
                    "Someone else changed this campaign meanwhile; nothing was stored. Reload to see it."
                )
            plan = replace(value_of(row).plan, **changes)
            _check(session, plan, row.id)
            for column, value in _columns(plan).items():
                setattr(row, column, value)
            row.version += 1
            note(session, now, by, "campaign_edit", name, **_detail(plan))
            session.flush()
            return value_of(row)

    def set_open(self, name: str, by: str, *, open: bool) -> Campaign:
        """Let people be asked for it, or not. Pairs on the screens of a closed one wait until it opens again."""
        now = self._clock()
        with self._database.write() as session:
            row = _row(session, name, lock=True)
            if row.open != open:
                row.open, row.version = open, row.version + 1
                note(session, now, by, "campaign_open" if open else "campaign_close", name)
            session.flush()
            return value_of(row)


def value_of(row: CampaignRow) -> Campaign:
    """The row as a value that can be a key."""
    return made_of([getattr(row, column.name) for column in COLUMNS])


def made_of(values: Sequence[Any]) -> Campaign:
    """The campaign with these values of `COLUMNS`."""
    number, is_open, version, *planned = values
    tuples = (tuple(value) if isinstance(value, list) else value for value in planned)
    plan: dict[str, Any] = dict(zip(_PLANNED, tuples, strict=True))
    return Campaign(number, CampaignPlan(**plan), is_open, version)


def asking(session: Session, user_id: int) -> list[Campaign]:
    """The open campaigns that this user has not given all their ratings to, in the order to ask."""
    return [value_of(row) for row in session.scalars(_asking(), {"user_id": user_id})]


@cache  # building such a statement costs several times what running it does, and this one is run for every pair
def _asking() -> Select[CampaignRow]:
    own = aliased(AssignmentRow)
    mine = own.user_id == bindparam("user_id", type_=Integer)
    given = (
        select(func.count())
        .where(own.campaign_id == CampaignRow.id, mine, own.status == AssignmentStatus.RATED)
        .correlate(CampaignRow)
        .scalar_subquery()
    )
    wanted = or_(CampaignRow.quota.is_(None), given < CampaignRow.quota)
    # The newest first: the one that takes everything came with the tables, and is asked when no other has anything.
    return select(CampaignRow).where(CampaignRow.open, wanted).order_by(CampaignRow.id.desc())


def of_tasks(tasks: Sequence[str]) -> ColumnElement[bool]:
    """Condition on a query: it is of one of these tasks."""
    return QueryRow.task_id.in_(select(TaskRow.id).where(TaskRow.name.in_(tasks)))


def hold(session: Session, campaign: Campaign) -> None:
    """Where places are counted, let one person at a time take one. On SQLite every writer waits anyway."""
    if campaign.plan.overlap is not None:
        session.execute(select(CampaignRow.id).where(CampaignRow.id == campaign.id).with_for_update())


def _row(session: Session, name: str, *, lock: bool = False) -> CampaignRow:
    found = select(CampaignRow).where(CampaignRow.name == name)
    row = session.scalar(found.with_for_update() if lock else found)
    if row is None:
        raise NotFound(f"There is no campaign '{name[:120]}'.")
    return row


def _check(session: Session, plan: CampaignPlan, own: int | None) -> None:
    taken = session.scalar(select(CampaignRow.id).where(CampaignRow.name == plan.name))
    if taken is not None and taken != own:
        raise InvalidInput(f"There is a campaign '{plan.name}' already; choose another name. Nothing was stored.")
    known = set(session.scalars(select(TaskRow.name).where(TaskRow.name.in_(plan.tasks))))
    if missing := [task for task in plan.tasks if task not in known]:
        raise InvalidInput(f"There is no task '{missing[0][:120]}', so nothing was stored: import its queries first.")


def _columns(plan: CampaignPlan) -> dict[str, Any]:
    lists = {"tasks": list(dict.fromkeys(plan.tasks)), "criteria": [criterion.strip() for criterion in plan.criteria]}
    return {name: getattr(plan, name) for name in _PLANNED} | lists


def _detail(plan: CampaignPlan) -> dict[str, Any]:
    return {name: value for name, value in asdict(plan).items() if name not in ("name", "guidelines")}


def _size(session: Session, tasks: Sequence[str]) -> int:
    rateable = select(func.count()).select_from(QueryRow).where(QueryRow.rateable)
    return session.scalar(rateable.where(of_tasks(tasks)) if tasks else rateable) or 0
